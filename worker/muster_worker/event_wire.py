"""Wire types of a running task's events: what it prints, how far it is, at which step. docs/logs.md shows them."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, StrictBool, StrictInt, StrictStr, model_validator

from muster_worker.wire import Number, Wire, WorkerIdText

EVENTS_MAX: Final = 1000
"""In one request."""
BODY_BYTES_MAX: Final = 512 * 1024
LINE_BYTES_MAX: Final = 64 * 1024
"""Longer lines are split by whoever sends them."""
UNIX_MS_MAX: Final = 253_402_300_799_999
"""The end of the year 9999."""

StreamName = Literal["stdout", "stderr", "event"]
"""Lines of `event` are JSON objects with `type` and `data`, which the task tells by itself."""
StepStatus = Literal["pending", "running", "completed", "failed", "skipped"]


def _unix_ms(value: Any) -> Any:
    """RFC 3339 text is understood as well."""
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("a time needs its offset, for example 2024-01-15T10:30:00Z")
        return round(moment.timestamp() * 1000)
    return value


Moment = Annotated[int, Field(ge=0, le=UNIX_MS_MAX, strict=True), BeforeValidator(_unix_ms)]
"""Milliseconds since 1970."""


class Numbered(Wire):
    """`seq` grows by one from event to event of an attempt, from 0."""

    seq: Annotated[int, Field(ge=0, lt=2**53, strict=True)]


class LogEvent(Numbered):
    """One line of output, without its end."""

    kind: Literal["log"]
    stream: StreamName = "stdout"
    text: Annotated[StrictStr, Field(max_length=LINE_BYTES_MAX)]
    at: Moment


class ProgressEvent(Numbered):
    kind: Literal["progress"]
    fraction: Annotated[Number, Field(ge=0, le=1)]
    message: Annotated[StrictStr, Field(max_length=2000)] = ""


class StepFields(Wire):
    """A step as it is now; sent again whenever it changes."""

    index: Annotated[int, Field(ge=0, le=9999, strict=True)]
    name: Annotated[StrictStr, Field(max_length=1000)]
    description: Annotated[StrictStr, Field(max_length=4000)] = ""
    status: StepStatus
    exit_code: StrictInt | None = None
    error_message: Annotated[StrictStr, Field(max_length=4000)] | None = None
    created_at: Moment | None = None
    started_at: Moment | None = None
    completed_at: Moment | None = None
    estimated_duration: Number | None = None
    stop_on_error: StrictBool = False
    duration_seconds: Number | None = None
    metadata: Annotated[dict[str, Any], Field(default_factory=dict)]


class StepEvent(Numbered):
    kind: Literal["step"]
    step: StepFields


class MetaEvent(Numbered):
    """Something about the job as a whole; the last value of a key counts."""

    kind: Literal["meta"]
    key: Annotated[StrictStr, Field(min_length=1, max_length=256)]
    value: Annotated[StrictStr, Field(max_length=8192)]


class DroppedEvent(Numbered):
    """Lines that the worker had no room for."""

    kind: Literal["dropped"]
    count: Annotated[int, Field(ge=1, lt=2**53, strict=True)]
    stream: StreamName | None = None


Event = Annotated[
    LogEvent | ProgressEvent | StepEvent | MetaEvent | DroppedEvent,
    Field(discriminator="kind"),
]


class TaskEventsMessage(Wire):
    """Body of POST /_worker/tasks/{task_id}/events. An empty list asks where the attempt stands."""

    worker_id: WorkerIdText
    attempt: Annotated[int, Field(ge=1, strict=True)]
    fence: StrictStr | None = None
    events: Annotated[list[Event], Field(max_length=EVENTS_MAX)]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        first = self.events[0].seq if self.events else 0
        for place, event in enumerate(self.events):
            if event.seq != first + place:
                raise ValueError(f"events[{place}].seq is {event.seq}, after {first + place - 1}: it grows by one")
        return self


class EventsAnswer(Wire):
    """`accepted_to` is the last `seq` that was taken (-1: none); or `status` says that nothing was."""

    accepted_to: int | None = None
    cancel_requested: bool = False
    status: Literal["ignored"] | None = None
    reason: Literal["stale_task"] | None = None
