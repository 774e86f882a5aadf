"""The steps of an execution: those its command told of; of other blueprints the states it entered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from muster_worker.command.contract import COMMAND

from muster.api.ports import Engine
from muster.api.wire import time_text
from muster.core.events import JOB_CREATED, STATE_ENTERED
from muster.core.ids import UnixMs
from muster.core.record import JobRecord
from muster.core.status import JobStatus
from muster.engine.journal import StepView
from muster.engine.views import HistoryEvent
from muster.surfaces.words import word

SURFACE: Final = "monitor"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
RUNNING: Final = "running"
PENDING: Final = "pending"
_OPEN: Final = frozenset({RUNNING, PENDING})


@dataclass(frozen=True, slots=True)
class StepsOf:
    """Steps as objects of document 003, by index; and what `META:` markers said outside of them."""

    items: tuple[dict[str, Any], ...]
    metadata: Mapping[str, str]


def is_command(record: JobRecord) -> bool:
    return record.blueprint == COMMAND


def step_id(execution_id: str, index: int | str) -> str:
    return f"{execution_id}-{index}"


def index_of(execution_id: str, text: str) -> str | None:
    """The index in a step's id; None where it is not one of the execution's."""
    prefix = f"{execution_id}-"
    index = text.removeprefix(prefix)
    return index if text.startswith(prefix) and index.isdecimal() and index.isascii() else None


async def steps_of(engine: Engine, record: JobRecord) -> StepsOf:
    """As they are now.

    Raises:
        MusterError: JOB_NOT_FOUND where the job went meanwhile.
    """
    if not is_command(record):
        return StepsOf(_states(record, await engine.history(record.tenant, record.id)), {})
    told = await engine.steps(record.tenant, record.id)
    return StepsOf(tuple(step_object(view, record) for view in told.items), told.metadata)


def step_object(view: StepView, record: JobRecord) -> dict[str, Any]:
    """A step that is still open when its job has ended is over too: nobody is left to tell its end."""
    told = view.fields
    status, completed_at = str(told["status"]), told.get("completed_at")
    if status in _OPEN and record.status.is_final:
        status, completed_at = _end_word(record), record.finished_at
    started_at = told.get("started_at")
    return {
        "id": step_id(record.id, view.index),
        "execution_id": record.id,
        "name": told["name"],
        "description": told.get("description") or "",
        "index": view.index,
        "status": status,
        "exit_code": told.get("exit_code"),
        "error_message": told.get("error_message"),
        "created_at": _text(told.get("created_at") or started_at or record.created_at),
        "started_at": _text(started_at),
        "completed_at": _text(completed_at),
        "estimated_duration": told.get("estimated_duration"),
        "stop_on_error": bool(told.get("stop_on_error")),
        "duration_seconds": _seconds(started_at, completed_at),
        "metadata": told.get("metadata") or {},
    }


def progress_of(record: JobRecord, steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The four members of an execution that count its steps."""
    done = sum(step["status"] == COMPLETED for step in steps)
    percentage = 100 * done / len(steps) if steps else 0.0
    return {
        "total_steps": len(steps),
        "completed_steps": done,
        "current_step_index": max((step["index"] for step in steps if step["started_at"] is not None), default=-1),
        "progress_percentage": 100.0 if word(SURFACE, record) == COMPLETED else round(percentage, 2),
    }


def _states(record: JobRecord, events: Sequence[HistoryEvent]) -> tuple[dict[str, Any], ...]:
    """Each begins where the one before ends. Without a history there is the present one alone."""
    entered: list[tuple[str, UnixMs]] = []
    for event in events:
        is_first = event.event_type == JOB_CREATED
        again = event.previous_state is None and len(entered) == 1 and entered[0][0] == event.state
        if event.state is not None and (is_first or (event.event_type == STATE_ENTERED and not again)):
            entered.append((event.state, event.timestamp))
    entered = entered or [(record.state, record.created_at)]
    ends = [at for _, at in entered[1:]]
    return tuple(
        _state(record, index, name, at, ends[index] if index < len(ends) else None)
        for index, (name, at) in enumerate(entered)
    )


def _state(record: JobRecord, index: int, name: str, at: UnixMs, left_at: UnixMs | None) -> dict[str, Any]:
    status = COMPLETED if left_at is not None else _end_word(record) if record.status.is_final else RUNNING
    if record.status is JobStatus.PENDING:
        status = PENDING
    completed_at = left_at if left_at is not None else record.finished_at
    failed = status == FAILED
    return {
        "id": step_id(record.id, index),
        "execution_id": record.id,
        "name": name,
        "description": "",
        "index": index,
        "status": status,
        "exit_code": None,
        "error_message": record.error if failed else None,
        "created_at": _text(at),
        "started_at": None if status == PENDING else _text(at),
        "completed_at": _text(completed_at),
        "estimated_duration": None,
        "stop_on_error": False,
        "duration_seconds": _seconds(at, completed_at),
        "metadata": {},
    }


def _end_word(record: JobRecord) -> str:
    return COMPLETED if record.status is JobStatus.FINISHED else FAILED


def _text(moment: int | None) -> str | None:
    return time_text(None if moment is None else UnixMs(moment))


def _seconds(started_at: int | None, completed_at: int | None) -> float | None:
    if started_at is None or completed_at is None:
        return None
    return max(completed_at - started_at, 0) / 1000
