"""Child processes end with their command: when it is done, and when it is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from muster.cli.processes import STOP_SECONDS_MAX, Child, Children


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_children_are_stopped_when_the_command_is_done(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        child = children.start("sleeper", ["sleep", "60"], {})
        assert is_running(child.process.pid)
    assert not is_running(child.process.pid)


def test_a_child_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 1; done"
    with Children(tmp_path, patience_s=0.2) as children:
        child = children.start("stubborn", ["sh", "-c", script], {})
        wait_until(lambda: "ready" in child.log_tail())
    assert child.process.returncode == -signal.SIGKILL


def test_children_that_ignore_it_share_one_time_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0
    waited: list[float] = []

    class Stubborn:
        def terminate(self) -> None: ...
        def kill(self) -> None: ...

        def wait(self, timeout: float | None = None) -> int:
            nonlocal clock
            if timeout is None:
                return -signal.SIGKILL
            clock += timeout
            waited.append(timeout)
            raise subprocess.TimeoutExpired("stubborn", timeout)

    monkeypatch.setattr("muster.cli.processes.time.monotonic", lambda: clock)
    some = [Child(str(number), cast("subprocess.Popen[bytes]", Stubborn()), None) for number in range(3)]
    Children(started=some).stop()
    assert waited == [STOP_SECONDS_MAX, 0, 0]


def test_who_serves_the_others_is_asked_to_end_after_they_have(tmp_path: Path) -> None:
    last_words = "trap 'kill -0 $SERVER && echo still served; exit' TERM; echo ready; while :; do sleep 0.1; done"
    with Children(tmp_path) as children:
        server = children.start("server", ["sleep", "60"], {}, serves=True)
        worker = children.start("worker", ["sh", "-c", last_words.replace("$SERVER", str(server.process.pid))], {})
        wait_until(lambda: "ready" in worker.log_tail())
    assert "still served" in worker.log_tail()
    assert not is_running(server.process.pid)


def test_a_child_has_none_of_our_settings_but_those_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSTER_PORT", "1")
    with Children(tmp_path) as children:
        child = children.start("env", ["env"], {"MUSTER_URL": "http://here"})
        child.process.wait(10)
        assert children.ended() == [child]
        log = (tmp_path / "env.log").read_text()
    assert "MUSTER_URL=http://here" in log
    assert "MUSTER_PORT" not in log
    assert "PATH=" in log


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_children_die_with_a_command_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from muster.cli.processes import Children;"
        "child = Children(Path(sys.argv[1])).start('sleeper', ['sleep', '60'], {});"
        "print(child.process.pid, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert is_running(pid)
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate()
    wait_until(lambda: not is_running(pid))
