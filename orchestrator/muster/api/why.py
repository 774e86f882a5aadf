"""Routes that say why: of a job that does not run, and of a fleet that is too small or too large."""

from typing import Any

from aiohttp import web

from muster.api.call import Call, json_answer
from muster.api.wire import time_text
from muster.engine.reasons import Reason


async def get_why(call: Call) -> web.Response:
    """Why the job is not running now."""
    explained = await call.engine.why(call.tenant, call.path["job_id"])
    record = explained.record
    return json_answer(
        {
            "job_id": record.id,
            "blueprint_name": record.blueprint,
            "status": record.status.value,
            "current_state": record.state,
            "at": time_text(explained.at),
            "reasons": [_reason_object(reason) for reason in explained.reasons],
        }
    )


async def get_wanted(call: Call) -> web.Response:
    """Work and workers by task type; with `task` the wanted workers of that one alone, 0 where nobody knows it."""
    demands = await call.engine.wanted()
    task = call.query("task")
    if task is not None:
        return json_answer({"value": sum(demand.wanted_workers for demand in demands if demand.task == task)})
    items = [
        {
            "task": demand.task,
            "queued": demand.queued,
            "running": demand.running,
            "workers": demand.workers,
            "slots": demand.slots,
            "wanted_workers": demand.wanted_workers,
        }
        for demand in demands
    ]
    return json_answer({"items": items})


def _reason_object(reason: Reason) -> dict[str, Any]:
    return {
        "code": reason.code.value,
        "text": reason.text,
        "since": time_text(reason.since),
        "until": time_text(reason.until),
        "details": reason.details,
        "reasons": [_reason_object(below) for below in reason.reasons],
    }
