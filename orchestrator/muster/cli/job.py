"""The commands `muster job …`."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import orjson
from cyclopts import App, Parameter
from muster_worker.time_limits import deadline_ms_of

from muster.cli.connection import HERE, Server, connect
from muster.cli.exits import EXIT_OF_STATUS, CommandFailed, Exit
from muster.cli.job_ids import remember_job, resolve_job
from muster.cli.job_lines import lines_so_far, print_lines
from muster.cli.output import Format, age, compact, hint, print_json, print_table
from muster.cli.watch import watch_job

if TYPE_CHECKING:
    from muster_worker.client import JobState

app = App(name="job", help="Start, look at, watch and cancel jobs.", help_format="plaintext")

_JSON_WORDS: Final[Mapping[type, str]] = {
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}
JobName = Annotated[str, Parameter(help="A job's id, the beginning of it, or `@last`.")]
Timeout = Annotated[float | None, Parameter(name="--timeout", help="Give up after so many seconds (exit code 124).")]


@app.command
async def start(
    name: Annotated[str, Parameter(help="A blueprint's name.")],
    /,
    *,
    input: Annotated[  # noqa: A002 -- the word people type
        str, Parameter(name=["--input", "-i"], help="A JSON object, `@file`, or `-` for standard input.")
    ] = "{}",
    watch: Annotated[bool, Parameter(name=["--watch", "-w"], negative="", help="Show it until it is final.")] = False,
    key: Annotated[str | None, Parameter(help="Idempotency key: the same key starts one job only.")] = None,
    webhook_url: Annotated[str | None, Parameter(help="Called when the job is final.")] = None,
    tag: Annotated[tuple[str, ...], Parameter(negative="", help="A word to find it by; may be given 8 times.")] = (),
    unique_key: Annotated[str | None, Parameter(help="At most one live job of the blueprint has it.")] = None,
    on_conflict: Annotated[
        Literal["return", "refuse", "replace"] | None,
        Parameter(help="Where another job has the unique key: return that one if not given."),
    ] = None,
    debounce_key: Annotated[str | None, Parameter(help="A later start puts off the job that has it.")] = None,
    debounce: Annotated[
        float | None, Parameter(help="It begins after so many seconds without a further start; 5 if not given.")
    ] = None,
    deadline: Annotated[
        str | None, Parameter(help="It fails where it has not ended so long from now: 90s, 1h, 2d.")
    ] = None,
    timeout: Timeout = None,
    output: Format = "table",
    server: Server = HERE,
) -> int:
    """Start a job and print its id; with --watch, its result."""
    data = read_input(input)
    unique = _keyed(unique_key, "--unique-key", "on_conflict", on_conflict)
    later = _keyed(debounce_key, "--debounce-key", "seconds", debounce, usual=5.0)
    try:
        _ = None if deadline is None else deadline_ms_of(deadline)
    except ValueError as wrong:
        raise CommandFailed(f"--deadline: {wrong}", way_out="--deadline 1h", code=Exit.USAGE) from None
    async with connect(server) as client:
        job_id = await client.start(
            name,
            data,
            webhook_url=webhook_url,
            idempotency_key=key,
            tags=tag,
            unique=unique,
            debounce=later,
            deadline=deadline,
        )
        remember_job(job_id)
        if watch:
            hint(f"job {job_id}")
            return report_end(await watch_job(client, job_id, timeout_s=timeout), output)
    if output == "json":
        print_json({"job_id": job_id})
    else:
        print(job_id)
        hint("try: muster job watch @last")
    return Exit.DONE


def _keyed(
    key: str | None, option: str, member: str, value: str | float | None, *, usual: float | None = None
) -> dict[str, Any] | None:
    """A key and what goes with it; what goes with a key is refused without one, since it would do nothing."""
    if key is None:
        if value is not None:
            other = "--on-conflict" if member == "on_conflict" else "--debounce"
            raise CommandFailed(f"{other} goes with {option}", way_out=f"{option} KEY", code=Exit.USAGE)
        return None
    chosen = usual if value is None else value
    return {"key": key} if chosen is None else {"key": key, member: chosen}


@app.command(name=("ls", "list"))
async def ls(
    *,
    status: Annotated[str, Parameter(help="Only these statuses, separated by commas.")] = "",
    blueprint: Annotated[str | None, Parameter(help="Only jobs of this blueprint.")] = None,
    tag: Annotated[str | None, Parameter(help="Only jobs of this tag.")] = None,
    error: Annotated[str | None, Parameter(help="Only jobs with an error of this fingerprint.")] = None,
    since: Annotated[str | None, Parameter(help="Only jobs made since, such as 2026-01-31T10:30:00Z.")] = None,
    until: Annotated[str | None, Parameter(help="Only jobs made before.")] = None,
    limit: Annotated[int, Parameter(help="At most so many.")] = 20,
    cursor: Annotated[str | None, Parameter(help="Where the last page ended.")] = None,
    output: Format = "table",
    server: Server = HERE,
) -> None:
    """List jobs, newest first."""
    statuses = tuple(word.strip() for word in status.split(",") if word.strip())
    given = {"error": error, "created_since": since, "created_until": until}
    more = {name: text for name, text in given.items() if text is not None}
    async with connect(server) as client:
        page = await client.jobs(status=statuses, blueprint=blueprint, limit=limit, cursor=cursor, tag=tag, **more)
    if output == "json":
        print_json({"items": [as_json(job) for job in page.items], "next": page.next})
        return
    columns = ["ID", "BLUEPRINT", "STATUS", "STATE", "AGE", "ERROR"]
    print_table(columns, [_row(job) for job in page.items])
    if page.next:
        hint(f"more: muster job ls --cursor {page.next}")


@app.command
async def show(job: JobName, /, *, output: Format = "table", server: Server = HERE) -> None:
    """Show one job: where it stands, what it waits for, what happened."""
    async with connect(server) as client:
        job_id = await resolve_job(client, job)
        state = await client.job(job_id)
        history = await client.history(job_id)
    if output == "json":
        print_json({**as_json(state), "history": history})
        return
    print(f"{state.blueprint_name}  {state.id}  {state.status}")
    for event in history:
        print(_event_line(event))
    _print_end(state)


@app.command
async def watch(job: JobName, /, *, timeout: Timeout = None, output: Format = "table", server: Server = HERE) -> int:
    """Show a job until it is final; the exit code tells how it ended."""
    async with connect(server) as client:
        job_id = await resolve_job(client, job)
        return report_end(await watch_job(client, job_id, timeout_s=timeout), output)


@app.command
async def logs(
    job: JobName,
    /,
    *,
    follow: Annotated[
        bool, Parameter(name=["--follow", "-f"], negative="", help="Go on until the job is final.")
    ] = False,
    after: Annotated[int, Parameter(help="Only lines after the one of this number.")] = 0,
    output: Format = "table",
    server: Server = HERE,
) -> None:
    """Print what a job's tasks printed: their stdout on stdout, the rest on stderr; with -o json a line each."""
    async with connect(server) as client:
        job_id = await resolve_job(client, job)
        if follow:
            await print_lines(client.follow_logs(job_id, after=after), output)
        else:
            await print_lines(lines_so_far(client, job_id, after), output)


