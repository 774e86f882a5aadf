"""Batches: executions that named the same `batch_id`, of one client, side by side."""

from collections import Counter
from typing import Final

from aiohttp import web

from muster.api.call import Call, json_answer
from muster.core.record import JobRecord
from muster.errors import ErrorCode, MusterError
from muster.surfaces.executions.shapes import SURFACE, member_object
from muster.surfaces.words import word

PAGE: Final = 500
ID_MAX: Final = 128


def tag_of(batch_id: str) -> str:
    """The tag of the jobs of a batch."""
    return f"batch:{batch_id}"


async def get_batch_status(call: Call) -> web.Response:
    members = await _members(call)
    statuses = [word(SURFACE, record) for record in members]
    return json_answer(
        {
            "batch_id": call.path["batch_id"],
            "statuses": statuses,
            "total": len(statuses),
            "counts": dict(Counter(statuses)),
            "total_cost_micros": sum(record.cost_micros for record in members),
        }
    )


async def list_batch_executions(call: Call) -> web.Response:
    return json_answer([member_object(record) for record in await _members(call)])


async def _members(call: Call) -> list[JobRecord]:
    """In the order in which they were created.

    Raises:
        MusterError: NOT_FOUND where the caller has no such batch.
    """
    batch_id = call.path["batch_id"]
    found: list[JobRecord] = []
    cursor: str | None = None
    while len(batch_id) <= ID_MAX:
        page = await call.engine.tagged(call.tenant, tag_of(batch_id), limit=PAGE, cursor=cursor)
        found += page.items
        cursor = page.next
        if cursor is None:
            break
    if not found:
        raise MusterError(
            ErrorCode.NOT_FOUND,
            "Batch not found",
            hint="A batch begins with the first execution that names its batch_id.",
        )
    return found[::-1]
