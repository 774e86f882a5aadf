"""History entries as stored, and as clients see them."""

import orjson

from muster.core.events import Event
from muster.core.ids import JobId
from muster.engine.views import HistoryEvent
from muster.store.base import RawEvent


def blob(entry: Event) -> str:
    return orjson.dumps(entry).decode()


def history_event(job: JobId, index: int, raw: RawEvent) -> HistoryEvent:
    entry = orjson.loads(raw.blob)
    number = entry.get("n")
    return HistoryEvent(
        event_id=f"{job}-{index}",
        job_id=job,
        timestamp=raw.at,
        event_type=entry["e"],
        state=entry.get("s"),
        previous_state=entry.get("p"),
        next_state=entry.get("x"),
        task_id=None if number is None else f"{job}.{number}",
        worker_id=entry.get("w"),
        attempt_number=entry.get("a"),
        duration_ms=raw.duration_ms,
        details=entry.get("d", {}),
    )
