"""The frames of a job's WebSocket, and which of them a reader asked for."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from muster_worker.command.markers import Meta, parse
from muster_worker.command.steps import PROGRESS

from muster.engine.journal import LogEntry
from muster.engine.live_events import JobChanged, LineCame, LiveEvent

STDOUT: Final = "stdout"
STDERR: Final = "stderr"
KEYS: Final = frozenset({STDOUT, STDERR, PROGRESS})
"""What a reader can choose from; other members of a frame are sent in any case."""
KEEP_ALIVE: Final[Mapping[str, Any]] = {"keepalive": True}


def chosen(text: str | None) -> frozenset[str]:
    """The keys that `stream=` names, separated by commas; all of them where it names none that there is."""
    return frozenset(word.strip() for word in (text or "").split(",")) & KEYS or KEYS


def filtered(frame: Mapping[str, Any], keys: frozenset[str]) -> dict[str, Any]:
    """*frame* without the keys that the reader did not choose; empty where nothing is left."""
    return {key: value for key, value in frame.items() if key in keys or key not in KEYS}


def frames_of(events: Iterable[LiveEvent], *, has_markers: bool) -> Iterator[dict[str, Any]]:
    """One frame for each line, and one for each progress.

    With markers it is the lines that tell the progress, so early and late readers hear the same.
    """
    for event in events:
        match event:
            case LineCame(entry=entry) if entry.stream != "event":
                yield {"dropped": entry.dropped} if entry.dropped else {entry.stream: entry.text + "\n"}
                if has_markers and entry.stream == STDOUT and (fraction := _progress(entry)) is not None:
                    yield {PROGRESS: fraction}
            case JobChanged(record=record) if not has_markers and record.progress is not None:
                yield {PROGRESS: record.progress}
            case _:
                pass


def _progress(entry: LogEntry) -> float | None:
    if PROGRESS not in entry.text:
        return None
    marker = parse(entry.text)
    if not isinstance(marker, Meta) or marker.key != PROGRESS:
        return None
    try:
        fraction = float(marker.value)
    except ValueError:
        return None
    return min(fraction, 1.0) if 0 <= fraction < math.inf else None
