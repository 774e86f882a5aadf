"""Commands run as a worker runs them, what they said, and every process they leave."""

import asyncio
import contextlib
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from muster_worker.command import CommandParams, CommandResult
from muster_worker.command.handler import CommandHandler
from muster_worker.command.settings import CommandSettings
from muster_worker.running import Running

SECONDS_MAX = 20.0
MARK = "COMMAND_MARK"


class FakeFiles:
    """What was uploaded, with its content at that moment; `stored` are files that can be downloaded."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.uploaded: dict[str, bytes] = {}
        self.steps: dict[str, int | None] = {}

    async def download(self, file_id: str, path: Path) -> None:
        if file_id not in self.stored:
            raise FileNotFoundError(f"there is no file {file_id!r}")
        await asyncio.to_thread(path.write_bytes, self.stored[file_id])

    async def upload(self, path: Path, name: str, *, description: str = "", step: int | None = None) -> SimpleNamespace:
        self.uploaded[name] = await asyncio.to_thread(path.read_bytes)
        self.steps[name] = step
        return SimpleNamespace(name=name)


class FakeCtx:
    """The part of a task's context that commands use."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.files = FakeFiles()
        self.running = Running({"job_id": "j", "task_id": "j.1"}, None)

    def emit(self, kind: str, **fields: Any) -> None:
        self.events.append({"kind": kind, **fields})

    @property
    def stop_reason(self) -> str | None:
        return self.running.stopped

    def lines(self, stream: str = "stdout") -> list[str]:
        return [e["text"] for e in self.events if e["kind"] == "log" and e["stream"] == stream]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["kind"] == kind]


@dataclass
class Bench:
    """Runs commands with *settings* and knows every process of theirs by a mark in its environment."""

    settings: CommandSettings
    ctx: FakeCtx = field(default_factory=FakeCtx)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    async def run(self, *argv: str, **params: Any) -> CommandResult:
        given = {"argv": argv} if argv else {}
        environment = {MARK: self.mark, **params.pop("environment", {})}
        order = CommandParams.model_validate({**given, **params, "environment": environment})
        return await CommandHandler(self.settings).run(self.ctx, order)  # type: ignore[arg-type]

    def start(self, *argv: str, **params: Any) -> "asyncio.Task[CommandResult]":
        return asyncio.ensure_future(self.run(*argv, **params))

    async def run_python(self, script: str, **params: Any) -> CommandResult:
        return await self.run(sys.executable, "-u", "-c", script, **params)

    async def said(self, line: str) -> None:
        await until(lambda: line in self.ctx.lines(), f"it printed {line!r}")

    def left(self) -> list[int]:
        """Processes of these commands that still run."""
        return marked(self.mark)

    def folders(self) -> list[Path]:
        return list(self.settings.folder.iterdir())


def marked(mark: str) -> list[int]:
    wanted = f"{MARK}={mark}".encode()
    return [pid for pid in _numbers("/proc") if wanted in _environ(pid).split(b"\0")]


async def until(condition: Callable[[], bool], what: str, seconds: float = SECONDS_MAX) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in {seconds:g} s: {what}"
        await asyncio.sleep(0.01)


def memory_peak_kib() -> int:
    """Of this process, since it began."""
    text = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM"))


def _environ(pid: int) -> bytes:
    """Of any thread: the first may have ended before the process."""
    for thread in _numbers(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError):
            if found := Path(f"/proc/{pid}/task/{thread}/environ").read_bytes():
                return found
    return b""


def _numbers(folder: str) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(path.name) for path in Path(folder).iterdir() if path.name.isdecimal()]
    return []
