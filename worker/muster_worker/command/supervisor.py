"""The parent of one command and of all it starts: a program of its own, run by process.py.

It is the subreaper of the command: whatever loses its parent, a daemon that forked twice too, becomes its child, so
all of them can be found and ended. It does so when the command has ended, when it is told to, and when the other end
of its socket closes, which it does even where the worker is killed. Then it deletes the task's directory.

Linux only, the standard library only, and single-threaded: it forks. The messages are JSON, a line each:

    worker to supervisor   {"run": {...}}    {"stop": grace_seconds}
    supervisor to worker   {"started": pid}  {"not_started": text}  {"ended": status, "run_seconds": s}
"""
# It starts with every task, and without pathlib in less time:
# ruff: noqa: PTH101, PTH118, PTH123, PTH208

import contextlib
import ctypes
import errno
import json
import os
import resource
import select
import shutil
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
KILL_ROUNDS_AT_ONCE = 200
"""Killing and looking again without a pause: what forks as fast as it can is caught by that."""
KILL_PAUSE_S = 0.005
OOM_SCORE = "500"
"""Short of memory, the kernel takes the command before the worker."""
_STOPPING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
_prctl: Callable[..., int] = getattr(ctypes.CDLL(None, use_errno=True), "prctl", lambda *_: -1)


class Supervisor:
    def __init__(self, control: socket.socket, output: tuple[int, int], folder: str) -> None:
        self._control = control
        self._output = output
        self._folder = folder
        self._unread = b""
        self._main = 0
        self._began_s = 0.0
        self._status: int | None = None
        self._run_seconds = 0.0
        self._kill_at_s: float | None = None
        self._told_end = False
        self._wake, theirs = socket.socketpair()
        for end in (self._wake, theirs):
            end.setblocking(False)
        self._theirs = theirs
        for number in (signal.SIGCHLD, *_STOPPING):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(theirs.fileno())

    def serve(self) -> None:
        """Until the worker is gone or done with the task. Afterwards no process and no file of it is left."""
        try:
            self._follow()
        finally:
            kill_descendants()
            delete_folder(self._folder)

    def _follow(self) -> None:
        poll = select.poll()
        for end in (self._wake, self._control):
            poll.register(end, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(self._wait_ms())}
            if self._wake.fileno() in ready and _STOPPING & set(self._wake.recv(4096)):
                return
            if self._control.fileno() in ready and not self._read():
                return
            self._look_after_children()

    def _wait_ms(self) -> float | None:
        if self._kill_at_s is None or self._told_end:
            return None
        return max(0.0, self._kill_at_s - time.monotonic()) * 1000 + 1

    def _read(self) -> bool:
        """False once the worker has gone."""
        try:
            more = self._control.recv(65_536)
        except OSError:
            return False
        self._unread += more
        *lines, self._unread = self._unread.split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "run" in message:
                self._run(message["run"])
            elif "stop" in message:
                self._stop(message["stop"])
        return bool(more)

    def _run(self, command: dict[str, Any]) -> None:
        self._began_s = time.monotonic()
        try:
            self._main = spawn(command, self._output)
        except OSError as error:
            self._told_end = True
            self._tell({"not_started": f"{error.strerror}: {error.filename or command['argv'][0]}"})
        else:
            self._tell({"started": self._main})
        finally:
            for descriptor in self._output:
                os.close(descriptor)

    def _stop(self, grace_s: float) -> None:
        kill_at_s = time.monotonic() + grace_s
        self._kill_at_s = kill_at_s if self._kill_at_s is None else min(self._kill_at_s, kill_at_s)
        if grace_s > 0:
            for group in {found.group for found in descendants()} - {0, os.getpgrp()}:
                for number in (signal.SIGTERM, signal.SIGCONT):  # a paused process hears of the first with the second
                    with contextlib.suppress(OSError):
                        os.killpg(group, number)

    def _look_after_children(self) -> None:
        alone = self._reap()
        if self._main == 0 or self._told_end:
            return
        late = self._kill_at_s is not None and time.monotonic() >= self._kill_at_s
        # Asked to stop, the command's own children may use the time that is left; else they end with it.
        if late or (self._status is not None and self._kill_at_s is None):
            kill_descendants(self._note)
            alone = True
        if alone:
            self._told_end = True
            self._tell({"ended": self._status, "run_seconds": round(self._run_seconds, 6)})

    def _reap(self) -> bool:
        """True when there is no child left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            self._note(pid, status)

    def _note(self, pid: int, status: int) -> None:
        if pid == self._main and self._status is None:
            self._run_seconds = time.monotonic() - self._began_s
            self._status = os.waitstatus_to_exitcode(status)

    def _tell(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the worker has gone: the next read says so
            self._control.sendall(json.dumps(message).encode() + b"\n")


class Found:
    """A process as /proc shows it."""

    __slots__ = ("group", "parent", "pid")

    def __init__(self, pid: int, text: bytes) -> None:
        fields = text.rpartition(b")")[2].split()
        self.pid = pid
        self.parent = int(fields[1])
        self.group = int(fields[2])


def spawn(command: dict[str, Any], output: tuple[int, int]) -> int:
    """Start the command in a session of its own. Raises OSError where it cannot be."""
    failed_in, failed_out = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            _become(command, output, parent)
        except OSError as error:
            os.write(failed_out, json.dumps([error.errno, error.strerror, error.filename]).encode())
        except BaseException as error:  # noqa: BLE001 - this is the child: nothing above it may run
            os.write(failed_out, json.dumps([errno.EINVAL, repr(error), None]).encode())
        finally:
            os._exit(127)
    os.close(failed_out)
    with open(failed_in, "rb") as pipe:  # closed by a successful exec
        why = pipe.read()
    if why:
        os.waitpid(pid, 0)
        number, text, name = json.loads(why)
        raise OSError(number, text, name)
    return pid


def _become(command: dict[str, Any], output: tuple[int, int], parent: int) -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ, *_STOPPING):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)  # no other user's process: one that could not be ended
    if os.getppid() != parent:
        os._exit(127)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write(OOM_SCORE)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output[0], 1)
    os.dup2(output[1], 2)
    for name, value in command["rlimits"].items():
        _limit(getattr(resource, name), value)
    os.umask(0o077)
    os.chdir(command["directory"])
    os.execve(  # noqa: S606 - what the worker allows
        command["program"], command["argv"], command["environment"]
    )


def _limit(what: int, value: int) -> None:
    """Never above what the worker itself has."""
    highest = resource.getrlimit(what)[1]
    value = value if highest == resource.RLIM_INFINITY else min(value, highest)
    resource.setrlimit(what, (value, value))


def descendants() -> list[Found]:
    """All processes below this one, and zombies among them."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                found[int(name)] = Found(int(name), file.read())
    below = {os.getpid()}
    children: dict[int, list[Found]] = {}
    for process in found.values():
        children.setdefault(process.parent, []).append(process)
    known: list[Found] = []
    while below:
        next_ones = [child for pid in below for child in children.get(pid, ())]
        known += next_ones
        below = {process.pid for process in next_ones}
    return known


