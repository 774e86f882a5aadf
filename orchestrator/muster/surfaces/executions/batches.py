"""Batches: executions that named the same `batch_id`, of one client, side by side."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from muster.api.call import Call, json_answer
from muster.core.record import JobRecord
from muster.errors import ErrorCode, MusterError
from muster.surfaces.executions.shapes import SURFACE, member_object
from muster.surfaces.paging import Page
from muster.surfaces.words import word

PAGE: Final = 100
"""Members read at once: each may be as large as a body."""
ID_MAX: Final = 128


def tag_of(batch_id: str) -> str:
    """The tag of the jobs of a batch."""
    return f"batch:{batch_id}"


async def get_batch_status(call: Call) -> web.Response:
    members = [(word(SURFACE, record), record.cost_micros) async for record in _members(call)]
    statuses = [status for status, _ in reversed(members)]
    return json_answer(
        {
            "batch_id": call.path["batch_id"],
            "statuses": statuses,
            "total": len(statuses),
            "counts": dict(Counter(statuses)),
            "total_cost_micros": sum(cost for _, cost in members),
        }
    )


async def list_batch_executions(call: Call) -> web.Response:
    """In the order in which they were created; only the newest where they are too large together."""
    page = Page()
    async for record in _members(call):
        if not page.add(member_object(record)):
            break
    return json_answer(page.items[::-1])


async def _members(call: Call) -> AsyncIterator[JobRecord]:
    """The last one created first.

    Raises:
        MusterError: NOT_FOUND where the caller has no such batch.
    """
    batch_id = call.path["batch_id"]
    cursor: str | None = None
    is_known = False
    while len(batch_id) <= ID_MAX:
        page = await call.engine.tagged(call.tenant, tag_of(batch_id), limit=PAGE, cursor=cursor)
        for record in page.items:
            is_known = True
            yield record
        cursor = page.next
        if cursor is None:
            break
    if not is_known:
        raise MusterError(
            ErrorCode.NOT_FOUND,
            "Batch not found",
            hint="A batch begins with the first execution that names its batch_id.",
        )