@app.command
async def cancel(job: JobName, /, *, output: Format = "table", server: Server = HERE) -> None:
    """Ask for a job's end."""
    async with connect(server) as client:
        job_id = await resolve_job(client, job)
        status = await client.cancel(job_id)
    if output == "json":
        print_json({"job_id": job_id, "status": status})
    else:
        print(f"{job_id}  {status}")


@app.command(name=("delete", "rm"))
async def delete(job: JobName, /, *, server: Server = HERE) -> None:
    """Forget a job and everything of it: log, steps, history, artifacts. An active one is cancelled first."""
    async with connect(server) as client:
        job_id = await resolve_job(client, job)
        await client.delete(job_id)
    hint(f"{job_id} is gone")


@app.command
async def signal(
    job: JobName, name: str, data: str = "{}", /, *, output: Format = "table", server: Server = HERE
) -> None:
    """Give a job a signal, with data as JSON, `@file` or `-`; one that it does not wait for yet is kept."""
    told = read_input(data)
    async with connect(server) as client:
        job_id = await resolve_job(client, job)
        await client.signal(job_id, name, told)
    if output == "json":
        print_json({"job_id": job_id, "signal": name})
    else:
        print(f"{job_id}  signal {name} received")


app.command("muster.cli.why:why", name="why", help="Say why a job is not running now.")
app.command("muster.cli.job_tree:tree", name="tree", help="Show a job and those below it.")
app.command("muster.cli.job_operations:pause", name="pause", help="Hold a job until it is resumed.")
app.command("muster.cli.job_operations:retry", name="retry", help="Start a job that is over again.")
app.command("muster.cli.job_operations:bulk", name="bulk", help="One verb for many jobs.")
app.command("muster.cli.job_operations:errors", name="errors", help="Show what fails most.")
app.command("muster.cli.case_file:export", name="export", help="Print a job as a case file.")
app.command("muster.cli.case_file:debug", name="debug", help="Run a state of a case file here.")
app.command("muster.cli.job_operations:resume", name="resume", help="Let go of a paused job.")


