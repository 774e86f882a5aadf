"""Routes that operate on jobs: pause and resume them, start them again."""

from aiohttp import web

from muster.api.call import Call, json_answer
from muster.api.client import shown_job
from muster.api.operation_models import PauseJob, ResumeJob, RetryJob
from muster.engine.retrying import Given, RetryOrder


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


async def retry_job(call: Call) -> web.Response:
    """Start a job that is over again, in one of its states."""
    body = call.body(RetryJob)
    given = body.model_fields_set
    order = RetryOrder(
        state=body.state,
        argument=Given(body.argument) if "argument" in given else None,
        data=Given(body.data) if "data" in given else None,
        new=body.new,
        newest=body.version == "newest",
        by=body.by or call.tenant,
        key=body.key,
    )
    record = await call.engine.operations.retrying.retry(call.tenant, call.path["job_id"], order)
    return json_answer(await shown_job(call, record))
