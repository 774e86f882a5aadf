"""Nothing that a command started outlives it, however it ends and whatever it tried."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from muster_worker import Failed

from tests.command.running import Bench, until

ROOT = Path(__file__).parents[2]

IGNORE = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
DAEMON = (
    IGNORE
    + """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(300)
    os._exit(0)
os.wait()
"""
)
WAIT = "print('ready', flush=True)\ntime.sleep(300)"
STUBBORN = IGNORE + "import time\n" + WAIT
KINDS = {
    "one that sleeps": "import time\n" + WAIT,
    "one that ignores SIGTERM": STUBBORN,
    "one with daemons that forked twice": DAEMON * 3 + WAIT,
    "a tree of shells": "import subprocess, time\n"
    "subprocess.Popen(['sh', '-c', 'sleep 300 & sleep 300 & (setsid sleep 300 &) ; wait'])\n" + WAIT,
    "one that stops itself": "import os, signal\nprint('ready', flush=True)\nos.kill(os.getpid(), signal.SIGSTOP)",
    "one whose first thread has ended": "import ctypes, threading, time\n"
    "threading.Thread(target=lambda: (print('ready', flush=True), time.sleep(300))).start()\n"
    "ctypes.CDLL(None).pthread_exit(None)",
    "one that forks all the time": "import os, time\n"
    "if os.fork() == 0:\n    while True:\n        if os.fork(): os._exit(0)\n        os.setsid()\n" + WAIT,
}


async def begin(bench: Bench, script: str, **params: object) -> "asyncio.Task[object]":
    running = asyncio.ensure_future(bench.run_python(script, **params))
    await bench.said("ready")
    return running


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cancelled_command_leaves_no_process(bench: Bench, kind: str) -> None:
    running = await begin(bench, KINDS[kind])
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 15)
    assert bench.left() == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_command_that_takes_too_long_leaves_no_process(bench: Bench, kind: str) -> None:
    with pytest.raises(Failed, match=r"^timed out after 0\.6 s$") as failed:
        await bench.run_python(KINDS[kind], timeout_seconds=0.6)
    assert failed.value.data is not None
    assert failed.value.data["exit_code"] == -1
    assert bench.left() == []


async def test_a_command_that_ended_well_leaves_no_process(bench: Bench) -> None:
    result = await bench.run_python(DAEMON * 3)
    assert result.exit_code == 0
    assert bench.left() == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_worker_that_is_killed_leaves_no_process_and_no_file(bench: Bench, kind: str) -> None:
    with worker_with(bench, KINDS[kind]) as worker:
        assert bench.folders() != []
        worker.kill()
    await until(lambda: not bench.left() and not bench.folders(), "nothing is left of the command")


async def test_a_worker_killed_with_its_whole_group_leaves_no_process(bench: Bench) -> None:
    with worker_with(bench, KINDS["one with daemons that forked twice"]) as worker:
        assert len(bench.left()) == 4
        os.killpg(worker.pid, signal.SIGKILL)
    await until(lambda: not bench.left() and not bench.folders(), "nothing is left of the command")


async def test_a_command_that_kills_its_supervisor_fails_and_leaves_no_process(bench: Bench) -> None:
    attack = DAEMON + "import signal\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(300)"
    with pytest.raises(Failed, match="looks after the command was ended"):
        await bench.run_python(attack)


async def test_a_command_that_pauses_its_supervisor_can_still_be_cancelled(bench: Bench) -> None:
    running = await begin(bench, "import os, signal, time\nos.kill(os.getppid(), signal.SIGSTOP)\n" + WAIT)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 15)


async def test_a_command_is_asked_before_it_is_killed_and_may_use_the_time(bench: Bench) -> None:
    script = (
        "import signal, sys, time\n"
        "def last_words(*_):\n    print('tidied up', flush=True)\n    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, last_words)\n" + WAIT
    )
    running = await begin(bench, script)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert "tidied up" in bench.ctx.lines()


async def test_children_of_a_command_are_asked_too(bench: Bench, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    script = f"trap 'echo asked > {witness}; exit' TERM; echo ready; while :; do sleep 0.05; done"
    running = asyncio.ensure_future(bench.run("setsid", "--wait", "sh", "-c", script))
    await bench.said("ready")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert witness.read_text() == "asked\n"


async def test_a_second_cancel_does_not_wait_for_the_grace_time(bench: Bench) -> None:
    patient = Bench(bench.settings.model_copy(update={"grace_seconds": 60.0}), mark=bench.mark)
    running = await begin(patient, STUBBORN)
    running.cancel()
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 10)


async def test_a_command_whose_lease_is_lost_is_killed_at_once(bench: Bench) -> None:
    patient = Bench(bench.settings.model_copy(update={"grace_seconds": 60.0}), mark=bench.mark)
    running = await begin(patient, STUBBORN)
    patient.ctx.running.stop("lost")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 10)


async def test_a_directory_without_rights_is_deleted_too(bench: Bench) -> None:
    await bench.run("sh", "-c", "mkdir -p a/b && touch a/b/c && chmod 000 a/b a && ln -s / root")
    assert bench.folders() == []


@contextmanager
def worker_with(bench: Bench, script: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that runs the command as a worker does, and has it running; gone afterwards."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.command.one_command", str(bench.settings.folder), bench.mark, script],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,
    )
    try:
        assert worker.stdout is not None
        with worker.stdout:
            assert worker.stdout.readline() == b"ready\n"
        yield worker
    finally:
        worker.kill()
        worker.wait()
