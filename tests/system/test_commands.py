"""Commands through a real server and a real worker started with `muster worker run --commands`."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.command.running import MARK, marked
from tests.system.callers import Api, api_at
from tests.system.conftest import QUICK, MakeCluster, Shared
from tests.system.processes import ROOT, WORKER_TOKEN, Cluster, Process, wait_until

DAEMON = (
    "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(300)\n    os._exit(0)\n"
)
SLEEP = DAEMON + "os.wait()\nprint('ready', flush=True)\ntime.sleep(300)"


class CommandWorker:
    """A worker for commands alone, and the processes of its commands."""

    def __init__(self, cluster: Cluster, folder: Path, *arguments: str, **variables: str) -> None:
        self.mark = uuid.uuid4().hex
        self.folder = folder
        folder.mkdir()
        self.process = Process(
            "commands",
            ("-m", "muster.cli.app", "worker", "run", "--commands", *arguments),
            {
                "MUSTER_URL": ",".join(orchestrator.url for orchestrator in cluster.orchestrators),
                "MUSTER_WORKER_TOKEN": WORKER_TOKEN,
                "MUSTER_WORKER_ID": f"commands-{self.mark}",
                "TMPDIR": str(folder),
                **variables,
            },
            cluster.folder / f"commands-{self.mark}.log",
        )
        self.process.start()

    async def start(self, api: Api, *argv: str, **params: Any) -> str:
        return await api.start("command", argv=argv, environment={MARK: self.mark}, **params)

    def memory_peak_kib(self) -> int:
        """Of the worker, since it began."""
        assert self.process.popen is not None
        text = Path(f"/proc/{self.process.popen.pid}/status").read_text()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM"))

    def runs(self) -> list[int]:
        return marked(self.mark)

    def left_nothing(self) -> bool:
        return not self.runs() and not list(self.folder.iterdir())


@pytest.fixture(scope="module")
def commands(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandWorker]:
    worker = CommandWorker(shared("fleet"), tmp_path_factory.mktemp("commands") / "tasks")
    yield worker
    worker.process.close()
    wait_until(worker.left_nothing, "no process and no file of a command is left")


async def test_a_command_that_ends_well_finishes_its_job(a: Api, commands: CommandWorker) -> None:
    job = await a.end_of(await commands.start(a, "sh", "-c", "echo META:rows_inserted:3", labels={"team": "data"}))
    assert job["status"] == "finished"
    assert job["result"]["exit_code"] == 0
    assert job["result"]["meta"] == {"rows_inserted": 3}
    assert job["state_history"]["exit_code"] == 0


async def test_a_script_runs_in_its_runtime(a: Api, commands: CommandWorker) -> None:
    job_id = await a.start("command", script_content="raise SystemExit(0)", runtime="python:3.11")
    assert (await a.end_of(job_id))["status"] == "finished"


async def test_a_command_that_fails_fails_its_job_at_once_and_says_how(a: Api, commands: CommandWorker) -> None:
    job = await a.end_of(await commands.start(a, "sh", "-c", "exit 7"))
    assert (job["status"], job["error_message"]) == ("failed", "command exited with status 7")
    assert job["error_details"]["code"] == "COMMAND_FAILED"
    assert job["state_history"]["exit_code"] == 7
    assert (await a.events(job["id"])).count("task_retried") == 0


async def test_a_command_that_takes_too_long_fails_its_job(a: Api, commands: CommandWorker) -> None:
    job = await a.end_of(await commands.start(a, sys.executable, "-c", SLEEP, timeout_seconds=1))
    assert (job["status"], job["error_message"]) == ("failed", "timed out after 1 s")
    assert job["state_history"]["exit_code"] == -1
    assert commands.left_nothing()


async def test_a_cancelled_command_is_stopped_and_its_job_cancelled(a: Api, commands: CommandWorker) -> None:
    job_id = await commands.start(a, sys.executable, "-c", SLEEP)
    wait_until(lambda: len(commands.runs()) == 2, "the command and its daemon run")
    assert (await a.cancel(job_id)).status == 200
    assert (await a.end_of(job_id))["status"] == "cancelled"
    wait_until(commands.left_nothing, "no process and no file of the command is left")


async def test_what_a_command_prints_can_be_read_at_every_replica(a: Api, b: Api, commands: CommandWorker) -> None:
    job_id = await commands.start(a, "sh", "-c", "echo out; echo err >&2; echo 'STEP_START:load'")
    await a.end_of(job_id)
    logs = (await b.call("GET", f"/api/v1/jobs/{job_id}/logs")).body
    assert sorted((line["stream"], line["text"]) for line in logs["items"]) == [
        ("stderr", "err"),
        ("stdout", "STEP_START:load"),
        ("stdout", "out"),
    ]
    steps = (await b.call("GET", f"/api/v1/jobs/{job_id}/steps")).body
    assert [(step["name"], step["status"]) for step in steps["items"]] == [("load", "completed")]


async def test_a_workers_memory_does_not_grow_with_what_its_commands_print(a: Api, commands: CommandWorker) -> None:
    line = "x" * 1023
    peaks_kib: list[int] = []
    for mib in (20, 100):
        job_id = await commands.start(a, "sh", "-c", f"yes {line} | head -c {mib * 1024 * 1024}")
        job = await a.end_of(job_id, 60)
        assert (job["status"], job["error_message"]) == ("finished", None)
        peaks_kib.append(commands.memory_peak_kib())
    assert peaks_kib[1] - peaks_kib[0] < 32 * 1024
    first = (await a.call("GET", f"/api/v1/jobs/{job_id}/logs?limit=10")).body
    assert first["items"][0]["text"] == line


async def test_a_command_gets_files_and_leaves_files(a: Api, b: Api, commands: CommandWorker) -> None:
    reply = await a.call("POST", "/api/v1/files?name=in.csv", data=b"a\nb\n")
    assert reply.status in {200, 201}, reply
    job_id = await commands.start(
        b,
        "sh",
        "-c",
        "mkdir out; wc -l < table.csv > out/lines.txt; echo STEP_START:count; echo ARTIFACT:out/lines.txt:How many",
        inputs=[{"name": "table.csv", "file_id": reply.body["file_id"]}],
        collect=["table.csv"],
    )
    job = await b.end_of(job_id)
    assert (job["status"], job["error_message"]) == ("finished", None)
    assert job["result"]["artifacts"] == ["lines.txt", "table.csv"]
    assert job["result"]["output_file"] == "table.csv"
    artifacts = (await a.call("GET", f"/api/v1/jobs/{job_id}/artifacts")).body["items"]
    lines = next(artifact for artifact in artifacts if artifact["name"] == "lines.txt")
    assert (lines["description"], lines["step"]) == ("How many", "0")
    found = await a.call("GET", f"/api/v1/jobs/{job_id}/artifacts/{lines['artifact_id']}")
    assert found.raw.strip() == b"2"


async def test_a_command_waits_for_the_files_that_are_still_to_be_sent_and_starts_with_the_last_one(
    a: Api, b: Api, commands: CommandWorker
) -> None:
    plans = [(await a.call("POST", "/api/v1/files/signed-upload", {"name": name})).body for name in ("one", "two")]
    inputs = [{"name": plan["file_id"][:4], "file_id": plan["file_id"]} for plan in plans]
    job_id = await commands.start(b, "sh", "-c", "cat ./*", inputs=inputs)
    for plan, api in zip(plans, (a, b), strict=True):
        waiting = await b.is_(job_id, "waiting")
        assert (waiting["waiting_for"]["signal"], commands.runs()) == ("inputs", [])
        path = plan["upload_url"].removeprefix(a.url)
        assert (await api.call("PUT", path, data=b"here")).status == 200
    job = await a.end_of(job_id, 10)
    assert (job["status"], job["error_message"]) == ("finished", None)
    assert (await a.events(job_id)).count("signal_received") == 1


async def test_a_file_that_is_deleted_before_the_command_has_it_fails_the_job(a: Api, commands: CommandWorker) -> None:
    planned = (await a.call("POST", "/api/v1/files/signed-upload", {"name": "x"})).body
    mine = (await a.call("POST", "/api/v1/files?name=in.csv", data=b"x")).body["file_id"]
    inputs = [{"name": "x", "file_id": mine}, {"name": "y", "file_id": planned["file_id"]}]
    job_id = await commands.start(a, "true", inputs=inputs)
    assert (await a.call("DELETE", f"/api/v1/files/{mine}")).status == 204
    assert (await a.call("PUT", planned["upload_url"].removeprefix(a.url), data=b"here")).status == 200
    job = await a.end_of(job_id)
    assert job["status"] == "failed"
    assert "input 'x' could not be fetched" in job["error_message"]


async def test_a_file_of_another_tenant_is_no_input(a: Api, stranger: Api) -> None:
    theirs = (await stranger.call("POST", "/api/v1/files?name=in.csv", data=b"secret")).body["file_id"]
    order = {"initial_data": {"argv": ["true"], "inputs": [{"name": "x", "file_id": theirs}]}}
    reply = await a.call("POST", "/api/v1/jobs/command", order)
    assert (reply.status, reply.body["code"]) == (404, "file_not_found")


async def test_a_command_that_makes_no_sense_is_refused_when_it_is_posted(a: Api) -> None:
    reply = await a.call(
        "POST", "/api/v1/jobs/command", {"initial_data": {"argv": ["true"], "inputs": [{"name": "/"}]}}
    )
    assert reply.status == 400
    assert reply.body["code"] == "invalid_input"


async def test_the_token_of_the_worker_is_not_in_the_environment_of_its_commands(
    a: Api, commands: CommandWorker
) -> None:
    job_id = await commands.start(a, "sh", "-c", "! env | grep -E '^MUSTER_|TMPDIR'")
    assert (await a.end_of(job_id))["status"] == "finished"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_worker_that_dies_takes_its_commands_with_it(
    make_cluster: MakeCluster, http: aiohttp.ClientSession, tmp_path: Path, number: signal.Signals
) -> None:
    cluster = make_cluster(**QUICK)
    api = api_at(http, cluster.a.url)
    worker = CommandWorker(cluster, tmp_path / "tasks")
    job_id = await worker.start(api, sys.executable, "-c", SLEEP)
    wait_until(lambda: len(worker.runs()) == 2, "the command and its daemon run")
    worker.process.signal(number)
    if number is signal.SIGTERM:
        wait_until(lambda: "draining" in worker.process.log, "the worker has heard the first signal")
        worker.process.signal(number)  # the second does not wait for running tasks
    wait_until(worker.left_nothing, "no process and no file of the command is left")
    worker.process.wait()
    if number is signal.SIGTERM:
        job = await api.end_of(job_id)
        assert (job["status"], job["error_message"]) == (
            "failed",
            "the worker was stopped before the task finished",
        )


def test_outside_development_a_worker_that_allows_nothing_does_not_start() -> None:
    others = {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")}
    done = subprocess.run(
        [sys.executable, "-m", "muster.cli.app", "worker", "run", "--commands"],
        cwd=ROOT,
        env={**others, "MUSTER_URL": "https://muster.example.com", "MUSTER_WORKER_TOKEN": WORKER_TOKEN},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert "no command is allowed" in done.stderr
    assert "--commands-file" in done.stderr
