"""The command line against a real development server: what people type, what they read, how commands end."""

import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper

import pytest
from muster.cli.app import run

from tests.e2e.conftest import clean_machine
from tests.e2e.machine import Machine, free_port, wait_until

BLUEPRINTS = '''\
"""Small blueprints, one per way a job can go."""

from muster import Blueprint, Decision, Job, Next, failed
from pydantic import BaseModel


class Form(BaseModel):
    cents: int



hello = Blueprint("hello")


@hello.start
async def greet(job: Job) -> Next:
    return job.done({"greeting": f"hello {job.input.get('name', 'nobody')}"})


sad = Blueprint("sad")


@sad.start
async def refuse(job: Job) -> Next:
    return job.fail("no luck today")


gate = Blueprint("gate")


@gate.start
async def question(job: Job) -> Next:
    return job.ask("May it pass?", approved=passed, rejected=stopped)


@gate.state
async def passed(job: Job, answer: Decision) -> Next:
    return job.done({"by": answer.by, "note": answer.note})


@gate.state
async def stopped(job: Job, answer: Decision) -> Next:
    return job.fail("stopped")


panel = Blueprint("panel")


@panel.start
async def to_the_panel(job: Job) -> Next:
    return job.ask("Pay?", approved=passed_by_all, rejected=failed, approvers=["ada", "bob"], quorum=2, form=Form)


@panel.state
async def passed_by_all(job: Job, answer: Decision[Form]) -> Next:
    return job.done({"by": [given.by for given in answer.answers], "cents": answer.form.cents})


labour = Blueprint("labour")


@labour.start
async def give(job: Job) -> Next:
    return job.run("test.double", job.input, ok=take)


@labour.state
async def take(job: Job, answer: dict) -> Next:
    return job.done(answer)
'''
WORKER = """\
from muster_worker import Worker

worker = Worker()


@worker.task("test.double")
def double(ctx, params):
    return {"doubled": 2 * params["number"]}
"""


def start_dev(machine: Machine, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    """A development server and what it said until it was ready."""
    running = machine.start("-m", "muster.cli.app", "dev", *arguments)
    assert running.stdout is not None
    said = ""
    while "Try this" not in said:
        line = running.stdout.readline()
        assert line, f"it ended: {said}{(machine.folder / 'stderr.log').read_text()}"
        said += line
    return running, said


def stop(running: subprocess.Popen[str]) -> None:
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=20)


