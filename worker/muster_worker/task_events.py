"""Events of a task's own kind: a type and JSON data, told as a line of the stream `event`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from muster_worker.codec import decode_object, encode
from muster_worker.event_wire import LINE_BYTES_MAX

STREAM: Final = "event"
TYPE_LENGTH_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """What `ctx.event(type, data)` told."""

    type: str
    data: Any = None


def event_text(kind: str, data: Any, declared: Mapping[str, Any], task: str) -> str:
    """The line that tells it. Where the contract declares events, it is one of them and its data fits.

    Raises ValueError for what is none, does not fit, or is longer than a line.
    """
    if not isinstance(kind, str) or not 1 <= len(kind) <= TYPE_LENGTH_MAX:
        raise ValueError(f"the type of an event has 1 to {TYPE_LENGTH_MAX} characters, not {kind!r:.300}")
    if declared and kind not in declared:
        raise ValueError(f"task {task!r} declares no event {kind!r}; it has {', '.join(sorted(declared))}")
    if kind in declared:
        adapter: TypeAdapter[Any] = TypeAdapter(declared[kind])
        data = adapter.dump_python(adapter.validate_python(data), mode="json")
    text = encode({"type": kind, "data": to_jsonable_python(data)})
    if len(text) > LINE_BYTES_MAX:
        raise ValueError(f"event {kind!r} is {len(text)} bytes long; at most {LINE_BYTES_MAX} fit: keep a file instead")
    return text.decode()


def event_of(text: str) -> TaskEvent | None:
    """What *text*, a line of the stream `event`, tells; None for what a worker of another kind made up."""
    try:
        told = decode_object(text)
    except ValueError:
        return None
    kind = told.get("type")
    return TaskEvent(kind, told.get("data")) if isinstance(kind, str) else None
