// Upload, run, follow, download: the requests that anybody can make, made by clicking.
// Every text from the server is set as text, never as HTML.
"use strict";

const KEY = "muster.key";
const FILE_PREFIX = "file_id:";
const LINES_MAX = 5000;
const STORED_KEY = sessionStorage.getItem(KEY) ?? "";
const keyHeader = document.body.dataset.keyHeader;
const byId = (id) => document.getElementById(id);
const state = { key: STORED_KEY, stages: {}, uploads: [], job: null, socket: null, lines: 0 };

class Problem extends Error {
  constructor(status, body) {
    super(body.detail ?? "The server answered with something that is no problem document.");
    this.status = status;
    this.body = body;
  }
}

// ---- requests

async function call(method, path, { json, form } = {}) {
  const headers = state.key ? { [keyHeader]: state.key } : {};
  if (json !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: form ?? (json === undefined ? undefined : JSON.stringify(json)) });
  } catch {
    throw new Problem(0, { title: "No answer", detail: "The server cannot be reached.", hint: "Look whether it runs, and try again." });
  }
  if (answer.ok) return answer;
  const text = await answer.text();
  let body;
  try { body = JSON.parse(text); } catch { body = { title: answer.statusText, detail: text.slice(0, 500) || answer.statusText }; }
  throw new Problem(answer.status, body);
}

async function save(path, fallback) {
  const answer = await call("GET", path);
  const named = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "");
  const link = element("a", { href: URL.createObjectURL(await answer.blob()), download: named ? named[1] : fallback });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// ---- small parts of the page

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function say(id, text, kind = "") {
  const place = byId(id);
  place.className = `state ${kind}`;
  place.textContent = text;
}

function tellProblem(id, error) {
  const place = byId(id);
  place.replaceChildren();
  if (!error) return;
  const body = error.body ?? {};
  const box = element("div", { className: "problem" });
  box.append(element("strong", { textContent: error.status ? `${error.status} ${body.title ?? ""}`.trim() : body.title ?? "Error" }));
  box.append(element("p", { textContent: error.message }));
  const details = (body.errors ?? []).map((one) => `${one.pointer}: ${one.detail}`);
  if (details.length > 1) box.append(element("ul", {}, ...details.map((text) => element("li", { textContent: text }))));
  if (body.hint) box.append(element("p", { textContent: body.hint }));
  place.append(box);
}

