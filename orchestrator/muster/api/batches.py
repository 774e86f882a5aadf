"""Routes of batches: many jobs in one request, and where they stand."""

from aiohttp import web

from muster.api.call import Call, json_answer
from muster.api.models import BATCH_ID_CHARACTERS_MAX, StartBatch
from muster.engine.views import JobOrder
from muster.errors import ErrorCode, MusterError


async def start_batch(call: Call) -> web.Response:
    """Start all of the jobs, or none where one of them is not valid. Sent again with its `id` it starts none twice."""
    body = call.body(StartBatch)
    members = [
        JobOrder(call.tenant, member.blueprint, member.initial_data, tags=tuple(member.tags)) for member in body.jobs
    ]
    batch_id, jobs = await call.engine.start_batch(call.tenant, body.id, members)
    return json_answer({"batch_id": batch_id, "jobs": jobs}, status=201)


async def get_batch(call: Call) -> web.Response:
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


async def cancel_batch(call: Call) -> web.Response:
    """Cancel the jobs of the batch that are not over."""
    batch_id = _batch_id(call)
    asked = await call.engine.cancel_batch(call.tenant, batch_id)
    return json_answer({"batch_id": batch_id, "cancelling": asked})


def _batch_id(call: Call) -> str:
    batch_id = call.path["batch_id"]
    if len(batch_id) > BATCH_ID_CHARACTERS_MAX:
        raise MusterError(ErrorCode.BATCH_NOT_FOUND, "Batch not found")
    return batch_id
