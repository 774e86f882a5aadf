"""What the markers of one command add up to: its steps, its figures, the files it named. Pure: time is given."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, assert_never

import orjson

from muster_worker.command.markers import Artifact, Marker, Meta, StepComplete, StepError, StepStart

STEPS_MAX: Final = 1_000
"""Further markers of steps are output and no more."""
FILES_MAX: Final = 1_000
META_KEYS_MAX: Final = 64
META_KEY_CHARS_MAX: Final = 256
NAME_CHARS_MAX: Final = 1_000
TEXT_CHARS_MAX: Final = 4_000
COUNTS: Final = frozenset({"rows_inserted", "records_reported", "attempts", "progress_counts"})
"""Figures of the whole command, said inside of a step or outside."""
PROGRESS: Final = "progress"
_WHOLE: Final = re.compile(r"-?[0-9]{1,15}")

Status = Literal["running", "completed", "failed"]


@dataclass(slots=True)
class Step:
    index: int
    name: str
    started_at: datetime
    description: str = ""
    status: Status = "running"
    exit_code: int | None = None
    error_message: str | None = None
    completed_at: datetime | None = None
    estimated_duration: float | None = None
    stop_on_error: bool = False
    metadata: dict[str, str] = field(default_factory=dict[str, str])

    def view(self) -> dict[str, Any]:
        """As JSON, with times as RFC 3339 text."""
        ended = self.completed_at
        return {
            "index": self.index,
            "name": self.name,
            "description": self.description,
            "status": self.status,
            "exit_code": self.exit_code,
            "error_message": self.error_message,
            "created_at": _rfc3339(self.started_at),
            "started_at": _rfc3339(self.started_at),
            "completed_at": None if ended is None else _rfc3339(ended),
            "estimated_duration": self.estimated_duration,
            "stop_on_error": self.stop_on_error,
            "duration_seconds": None if ended is None else (ended - self.started_at).total_seconds(),
            "metadata": dict(self.metadata),
        }


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file that a marker named; `step` is the index of the step that was open."""

    path: str
    description: str
    step: int | None


@dataclass(slots=True)
class Change:
    """What one marker changed.

    Attributes:
        meta: a figure of the whole command.
        progress: a fraction from 0 to 1.
        stop: why the command must end.
    """

    steps: list[Step] = field(default_factory=list[Step])
    meta: Meta | None = None
    progress: float | None = None
    stop: str | None = None


class Steps:
    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.files: list[NamedFile] = []
        self.meta: dict[str, Any] = {}
        self._open: Step | None = None

    def apply(self, marker: Marker, now: datetime) -> Change:
        match marker:
            case StepStart():
                return self._start(marker, now)
            case StepComplete(name):
                return self._complete(name, now)
            case StepError(text):
                return self._fail(text, now)
            case Artifact(path, description):
                if len(self.files) < FILES_MAX:
                    self.files.append(NamedFile(path, description, self._open.index if self._open else None))
                return Change()
            case Meta():
                return self._note(marker)
            case _:
                assert_never(marker)

    def end(self, *, succeeded: bool, exit_code: int | None, now: datetime) -> Change:
        """The command is over, and the open step with it."""
        if self._open is None:
            return Change()
        if succeeded:
            return Change([self._close("completed", 0, now)])
        return Change([self._close("failed", exit_code, now)])

    def _start(self, marker: StepStart, now: datetime) -> Change:
        if len(self.steps) >= STEPS_MAX:
            return Change()
        changed = [self._close("completed", 0, now)] if self._open else []
        step = Step(
            len(self.steps),
            marker.name[:NAME_CHARS_MAX],
            now,
            description=marker.pairs.get("description", "")[:TEXT_CHARS_MAX],
            estimated_duration=_seconds(marker.pairs.get("duration", "")),
            stop_on_error=marker.pairs.get("stop_on_error", "").lower() == "true",
            metadata=dict(marker.pairs),
        )
        self.steps.append(step)
        self._open = step
        return Change([*changed, step])

    def _complete(self, name: str, now: datetime) -> Change:
        if self._open is None or self._open.name != name[:NAME_CHARS_MAX]:
            return Change()
        return Change([self._close("completed", 0, now)])

    def _fail(self, text: str, now: datetime) -> Change:
        if self._open is None:
            return Change()
        step = self._close("failed", 1, now)
        step.error_message = text[:TEXT_CHARS_MAX]
        return Change([step], stop=f"step {step.name!r} failed: {text}" if step.stop_on_error else None)

    def _close(self, status: Status, exit_code: int | None, now: datetime) -> Step:
        step, self._open = self._open, None
        assert step is not None
        step.status, step.exit_code, step.completed_at = status, exit_code, now
        return step

    def _note(self, marker: Meta) -> Change:
        change = Change()
        if len(marker.key) > META_KEY_CHARS_MAX:
            return change
        if marker.key == PROGRESS:
            change.progress = _fraction(marker.value)
        if self._open is not None and _has_room(self._open.metadata, marker.key):
            self._open.metadata[marker.key] = marker.value
            change.steps = [self._open]
        if (self._open is None or marker.key in COUNTS) and _has_room(self.meta, marker.key):
            self.meta[marker.key] = _value(marker.key, marker.value)
            change.meta = marker
        return change


def _has_room(kept: dict[str, Any], key: str) -> bool:
    return key in kept or len(kept) < META_KEYS_MAX


def _value(key: str, text: str) -> Any:
    """Counts as whole numbers, or an object of such; what is something else stays text."""
    if key == "progress_counts":
        return _counts(text)
    return int(text) if key in COUNTS and _WHOLE.fullmatch(text) else text


def _counts(text: str) -> Any:
    try:
        found = orjson.loads(text)
    except ValueError:
        return text
    is_counts = isinstance(found, dict) and all(isinstance(count, int | float) for count in found.values())
    return found if is_counts else text


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


def _fraction(text: str) -> float | None:
    found = _seconds(text)
    return None if found is None else min(found, 1.0)


def _rfc3339(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
