"""What a command prints, on its way to whoever follows the task: lines, steps, figures."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from muster_worker.command.lines import LineSplitter
from muster_worker.command.markers import StepStart, parse
from muster_worker.command.steps import Change, Steps


class Emit(Protocol):
    """Takes one event of a task; never blocks."""

    def __call__(self, kind: str, **fields: Any) -> object: ...


class Output:
    """Feed it chunks as they come.

    Args:
        emit: takes `log`, `step`, `meta` and `progress` events.
        has_markers: whether lines of stdout may be markers.
        bytes_max: of both streams together; what comes after is thrown away.
        stop: called with the reason when the command must end.
        copy: takes stdout as it is.
    """

    def __init__(
        self,
        emit: Emit,
        *,
        has_markers: bool,
        bytes_max: int,
        stop: Callable[[str], None],
        copy: Callable[[bytes], None] | None = None,
    ) -> None:
        self.steps = Steps()
        self._copy = copy
        self._emit = emit
        self._has_markers = has_markers
        self._bytes_max = bytes_max
        self._bytes = 0
        self._stop = stop
        self._splitters = {"stdout": LineSplitter(), "stderr": LineSplitter()}

    def take(self, stream: str, chunk: bytes) -> None:
        room = max(0, self._bytes_max - self._bytes)
        self._bytes += len(chunk)
        if len(chunk) > room:
            chunk = chunk[:room]
            self._stop(f"command printed more than {self._bytes_max} bytes")
        if self._copy is not None and stream == "stdout":
            self._copy(chunk)
        at = _now_ms()
        for line in self._splitters[stream].feed(chunk):
            self._line(stream, line, at)

    def say(self, text: str) -> None:
        """A line of the worker's own, among the command's errors."""
        self._emit("log", stream="stderr", text=text, at=_now_ms())

    def flush(self) -> None:
        """The streams are over; the last line of each may have had no end."""
        at = _now_ms()
        for stream, splitter in self._splitters.items():
            for line in splitter.end():
                self._line(stream, line, at)

    def end_step(self, *, succeeded: bool, exit_code: int | None) -> None:
        """The command is over, and with it the step that is open."""
        self._tell(self.steps.end(succeeded=succeeded, exit_code=exit_code, now=datetime.now(UTC)))

    def _line(self, stream: str, line: str, at: int) -> None:
        """The line that begins a step belongs to it, as does the one that ends it."""
        marker = parse(line) if self._has_markers and stream == "stdout" else None
        change = Change() if marker is None else self.steps.apply(marker, datetime.now(UTC))
        if isinstance(marker, StepStart):
            self._tell(change)
            change = Change()
        self._emit("log", stream=stream, text=line, at=at)
        self._tell(change)

    def _tell(self, change: Change) -> None:
        for step in change.steps:
            self._emit("step", step=step.view())
        if change.meta is not None:
            self._emit("meta", key=change.meta.key, value=change.meta.value)
        if change.progress is not None:
            self._emit("progress", fraction=change.progress, message="")
        if change.stop is not None:
            self._stop(change.stop)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
