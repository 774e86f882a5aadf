"""A process that has imported Muster once and forks every server and worker of the tests from there.

Importing is most of what a process costs that lives for some seconds. What is forked is a process as any other, with
its own session, environment and log, and ends as an interpreter ends. Those of `tests/e2e` are started from nothing.
"""

import gc
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import orjson
from muster.embedded import die_with_parent

MESSAGE_BYTES_MAX: Final = 200_000
IMPORTED: Final = (
    *("muster.main", "muster.cli.server", "muster.cli.worker", "redis.asyncio", "uvloop"),
    *("muster_worker.command.handler", "muster_worker.command.settings", "muster_worker.loading"),
)
POLL_S: Final = 0.01


class Forked:
    """One forked process: of `subprocess.Popen` what the tests use."""

    def __init__(self, server: "ForkServer", pid: int) -> None:
        self._server = server
        self.pid = pid

    def poll(self) -> int | None:
        return self._server.code_of(self.pid)

    def wait(self, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            time.sleep(POLL_S)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """The tests' end of it."""

    def __init__(self, folder: Path) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._codes: dict[int, int] = {}
        self._lock = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.forking", str(theirs.fileno())],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def fork(self, command: Sequence[str], *, cwd: Path, env: Mapping[str, str], log_file: Path) -> Forked:
        """Run `python *command*`, which must be `-m` and a module, with its output at the end of *log_file*."""
        wanted = {"command": command, "cwd": str(cwd), "env": env, "log": str(log_file)}
        with self._lock:
            self._socket.sendall(orjson.dumps(wanted))
            while True:
                told = self._receive(wait=True)
                if "forked" in told:
                    return Forked(self, told["forked"])

    def code_of(self, pid: int) -> int | None:
        """How the process ended, as `Popen.returncode` tells it; None while it runs."""
        with self._lock:
            while self._receive(wait=False):
                pass
            return self._codes.get(pid)

    def _receive(self, *, wait: bool) -> dict[str, Any]:
        try:
            message = self._socket.recv(MESSAGE_BYTES_MAX, 0 if wait else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return {}
        assert message, "the fork server has ended"
        told: dict[str, Any] = orjson.loads(message)
        if "forked" in told:
            self._codes.pop(told["forked"], None)
        else:
            self._codes[told["ended"]] = told["code"]
        return told


@cache
def fork_server(root: Path) -> ForkServer:
    """The one of this process, which ends with it."""
    return ForkServer(root)


@dataclass(frozen=True)
class Serving:
    """The other end: forks what is asked for, and tells how each ended."""

    control: socket.socket
    events: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    running: dict[int, int] = field(default_factory=dict[int, int])
    """Processes, by the file descriptor that tells of their end."""

    def until_a_child(self) -> dict[str, Any]:
        """Returns in the children alone, with what is wanted of them. Exits when the tests do."""
        self.events.register(self.control, selectors.EVENT_READ)
        die_with_us = die_with_parent()
        while True:
            for key, _ in self.events.select():
                if key.fd in self.running:
                    self.tell_the_end(key.fd)
                    continue
                message = self.control.recv(MESSAGE_BYTES_MAX)
                if not message:
                    sys.exit()
                pid = os.fork()
                if pid == 0:
                    self.let_go()
                    if die_with_us is not None:
                        die_with_us()
                    wanted: dict[str, Any] = orjson.loads(message)
                    return wanted
                end = os.pidfd_open(pid)
                self.running[end] = pid
                self.events.register(end, selectors.EVENT_READ)
                self.control.sendall(orjson.dumps({"forked": pid}))

    def tell_the_end(self, end: int) -> None:
        self.events.unregister(end)
        os.close(end)
        pid = self.running.pop(end)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self.control.sendall(orjson.dumps({"ended": pid, "code": code}))

    def let_go(self) -> None:
        """What a child does not need of ours."""
        self.events.close()
        self.control.close()
        for end in self.running:
            os.close(end)


def become(wanted: Mapping[str, Any]) -> None:
    """This process is the wanted one from here on, to the end of the interpreter."""
    os.setsid()
    log = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.chdir(wanted["cwd"])
    os.environ.clear()
    os.environ.update(wanted["env"])
    _, module, *arguments = wanted["command"]
    sys.argv = [module, *arguments]
    sys.modules.pop(module, None)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    for name in IMPORTED:
        import_module(name)
    assert threading.active_count() == 1, "a process with threads cannot fork in peace"
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as socket_of_tests:
        become(Serving(socket_of_tests).until_a_child())
