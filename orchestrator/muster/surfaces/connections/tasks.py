"""How far a run or a batch is, and its end before its time."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from muster.api.call import Call, json_answer
from muster.api.wire import time_text
from muster.core.connection import BATCH_TAG, name_of_run
from muster.core.record import JobRecord
from muster.core.status import JobStatus
from muster.engine.connections import SEQUENCE
from muster.errors import ErrorCode, MusterError
from muster.surfaces.connections.outcome import error_of, result_of
from muster.surfaces.words import word


async def get_task_status(call: Call) -> web.Response:
    """The caller's run or batch as it is now."""
    record = await _task(call)
    return json_answer({**_common(record), **(_batch(record) if _is_batch(record) else _single(record))})


async def cancel_task(call: Call) -> web.Response:
    """Stop what runs and start no more of it."""
    record = await _task(call)
    if record.status.is_final or record.cancel_requested:
        raise _not_active(record)
    try:
        await call.engine.cancel(call.tenant, record.id)
    except MusterError as error:
        if error.code is ErrorCode.JOB_FINAL:
            raise _not_active(record) from error
        raise
    return json_answer({"message": f"Cancel signal sent to task {record.id}"})


async def _task(call: Call) -> JobRecord:
    """Raises: MusterError JOB_NOT_FOUND, also for a job that is no run of a connection."""
    record = await call.engine.job(call.tenant, call.path["task_id"])
    if not _is_batch(record) and name_of_run(record.submission.tags) is None:
        raise MusterError(ErrorCode.JOB_NOT_FOUND, "Task not found")
    return record


def _is_batch(record: JobRecord) -> bool:
    """Clients may tag whatever they start."""
    return record.blueprint == SEQUENCE and BATCH_TAG in record.submission.tags


def _not_active(record: JobRecord) -> MusterError:
    return MusterError(
        ErrorCode.JOB_NOT_FOUND,
        f"Task {record.id} is over, or on its way there.",
        hint=f"GET /task_status/{record.id} shows how it ended.",
    )


def _common(record: JobRecord) -> dict[str, Any]:
    is_over = record.status.is_final
    return {
        "status": word("connections", record),
        "kind": "batch" if _is_batch(record) else "single",
        "canceled": record.status is JobStatus.CANCELLED if is_over else record.cancel_requested,
        "started_at": time_text(record.started_at or record.created_at),
        "finished_at": time_text(record.finished_at),
        "active": not is_over,
    }


def _single(record: JobRecord) -> dict[str, Any]:
    is_over = record.status.is_final
    return {
        "connection": name_of_run(record.submission.tags),
        "result": result_of(record) if is_over else None,
        "error": error_of(record) if is_over else None,
    }


def _batch(record: JobRecord) -> dict[str, Any]:
    members = record.submission.initial_data.get("members")
    progress = _progress(record)
    return {
        "connections": [member.get("name") for member in _mappings(members)],
        "current": None if record.status.is_final else progress.get("current"),
        "completed": list(progress.get("completed", ())),
    }


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []


def _progress(record: JobRecord) -> Mapping[str, Any]:
    """What the blueprint `sequence` keeps of its members."""
    return record.context.data if isinstance(record.context.data, Mapping) else {}