def kill_descendants(note: Callable[[int, int], None] = lambda *_: None) -> None:
    """SIGKILL everything below this process, until there is nothing; *note* hears how each child ended."""
    rounds = 0
    while True:
        alive = descendants()  # zombies too: one whose first thread has ended may still run in its others
        # By groups first: the kernel signals a group at one stroke, so none of it can fork its way out.
        for group in {process.group for process in alive} - {0, os.getpgrp()}:
            with contextlib.suppress(OSError):
                os.killpg(group, signal.SIGKILL)
        for process in alive:
            with contextlib.suppress(OSError):
                os.kill(process.pid, signal.SIGKILL)
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                note(*ended)
        except ChildProcessError:
            return
        rounds += 1
        if rounds > KILL_ROUNDS_AT_ONCE:
            time.sleep(KILL_PAUSE_S)


def delete_folder(folder: str) -> None:
    """With all in it, also where the command took its own rights away."""
    with contextlib.suppress(OSError):
        os.chmod(folder, 0o700)
    for parent, folders, _ in os.walk(folder):
        for name in folders:
            path = os.path.join(parent, name)
            with contextlib.suppress(OSError):
                if stat.S_ISDIR(os.lstat(path).st_mode):
                    os.chmod(path, 0o700)
    shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Arguments: descriptors of the socket, of stdout and of stderr; the directory; the worker's process id."""
    control, out, err = (int(text) for text in sys.argv[1:4])
    folder, worker = sys.argv[4], int(sys.argv[5])
    for descriptor in (control, out, err):
        os.set_inheritable(descriptor, False)
    supervisor = Supervisor(socket.socket(fileno=control), (out, err), folder)
    _prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() == worker:
        supervisor.serve()
    else:
        delete_folder(folder)


if __name__ == "__main__":
    main()
