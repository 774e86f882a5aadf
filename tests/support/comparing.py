"""Replies of two stores made comparable: what may differ (the clock, the order of a set) is taken out."""

from dataclasses import fields, is_dataclass
from typing import Any, Final

from muster.core.limits import TURN_LEASE_MS
from muster.store.base import EndedLease, Tick, Turn
from muster.store.journal import Line

CLOCK_FIELDS: Final = {
    "at",
    "created_at",
    "updated_at",
    "started_at",
    "deadline_at",
    "finished_at",
    "waited_ms",
    "ran_ms",
    "left_ms",
    "failing_ms",
    "duration_ms",
}
HOLD_MS: Final = 5_000


def normal(value: Any) -> Any:
    """*value* as nested tuples and dicts. Of a time only remains whether there is one."""
    match value:
        case Tick():
            return {
                "due": _soon(value.next_due_ms),
                "leases": sorted((normal(lease) for lease in value.leases), key=str),
                "overdue": sorted(value.overdue),
                "messages": sorted((normal(message) for message in value.messages), key=str),
                "escalations": sorted((normal(due) for due in value.escalations), key=str),
                # Turns that are due together may be numbered either way.
                "turns": sorted((normal(turn) | {"token": ""} for turn in value.turns), key=str),
                "dropped": sorted(value.dropped),
            }
        case Turn() | EndedLease():
            return _fields(value)
        case dict():
            return {key: normal(entry) for key, entry in value.items() if key not in {"registered_at", "last_seen_at"}}
        case Line():
            return normal(value._asdict() | {"at": bool(value.at)})
        case tuple() | list():
            return tuple(normal(entry) for entry in value)
        case _ if is_dataclass(value) and not isinstance(value, type):
            return _fields(value)
        case _:
            return value


def _fields(value: Any) -> dict[str, Any]:
    read = {field.name: getattr(value, field.name) for field in fields(value)}
    read.pop("revision", None)
    return {
        "": type(value).__name__,
        **{name: (entry is not None) if name in CLOCK_FIELDS else normal(entry) for name, entry in read.items()},
    }


def _soon(due_ms: int | None) -> str:
    if due_ms is None:
        return "never"
    if due_ms == 0:
        return "now"
    return "held" if due_ms <= HOLD_MS else "leased" if due_ms <= TURN_LEASE_MS else "later"