def read_input(text: str) -> dict[str, Any]:
    """The JSON object that *text* is or names.

    Raises:
        CommandFailed: it cannot be read, is no JSON, or is no object.
    """
    source, body = _input_body(text)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as wrong:
        raise CommandFailed(
            f"{source} is not JSON: {wrong}", way_out="""--input '{"name": "Ada"}'""", code=Exit.USAGE
        ) from None
    if not isinstance(value, dict):
        raise CommandFailed(
            f"{source} is {_JSON_WORDS[type(value)]}, and a job's input is an object",
            way_out="""--input '{"items": [1, 2]}'""",
            code=Exit.USAGE,
        )
    return value


def _input_body(text: str) -> tuple[str, bytes]:
    if text == "-":
        return "standard input", sys.stdin.buffer.read()
    if not text.startswith("@"):
        return "--input", text.encode()
    try:
        return text[1:], Path(text[1:]).read_bytes()
    except OSError as wrong:
        raise CommandFailed(
            f"--input {text}: {wrong.strerror}", way_out="name a file that exists after the @", code=Exit.USAGE
        ) from None


def as_json(state: "JobState") -> dict[str, Any]:
    return state.model_dump(mode="json")


def report_end(state: "JobState", output: Format) -> int:
    """Print a final job, and say by the exit code how it ended."""
    if output == "json":
        print_json(as_json(state))
    else:
        print(f"{state.blueprint_name}  {state.id}  {state.status}")
        _print_end(state)
    return EXIT_OF_STATUS.get(state.status, Exit.FAILED)


def _print_end(state: "JobState") -> None:
    if state.error_message:
        print(f"error: {state.error_message}")
    if state.status == "finished":
        print(orjson.dumps(state.result, option=orjson.OPT_INDENT_2, default=str).decode())
    elif state.status not in EXIT_OF_STATUS:
        hint(f"try: muster job watch {state.id}")


def _row(job: "JobState") -> list[object]:
    error = compact(job.error_message or "", width=60)
    return [job.id, job.blueprint_name, job.status, job.current_state, age(job.created_at), error]


def _event_line(event: Mapping[str, Any]) -> str:
    clock = str(event.get("timestamp", ""))[11:23].rstrip("Z")
    where = event.get("next_state") or event.get("state") or ""
    who = f"on {event['worker_id']}" if event.get("worker_id") else ""
    took = f"{event['duration_ms']} ms" if event.get("duration_ms") is not None else ""
    words = [f"  {clock:<12}", f"{event.get('event_type', ''):<19}", f"{where:<18}", who, took]
    return "  ".join(word for word in words if word).rstrip()
