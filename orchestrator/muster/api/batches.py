"""Routes of batches: many jobs in one request, and where they stand."""

from typing import Any

from aiohttp import web

from muster.api.batch_stream import is_stream, load_batch
from muster.api.call import Call, json_answer
from muster.api.models import BATCH_ID_CHARACTERS_MAX, StartBatch
from muster.api.wire import time_text
from muster.engine.views import JobOrder
from muster.errors import ErrorCode, MusterError
from muster.store.batch_records import StoredBatch


async def start_batch(call: Call) -> web.Response:
    """Start all of the jobs, or none where one of them is not valid. Sent again with its `id` it starts none twice.

    As `application/x-ndjson` a job a line, up to 100,000: each valid line is taken as it comes, and the answer tells
    those that were refused. `id`, `blueprint` and `webhook_url` are query parameters then.
    """
    if is_stream(call.request):
        return await load_batch(call)
    body = call.body(StartBatch)
    members = [
        JobOrder(call.tenant, member.blueprint, member.initial_data, tags=tuple(member.tags), **call.admission)
        for member in body.jobs
    ]
    batch_id, jobs = await call.engine.start_batch(call.tenant, body.id, members)
    return json_answer({"batch_id": batch_id, "jobs": jobs}, status=201)


async def get_batch(call: Call) -> web.Response:
    stream = await call.engine.bulk.batch(call.tenant, _batch_id(call))
    if stream is not None:
        return json_answer(_streamed(stream))
    batch = await call.engine.batch(call.tenant, _batch_id(call))
    return json_answer(
        {
            "batch_id": batch.id,
            "total": len(batch.members),
            "counts": {status.value: count for status, count in batch.counts.items()},
            "cost_micros": batch.cost_micros,
            "jobs": [{"job_id": member.job, "status": member.status.value} for member in batch.members],
        }
    )


def _streamed(batch: StoredBatch) -> dict[str, Any]:
    return {
        "batch_id": batch.id,
        "total": batch.total,
        "counts": {status.value: count for status, count in batch.counts.items()},
        "cost_micros": batch.cost_micros,
        "jobs": [],
        "live": batch.live,
        "state": _state(batch),
        "created_at": time_text(batch.created_at),
        "finished_at": time_text(batch.ended_at),
    }


def _state(batch: StoredBatch) -> str:
    if batch.ended_at is not None:
        return "finished"
    if batch.is_cancelled:
        return "cancelling"
    return "running" if batch.is_closed else "open"


async def cancel_batch(call: Call) -> web.Response:
    """Cancel the jobs of the batch that are not over."""
    batch_id = _batch_id(call)
    asked = await call.engine.bulk.cancel(call.tenant, batch_id)
    if asked is None:
        asked = await call.engine.cancel_batch(call.tenant, batch_id)
    return json_answer({"batch_id": batch_id, "cancelling": asked})


def _batch_id(call: Call) -> str:
    batch_id = call.path["batch_id"]
    if len(batch_id) > BATCH_ID_CHARACTERS_MAX:
        raise MusterError(ErrorCode.BATCH_NOT_FOUND, "Batch not found")
    return batch_id
