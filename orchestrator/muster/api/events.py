"""Where workers tell what their running tasks print and how far they are."""

import time
from typing import Any, Final

import orjson
from aiohttp import web
from muster_worker.event_wire import (
    DroppedEvent,
    LogEvent,
    MetaEvent,
    ProgressEvent,
    StepEvent,
    StepFields,
    TaskEventsMessage,
)

from muster.api.auth import authorize_worker
from muster.api.call import Call, worker_answer
from muster.core.ids import UnixMs
from muster.engine.journal import EventsReport
from muster.store.journal import Entry, Line, Meta, Progress, Step

_OVER: Final = frozenset({"completed", "failed", "skipped"})


async def take_events(call: Call) -> web.Response:
    """Safe to send twice: events that are known are skipped."""
    message = call.body(TaskEventsMessage)
    assert call.identity is not None, call.operation.path
    authorize_worker(call.identity, call.edge.credentials, message.worker_id)
    reply = await call.engine.take_events(
        EventsReport(
            task_id=call.path["task_id"],
            worker_id=message.worker_id,
            attempt=message.attempt,
            fence=message.fence,
            first=message.events[0].seq if message.events else 0,
            entries=tuple(_entry(event, message.attempt) for event in message.events),
        )
    )
    if reply.accepted_to is None:
        return worker_answer({"status": "ignored", "reason": "stale_task"})
    return worker_answer({"accepted_to": reply.accepted_to, "cancel_requested": reply.cancel_requested})


def _entry(event: LogEvent | ProgressEvent | StepEvent | MetaEvent | DroppedEvent, attempt: int) -> Entry:
    match event:
        case LogEvent():
            return Line(UnixMs(event.at), event.stream, event.text)
        case ProgressEvent():
            return Progress(float(event.fraction), event.message)
        case StepEvent():
            return Step(event.step.index, _stored(event.step, attempt), event.step.status in _OVER)
        case MetaEvent():
            return Meta(event.key, event.value)
        case DroppedEvent():
            return Line(UnixMs(int(time.time() * 1000)), "notice", str(event.count))


def _stored(step: StepFields, attempt: int) -> bytes:
    fields: dict[str, Any] = step.model_dump(exclude={"index"})
    return orjson.dumps({"attempt": attempt, "step": fields})