function bytes(count) {
  if (count < 1024) return `${count} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(Math.floor(Math.log2(count) / 10), units.length);
  return `${(count / 1024 ** power).toFixed(1)} ${units[power - 1]}`;
}

// ---- the key, and what it opens

async function useKey() {
  state.key = byId("key").value.trim();
  if (state.key) sessionStorage.setItem(KEY, state.key); else sessionStorage.removeItem(KEY);
  say("key-state", "Asking the server…");
  byId("key").removeAttribute("aria-invalid");
  try {
    const [stages, examples] = await Promise.all(["cli/commands", "cli/examples"].map(async (path) => (await call("GET", path)).json()));
    state.stages = stages;
    showStages();
    showExamples(examples.examples);
    const count = Object.values(stages).reduce((sum, stage) => sum + stage.commands.length, 0);
    say("key-state", `Ready: ${count} ${count === 1 ? "command" : "commands"}.`, "good");
    return true;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    state.stages = {};
    showStages();
    showExamples([]);
    if (error.status === 401 && !state.key) {
      say("key-state", "This server needs a key. Enter yours to begin.");
      return false;
    }
    byId("key").setAttribute("aria-invalid", String(error.status === 401));
    say("key-state", [error.message, error.body.hint].filter(Boolean).join(" "), "bad");
    return false;
  }
}

// ---- uploads

async function upload(files) {
  for (const file of files) {
    say("upload-state", `Sending ${file.name} (${bytes(file.size)})…`);
    const form = new FormData();
    form.append("file", file, file.name);
    try {
      const { file_id: id } = await (await call("POST", "upload", { form })).json();
      state.uploads.unshift({ id, name: file.name, size: file.size });
      say("upload-state", `${file.name} is uploaded.`, "good");
      showUploads();
      takeNewest();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      say("upload-state", `${file.name}: ${[error.message, error.body.hint].filter(Boolean).join(" ")}`, "bad");
    }
  }
}

function showUploads() {
  byId("upload-count").textContent = state.uploads.length ? `(${state.uploads.length})` : "";
  byId("uploads").replaceChildren(...state.uploads.map((one) => element("li", {},
    element("span", { className: "name", textContent: one.name }),
    element("span", { className: "more", textContent: bytes(one.size) }),
    element("code", { textContent: FILE_PREFIX + one.id }),
  )));
  const known = byId("known-files") ?? document.body.appendChild(element("datalist", { id: "known-files" }));
  known.replaceChildren(...state.uploads.map((one) => element("option", { value: FILE_PREFIX + one.id, label: one.name })));
}

// What was just uploaded goes where a file is still missing, else where the first one is wanted.
function takeNewest() {
  const fields = [...document.querySelectorAll("#arguments [data-file]")];
  const field = fields.find((one) => !one.value) ?? fields[0];
  if (field) field.value = FILE_PREFIX + state.uploads[0].id;
  showRequest();
}

// ---- the form of a command

function options(select, names) {
  select.replaceChildren(...names.map((name) => element("option", { value: name, textContent: name })));
  select.disabled = names.length === 0;
}

function showStages() {
  options(byId("stage"), Object.keys(state.stages));
  showCommands();
}

function showCommands() {
  options(byId("command"), state.stages[byId("stage").value]?.commands ?? []);
  byId("run").disabled = !byId("command").value;
  showArguments();
}

function schema() {
  return state.stages[byId("stage").value]?.schema[byId("command").value] ?? [];
}

function showArguments(values = {}) {
  const stage = state.stages[byId("stage").value];
  byId("command-help").textContent = stage?.help?.[byId("command").value] ?? "";
  byId("arguments").replaceChildren(...schema().map((argument) => fieldOf(argument, values[argument.name])));
  tellProblem("run-problem", null);
  showRequest();
}

function fieldOf(argument, given) {
  const id = `argument-${argument.name}`;
  const isFile = typeof argument.example === "string" && argument.example.startsWith(FILE_PREFIX);
  const input = inputOf(argument, isFile);
  input.id = id;
  input.dataset.name = argument.name;
  if (isFile) input.dataset.file = "";
  const value = given ?? argument.default;
  if (argument.type === "bool") input.checked = value === true;
  else if (value !== null && value !== undefined) input.value = Array.isArray(value) ? value.join("\n") : String(value);
  if (isFile && !isUploaded(input.value)) input.value = state.uploads.length ? FILE_PREFIX + state.uploads[0].id : "";
  const label = element("label", { htmlFor: id, textContent: argument.name });
  if (argument.required) {
    input.required = true;
    label.append(" ", element("span", { className: "required", textContent: "(required)" }));
  }
  const help = helpOf(argument, isFile);
  if (help) input.setAttribute("aria-describedby", `${id}-help`);
  const parts = help ? [element("p", { className: "help", id: `${id}-help`, textContent: help })] : [];
  return element("div", { className: "field" }, label, input, ...parts);
}

function inputOf(argument, isFile) {
  if (argument.type === "bool") return element("input", { type: "checkbox" });
  if (argument.choices) {
    const names = argument.choices.map(String);
    const select = element("select");
    options(select, argument.required ? names : ["", ...names]);
    return select;
  }
  if (isMany(argument)) return element("textarea", { rows: 3, spellcheck: false });
  const input = element("input", { type: "text", spellcheck: false, autocomplete: "off" });
  if (argument.type === "int") input.inputMode = "numeric";
  if (argument.type === "float") input.inputMode = "decimal";
  if (isFile) {
    input.setAttribute("list", "known-files");
    input.placeholder = "Upload a file, or write file_id:…";
  } else if (argument.example !== null && argument.example !== undefined) input.placeholder = `for example ${argument.example}`;
  return input;
}

function helpOf(argument, isFile) {
  const bounds = [];
  if (argument.minimum !== null) bounds.push(`at least ${argument.minimum}`);
  if (argument.maximum !== null) bounds.push(`at most ${argument.maximum}`);
  return [argument.help, bounds.length ? `A number, ${bounds.join(" and ")}.` : "", isMany(argument) ? "One value per line." : "",
    isFile ? "The newest upload is put in by itself." : ""].filter(Boolean).join(" ");
}

const isMany = (argument) => argument.nargs !== null && argument.nargs !== 1;
const isUploaded = (value) => state.uploads.some((one) => value === FILE_PREFIX + one.id);

function valueOf(argument, input) {
  if (argument.type === "bool") return input.checked ? true : undefined;
  const text = input.value;
  if (isMany(argument)) {
    const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
    return lines.length ? lines : undefined;
  }
  if (text === "") return undefined;
  const isNumber = argument.type === "int" || argument.type === "float";
  return isNumber && text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}

function requestBody() {
  const args = {};
  for (const argument of schema()) {
    const value = valueOf(argument, byId(`argument-${argument.name}`));
    if (value !== undefined) args[argument.name] = value;
  }
  const mode = document.querySelector("input[name=mode]:checked").value;
  return { stage: byId("stage").value, command: byId("command").value, mode, args };
}

function showRequest() {
  byId("request").textContent = byId("command").value ? JSON.stringify(requestBody(), null, 2) : "";
}

// ---- examples

function showExamples(examples) {
  byId("examples").replaceChildren(...examples.map((example) => {
    const button = element("button", { type: "button" },
      element("strong", { textContent: example.name }),
      element("span", { textContent: example.description || `${example.request.stage} ${example.request.command}` }));
    button.addEventListener("click", () => takeExample(example.request));
    return element("li", {}, button);
  }));
}

function takeExample(request) {
  byId("stage").value = request.stage;
  showCommands();
  byId("command").value = request.command;
  showArguments(request.args);
  document.querySelector(`input[name=mode][value=${request.mode ?? "sync"}]`).checked = true;
  showRequest();
  const first = document.querySelector("#arguments input, #arguments select, #arguments textarea") ?? byId("run");
  first.focus();
  byId("run-form").scrollIntoView({ block: "nearest" });
}

// ---- a run

async function run(event) {
  event.preventDefault();
  tellProblem("run-problem", null);
  for (const field of document.querySelectorAll("#arguments [aria-invalid]")) field.removeAttribute("aria-invalid");
  const body = requestBody();
  byId("run").disabled = true;
  byId("run").textContent = body.mode === "sync" ? "Waiting for the end…" : "Starting…";
  try {
    const answer = await (await call("POST", "cli/run", { json: body })).json();
    follow(answer.job_id);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    tellProblem("run-problem", error);
    markFields(error);
    if (error.body.job_id) follow(error.body.job_id);
  } finally {
    byId("run").disabled = false;
    byId("run").textContent = "Run";
  }
}

function markFields(error) {
  const names = (error.body.errors ?? []).map((one) => one.pointer.split("/")[2]);
  const fields = names.map((name) => byId(`argument-${name}`)).filter(Boolean);
  for (const field of fields) field.setAttribute("aria-invalid", "true");
  fields[0]?.focus();
}

function follow(jobId) {
  state.socket?.close();
  state.job = jobId;
  state.lines = 0;
  byId("job-empty").hidden = true;
  byId("job-body").hidden = false;
  byId("job-id").textContent = jobId;
  byId("exit-code").textContent = "–";
  byId("output").replaceChildren();
  byId("files").replaceChildren();
  byId("files-empty").hidden = false;
  byId("files-empty").textContent = "None yet.";
  byId("zip").disabled = true;
  byId("progress").value = 0;
  tellProblem("job-problem", null);
  showStatus("queued");
  if (matchMedia("(max-width: 59.99rem)").matches) byId("job").scrollIntoView({ block: "start" });
  listen(jobId);
}

function listen(jobId) {
  const url = new URL(`ws/jobs/${jobId}`, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.search = state.key ? new URLSearchParams({ api_key: state.key }) : "";
  const socket = new WebSocket(url);
  state.socket = socket;
  let ended = false;
  byId("live-state").textContent = "connecting…";
  socket.addEventListener("open", () => { byId("live-state").textContent = "connected"; });
  socket.addEventListener("message", (message) => {
    if (socket !== state.socket) return;
    const frame = JSON.parse(message.data);
    ended ||= "status" in frame;
    take(frame);
  });
  socket.addEventListener("close", (closed) => {
    if (socket !== state.socket) return;
    byId("live-state").textContent = ended ? "the job has ended" : `closed (${closed.code})`;
    if (!ended) lostTouch(jobId, closed);
  });
}

function take(frame) {
  if ("status" in frame) { showEnd(frame); return; }
  if (frame.error) tellProblem("job-problem", new Problem(0, { title: "Not followed", detail: frame.error }));
  if ("stdout" in frame) append("stdout", frame.stdout);
  if ("stderr" in frame) append("stderr", frame.stderr);
  if ("progress" in frame) byId("progress").value = frame.progress;
  if ("dropped" in frame) append("note", `${frame.dropped} lines are missing here\n`);
  if (byId("status").dataset.status === "queued" && !("keepalive" in frame)) showStatus("running");
}

function append(kind, text) {
  const output = byId("output");
  const atEnd = output.scrollTop + output.clientHeight >= output.scrollHeight - 24;
  output.append(element("span", { className: kind, textContent: text }));
  state.lines += 1;
  if (state.lines > LINES_MAX) output.firstChild.remove();
  if (atEnd) output.scrollTop = output.scrollHeight;
}

function showStatus(status) {
  byId("status").dataset.status = status;
  byId("status").textContent = status;
  byId("cancel").disabled = status !== "queued";
}

async function showEnd(frame) {
  showStatus(frame.status);
  byId("exit-code").textContent = frame.exit_code ?? "none";
  byId("progress").value = 1;
  if (!byId("output").hasChildNodes()) append("note", "The command printed nothing.\n");
  try {
    const job = await (await call("GET", `jobs/${frame.job_id}`)).json();
    if (job.error) append("note", `${job.error}\n`);
    showFiles(frame.job_id, await (await call("GET", `jobs/${frame.job_id}/manifest`)).json());
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    tellProblem("job-problem", error);
  }
}

function showFiles(jobId, files) {
  if (jobId !== state.job) return;
  byId("files-empty").hidden = files.length > 0;
  byId("files-empty").textContent = "The command left none.";
  byId("zip").disabled = files.length === 0;
  byId("files").replaceChildren(...files.map((file) => {
    const button = element("button", { type: "button", className: "plain", textContent: "Download" });
    button.setAttribute("aria-label", `Download ${file.name}`);
    button.addEventListener("click", () => guarded(() => save(`jobs/${jobId}/download?file=${encodeURIComponent(file.name)}`, file.name)));
    return element("li", {},
      element("span", { className: "name", textContent: file.name }),
      element("span", { className: "more", textContent: `${bytes(file.size)} · ${file.media_type}` }),
      button);
  }));
}

// Without the WebSocket the page still says what it can.
async function lostTouch(jobId, closed) {
  if (closed.code === 1008) {
    tellProblem("job-problem", new Problem(0, { title: "Not followed", detail: "The server does not accept the key for live output." }));
    return;
  }
  await guarded(async () => {
    const job = await (await call("GET", `jobs/${jobId}`)).json();
    if (jobId !== state.job) return;
    if (job.finished_at) {
      byId("output").replaceChildren();
      append("stdout", job.stdout ?? "");
      append("stderr", job.stderr ?? "");
      await showEnd(job);
    } else {
      showStatus(job.status);
      setTimeout(() => { if (jobId === state.job) { byId("output").replaceChildren(); listen(jobId); } }, 2000);
    }
  });
}

async function cancel() {
  await guarded(() => call("DELETE", `jobs/${state.job}`));
}

async function guarded(work) {
  tellProblem("job-problem", null);
  try { await work(); } catch (error) {
    if (!(error instanceof Problem)) throw error;
    tellProblem("job-problem", error);
  }
}

// ---- wiring

function wire() {
  byId("key").value = state.key;
  byId("key-form").addEventListener("submit", (event) => { event.preventDefault(); useKey(); });
  byId("key-show").addEventListener("click", () => {
    const shown = byId("key").type === "text";
    byId("key").type = shown ? "password" : "text";
    byId("key-show").setAttribute("aria-pressed", String(!shown));
    byId("key-show").textContent = shown ? "Show" : "Hide";
  });
  byId("pick").addEventListener("change", () => { upload([...byId("pick").files]).finally(() => { byId("pick").value = ""; }); });
  const drop = byId("drop");
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    upload([...event.dataTransfer.files]);
  });
  byId("stage").addEventListener("change", showCommands);
  byId("command").addEventListener("change", () => showArguments());
  byId("run-form").addEventListener("input", showRequest);
  byId("run-form").addEventListener("submit", run);
  byId("zip").addEventListener("click", () => guarded(() => save(`jobs/${state.job}/download?zip=1`, "files.zip")));
  byId("cancel").addEventListener("click", cancel);
  for (const stream of ["stdout", "stderr"]) {
    byId(`show-${stream}`).addEventListener("change", (event) => byId("output").classList.toggle(`no-${stream}`, !event.target.checked));
  }
}

// A key in the address is taken over and then taken out of it: addresses are kept in histories and sent around.
function keyOfAddress() {
  const address = new URL(location.href);
  const key = address.searchParams.get("api_key");
  if (key === null) return;
  address.searchParams.delete("api_key");
  history.replaceState(null, "", address);
  state.key = key;
}

keyOfAddress();
wire();
useKey();
