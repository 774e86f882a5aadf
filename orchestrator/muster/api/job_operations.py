"""Routes that operate on jobs: pause and resume them."""

from aiohttp import web

from muster.api.call import Call, json_answer
from muster.api.client import shown_job
from muster.api.operation_models import PauseJob, ResumeJob


async def pause_job(call: Call) -> web.Response:
    """Hold a job: nothing of it is decided or handed out until it is resumed."""
    body = call.body(PauseJob)
    record = await call.engine.operations.pausing.pause(
        call.tenant, call.path["job_id"], by=body.by or call.tenant, reason=body.reason
    )
    return json_answer(await shown_job(call, record))


async def resume_job(call: Call) -> web.Response:
    """Let go of a paused job; what came in meanwhile counts now."""
    by = call.body(ResumeJob).by or call.tenant
    record = await call.engine.operations.pausing.resume(call.tenant, call.path["job_id"], by=by)
    return json_answer(await shown_job(call, record))
