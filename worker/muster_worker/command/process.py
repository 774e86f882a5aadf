"""One command from its supervisor's start to the last trace of it, for an event loop."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from muster_worker.command.supervisor import delete_folder

SUPERVISOR: Final = Path(__file__).with_name("supervisor.py")
FOLDER_PREFIX: Final = "muster-command-"
DRAIN_S: Final = 5.0
"""What is still in the pipes once every process is gone is read; somebody else who holds one is not waited for."""
LATE_S: Final = 10.0
"""A supervisor that has not answered so long after the grace time was stopped or killed by its command."""

CLOSE_S: Final = 60.0
"""To delete the task's directory, which may be a large one."""
SWEEPS_MAX: Final = 200
SWEEP_PAUSE_S: Final = 0.01

Sink = Callable[[str, bytes], None]
"""Takes `stdout` or `stderr` and a chunk, in order; must not block."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the supervisor starts. `rlimits` by name, such as `RLIMIT_NOFILE`."""

    program: str
    argv: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str]
    rlimits: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Ended:
    """`status`: what the process exited with, or minus the signal that ended it."""

    status: int
    run_seconds: float


class NotStarted(Exception):
    """The program cannot be run; the text says why."""


class SupervisorLost(Exception):
    """The supervisor ended before its command did. All that could be found of the command has been killed."""


class Process:
    """Made by `supervised`; `run` once."""

    def __init__(
        self,
        folder: Path,
        popen: "subprocess.Popen[bytes]",
        pipes: "list[_Pipe]",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.folder = folder
        self._popen = popen
        self._pipes = pipes
        self._reader = reader
        self._writer = writer
        self._last_resort: list[asyncio.TimerHandle] = []

    async def run(self, order: Order, started: Callable[[], None] = lambda: None) -> Ended:
        """Start the command and wait until it, and all it started, has ended.

        Cancelled, it leaves the processes as they are: call `stop`, or leave `supervised`.

        Raises:
            NotStarted: no such program or directory, or no right to it.
            SupervisorLost: the command may have ended its supervisor.
        """
        run = {
            "program": order.program,
            "argv": order.argv,
            "directory": str(order.directory),
            "environment": dict(order.environment),
            "rlimits": dict(order.rlimits),
        }
        self._send({"run": run})
        while True:
            message = await self._answer()
            if "started" in message:
                started()
            elif "not_started" in message:
                raise NotStarted(message["not_started"])
            elif "ended" in message:
                await self._drain()
                return Ended(message["ended"], message["run_seconds"])

    def stop(self, grace_s: float) -> None:
        """SIGTERM to all it started, and SIGKILL after *grace_s*; at once where that is 0. `run` goes on."""
        self._send({"stop": grace_s})
        self._last_resort.append(asyncio.get_running_loop().call_later(grace_s + LATE_S, self._popen.kill))
        with contextlib.suppress(OSError):  # a command may have paused its supervisor
            self._popen.send_signal(signal.SIGCONT)

    async def close(self) -> None:
        """End what runs, delete the directory. Returns when both are done."""
        self._writer.close()
        with contextlib.suppress(OSError):
            self._popen.send_signal(signal.SIGCONT)
        try:
            await asyncio.wait_for(self._gone(), CLOSE_S)
        except TimeoutError:
            self._popen.kill()
            await self._gone()
        for timer in self._last_resort:
            timer.cancel()
        if self._popen.returncode != 0:
            await _sweep(self.folder)
        for pipe in self._pipes:
            pipe.close()

    async def _gone(self) -> None:
        pause_s = 0.001
        while self._popen.poll() is None:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.05)

    def _send(self, message: dict[str, Any]) -> None:
        self._writer.write(orjson.dumps(message) + b"\n")

    async def _answer(self) -> dict[str, Any]:
        line = await self._reader.readline()
        if not line:
            await _sweep(self.folder)
            raise SupervisorLost("the process that looks after the command was ended")
        answer: dict[str, Any] = orjson.loads(line)
        return answer

    async def _drain(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*(pipe.ended.wait() for pipe in self._pipes)), DRAIN_S)


@asynccontextmanager
async def supervised(parent_folder: Path, sink: Sink) -> AsyncIterator[Process]:
    """A supervisor, and below *parent_folder* an empty directory that is its command's own.

    Left, however, no process and no file of the command is there any more; that is waited for even when cancelled.
    """
    folder = _new_folder(parent_folder)
    process = await to_the_end(asyncio.ensure_future(_start(folder, sink)))
    try:
        yield process
    finally:
        await to_the_end(asyncio.ensure_future(process.close()))


def _new_folder(parent_folder: Path) -> Path:
    parent_folder.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=parent_folder)).resolve()


async def _start(folder: Path, sink: Sink) -> Process:
    ours, theirs = socket.socketpair()
    out, out_in = os.pipe()
    err, err_in = os.pipe()
    descriptors = [theirs.fileno(), out_in, err_in]
    command = [sys.executable, "-I", "-S", str(SUPERVISOR), *map(str, descriptors), str(folder), str(os.getpid())]
    try:
        # In this thread, which lives as long as the loop: the kernel tells the supervisor when it ends.
        popen = subprocess.Popen(  # noqa: S603, ASYNC220 - our own program; it is started in a millisecond
            command, stdin=subprocess.DEVNULL, env={}, pass_fds=descriptors, start_new_session=True
        )
    except OSError:
        ours.close()
        os.close(out)
        os.close(err)
        delete_folder(str(folder))
        raise
    finally:
        theirs.close()
        os.close(out_in)
        os.close(err_in)
    pipes = [await _read("stdout", out, sink), await _read("stderr", err, sink)]
    return Process(folder, popen, pipes, *await asyncio.open_unix_connection(sock=ours))


async def to_the_end(work: "asyncio.Future[Any]") -> Any:
    """Wait for *work* whatever happens; a cancellation that comes meanwhile is raised when it is done."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError as error:
            cancelled = error
    result = work.result()
    if cancelled is not None:
        if isinstance(result, Process):
            await to_the_end(asyncio.ensure_future(result.close()))
        raise cancelled
    return result


class _Pipe(asyncio.Protocol):
    """Gives what it reads to a sink. The pipe's own buffer is all that is held."""

    def __init__(self, stream: str, sink: Sink) -> None:
        self.ended = asyncio.Event()
        self._stream = stream
        self._sink = sink
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._sink(self._stream, data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        self.ended.set()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def _read(stream: str, descriptor: int, sink: Sink) -> _Pipe:
    pipe = _Pipe(stream, sink)
    await asyncio.get_running_loop().connect_read_pipe(lambda: pipe, os.fdopen(descriptor, "rb", 0))
    return pipe


async def _sweep(folder: Path) -> None:
    """Without a supervisor: kill every process that was started with *folder* as its HOME or works inside of it."""
    for _ in range(SWEEPS_MAX):
        found = [pid for pid in _process_ids() if _belongs(pid, folder)]
        if not found:
            break
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(SWEEP_PAUSE_S)
    await asyncio.to_thread(delete_folder, str(folder))


def _process_ids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _belongs(pid: int, folder: Path) -> bool:
    process = Path(f"/proc/{pid}")
    with contextlib.suppress(OSError):
        if f"HOME={folder}".encode() in (process / "environ").read_bytes().split(b"\0"):
            return True
        return (process / "cwd").readlink().is_relative_to(folder)
    return False