@dataclass
class Dev(Machine):
    said: str = ""

    def typed(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command as a shell does."""
        return super().muster(*arguments)

    def muster(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in this process, which takes a tenth of the time."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            for name, value in {**self.environment, **variables}.items():
                patch.setenv(name, value)
            out, err = TextIOWrapper(BytesIO()), TextIOWrapper(BytesIO())
            with redirect_stdout(out), redirect_stderr(err):
                code = run(arguments)
            return subprocess.CompletedProcess(arguments, code, _text_of(out), _text_of(err))


def _text_of(stream: TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """A development server with a worker, for all tests that only talk to it."""
    with clean_machine(tmp_path_factory.mktemp("dev")) as machine:
        (machine.folder / "blueprints").mkdir()
        (machine.folder / "blueprints" / "small.py").write_text(BLUEPRINTS)
        (machine.folder / "hands.py").write_text(WORKER)
        running, said = start_dev(machine, "--port", str(free_port()), "--worker", "hands")
        yield Dev(machine.folder, machine.mark, said=said)
        stop(running)
        assert running.returncode in {0, 130}


def test_dev_prints_where_everything_is(dev: Dev) -> None:
    for words in ("API          http://127.0.0.1:", "docs  http://", "Valkey", "kept between runs", "blueprints"):
        assert words in dev.said or words.replace("Valkey", "Redis") in dev.said
    for name in ("MUSTER_URL", "MUSTER_CLIENT_TOKEN", "MUSTER_WORKER_TOKEN"):
        assert f"export {name}=" in dev.said


def test_commands_in_the_same_folder_need_no_setup(dev: Dev) -> None:
    done = dev.typed("job", "start", "hello", "--input", '{"name": "Ada"}', "--watch")
    assert done.returncode == 0, done.stderr
    assert '"greeting": "hello Ada"' in done.stdout


def test_json_output_is_the_job_of_the_api_and_nothing_else(dev: Dev) -> None:
    job = dev.json("job", "start", "hello", "--watch")
    assert (job["status"], job["result"]) == ("finished", {"greeting": "hello nobody"})
    assert dev.json("job", "show", "@last")["id"] == job["id"]
    listed = dev.json("job", "ls", "--status", "finished")
    assert listed["items"][0]["id"] == job["id"]


def test_the_exit_code_tells_how_the_job_ended(dev: Dev) -> None:
    sad = dev.typed("job", "start", "sad", "--watch")
    assert sad.returncode == 3
    assert "no luck today" in sad.stdout
    job_id = dev.json("job", "start", "gate")["job_id"]
    assert dev.muster("job", "cancel", job_id).returncode == 0
    assert dev.muster("job", "watch", job_id).returncode == 4
    late = dev.typed("job", "start", "gate", "--watch", "--timeout", "0.3")
    assert late.returncode == 124
    assert "try: muster job watch" in late.stderr


def test_a_person_approves_with_a_comment(dev: Dev) -> None:
    job_id = dev.json("job", "start", "gate")["job_id"]
    approved = dev.muster("approve", "@last", "--comment", "fine", "--by", "ann")
    assert approved.returncode == 0, approved.stderr
    job = dev.json("job", "watch", job_id)
    assert job["result"] == {"by": "ann", "note": "fine"}
    again = dev.muster("approve", job_id)
    assert again.returncode == 1
    assert "try: " in again.stderr


def test_a_person_rejects(dev: Dev) -> None:
    dev.json("job", "start", "gate")
    assert dev.muster("reject", "@last").returncode == 0
    assert dev.muster("job", "watch", "@last").returncode == 3


def test_approvers_answer_and_hand_on_from_the_command_line(dev: Dev) -> None:
    job_id = dev.json("job", "start", "panel")["job_id"]
    first = dev.json("approve", job_id, "--by", "ada", "--form", '{"cents": 5}')
    assert first == {"job_id": job_id, "decision": "approved", "answers": 1, "missing": ["bob"]}
    assert dev.muster("approval", "delegate", job_id, "bob", "carol").returncode == 0
    listed = dev.muster("approval", "ls", "--approver", "carol")
    assert job_id in listed.stdout
    assert "carol" in listed.stdout
    assert dev.json("approval", "ls", "--approver", "ada") == []
    wrong = dev.muster("approve", job_id, "--by", "carol", "--form", '{"cents": "many"}')
    assert wrong.returncode == 1
    assert "/cents" in wrong.stderr
    assert dev.muster("approve", job_id, "--form", "{").returncode == 2
    assert dev.muster("approve", job_id, "--by", "carol", "--form", '{"cents": 7}').returncode == 0
    assert dev.json("job", "watch", job_id)["result"] == {"by": ["ada", "carol"], "cents": 7}


def test_the_worker_of_dev_does_the_work_and_is_listed(dev: Dev) -> None:
    job = dev.json("job", "start", "labour", "--input", '{"number": 21}', "--watch", "--timeout", "20")
    assert job["result"] == {"doubled": 42}
    (worker,) = dev.json("worker", "ls")
    assert worker["supported_tasks"] == ["test.double"]


def test_files_are_sent_and_fetched(dev: Dev) -> None:
    (dev.folder / "data.csv").write_text("a,b\n")
    sent = dev.muster("file", "put", "data.csv")
    assert sent.returncode == 0, sent.stderr
    got = dev.muster("file", "get", sent.stdout.strip(), "copy.csv")
    assert got.returncode == 0, got.stderr
    assert (dev.folder / "copy.csv").read_text() == "a,b\n"
    dev.json("job", "start", "hello", "--watch")
    assert dev.json("file", "ls", "@last") == {"items": []}
    assert dev.muster("file", "get", "0" * 32, "none").returncode == 5
    missing = dev.muster("file", "put", "nothing-here")
    assert missing.returncode == 2
    assert missing.stderr.startswith("muster: nothing-here is not a file")


def test_a_job_may_be_named_by_its_beginning(dev: Dev) -> None:
    job_id = dev.json("job", "start", "hello", "--watch")["id"]
    assert dev.json("job", "show", job_id[:23])["id"] == job_id


def test_what_does_not_exist_is_exit_code_5(dev: Dev) -> None:
    for arguments in (["job", "show", "0" * 32], ["job", "start", "nope"], ["blueprint", "graph", "nope"]):
        done = dev.muster(*arguments)
        assert done.returncode == 5, done.stderr
        assert done.stderr.splitlines()[-1].startswith("  try: ")


def test_a_wrong_token_is_exit_code_6(dev: Dev) -> None:
    done = dev.typed("job", "ls", "--token", "wrong")
    assert done.returncode == 6


def test_blueprints_are_listed_and_drawn(dev: Dev) -> None:
    names = [item["name"] for item in dev.json("blueprint", "ls")["items"]]
    assert sorted(names) == ["command", "gate", "hello", "labour", "panel", "sad", "sequence"]
    assert "digraph" in dev.muster("blueprint", "graph", "gate").stdout
    assert "flowchart" in dev.muster("blueprint", "graph", "gate", "-o", "mermaid").stdout


def test_a_changed_blueprint_is_loaded_again(machine: Machine) -> None:
    (machine.folder / "blueprints").mkdir()
    (machine.folder / "blueprints" / "small.py").write_text(BLUEPRINTS)
    running, _ = start_dev(machine, "--port", "0")
    here = Dev(machine.folder, machine.mark)
    changed = BLUEPRINTS.replace('f"hello', 'f"good morning')

    def greeting() -> str:
        # Saved each time: the watch begins a moment after the server is ready.
        (machine.folder / "blueprints" / "small.py").write_text(changed)
        return str(here.json("job", "start", "hello", "--watch")["result"]["greeting"])

    wait_until(lambda: greeting() == "good morning nobody")
    stop(running)


def test_check_names_file_and_line_without_a_server(machine: Machine) -> None:
    (machine.folder / "bad.py").write_text(
        BLUEPRINTS.split("sad = ")[0] + "\n@hello.state\nasync def lonely(job: Job) -> Next:\n    return job.done()\n"
    )
    done = machine.muster("blueprint", "check", "bad.py")
    assert done.returncode == 1
    assert "lonely" in done.stdout
    assert re.search(r"line +\d+", done.stdout)


def test_jobs_are_kept_between_runs_until_fresh_is_asked_for(machine: Machine) -> None:
    (machine.folder / "blueprints").mkdir()
    (machine.folder / "blueprints" / "small.py").write_text(BLUEPRINTS)
    here = Dev(machine.folder, machine.mark)
    port = str(free_port())
    counts = []
    for arguments in ([], [], ["--fresh"]):
        running, _ = start_dev(machine, "--port", port, *arguments)
        here.json("job", "start", "hello", "--watch")
        counts.append(len(here.json("job", "ls")["items"]))
        stop(running)
    assert counts == [1, 2, 1]


def test_a_taken_port_is_said_and_the_next_one_used(machine: Machine) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        running, said = start_dev(machine, "--port", str(port))
        assert f"port {port} is taken" in said
        stop(running)


def test_a_second_dev_in_one_folder_is_refused(machine: Machine) -> None:
    running, _ = start_dev(machine, "--port", "0")
    second = machine.muster("dev", "--port", "0")
    assert second.returncode == 1
    assert "in use by another engine" in second.stderr
    stop(running)


def test_a_blueprint_that_is_data_goes_through_its_whole_life(dev: Dev) -> None:
    file = dev.folder / "letters.yaml"
    first = "name: letters\nstart: a\nstates:\n  a: {wait_for: go, ok: b}\n  b: {done: first}\n"
    file.write_text(first)
    assert dev.muster("blueprint", "apply", "letters.yaml").stdout.startswith("letters  1:")
    assert "as it was" in dev.muster("blueprint", "apply", "letters.yaml").stdout
    job = dev.json("job", "start", "letters")["job_id"]
    (dev.folder / "new.yaml").write_text(first.replace("done: first", "done: second"))
    assert dev.muster("blueprint", "diff", "letters@1", "new.yaml").stdout.splitlines()[1:] == [
        "state   ~ b", "jobs in a  go on", "jobs in b  go on",
    ]  # fmt: skip
    assert dev.json("blueprint", "apply", "new.yaml", "--share", "50")["rollout"]["share"] == 50
    assert "50 % begin with 2:" in dev.muster("blueprint", "show", "letters").stderr
    assert "new jobs begin with 2:" in dev.muster("blueprint", "promote", "letters").stdout
    assert dev.json("blueprint", "migrate", "letters", "--to", "2", "--dry-run")["states"]["a"]["moved"] == 1
    moved = dev.muster("blueprint", "migrate", "letters", "--to", "2")
    assert moved.stdout.splitlines()[1].split()[:3] == ["a", "1", "0"]
    dev.muster("job", "signal", job, "go", "{}")
    assert dev.json("job", "watch", job)["result"] == "second"
    file.write_text(first.replace("ok: b", "ok: bee"))
    refused = dev.muster("blueprint", "apply", "letters.yaml")
    assert refused.returncode == 2
    assert "line 4   /states/a/ok: there is no state 'bee'" in refused.stderr
    assert "out of service" in dev.muster("blueprint", "rm", "letters").stdout
