"""Routes that say why: of a job that does not run, and of a fleet that is too small or too large."""

from typing import Any

from aiohttp import web
from muster_worker.needs import InvalidNeeds, labels_from_text, resources_from_text

from muster.api.call import Call, json_answer
from muster.api.wire import time_text
from muster.core.matching import Offer
from muster.engine.offers import offer_of
from muster.engine.reasons import Reason
from muster.errors import ErrorCode, MusterError


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
    """Work and workers by task type and needs; to a question the sum of the wanted workers."""
    task, having = call.query("task"), _having(call)
    demands = await call.engine.wanted(having)
    if task is not None or having is not None:
        asked = [demand for demand in demands if task in {None, demand.task}]
        return json_answer({"value": sum(demand.wanted_workers for demand in asked)})
    items = [
        {
            "task": demand.task,
            "queued": demand.queued,
            "running": demand.running,
            "workers": demand.workers,
            "slots": demand.slots,
            "wanted_workers": demand.wanted_workers,
            "needs": demand.needs,
        }
        for demand in demands
    ]
    return json_answer({"items": items})


def _having(call: Call) -> Offer | None:
    """A worker of a group that is to be scaled, by what it has."""
    labels, resources = call.query("labels"), call.query("resources")
    if labels is None and resources is None:
        return None
    try:
        facts = {"labels": labels_from_text(labels or "")}
        return offer_of("", (), 0.0, facts, resources_from_text(resources or ""))
    except InvalidNeeds as error:
        raise MusterError(ErrorCode.INVALID_PARAMETER, f"{error}.") from error


def _reason_object(reason: Reason) -> dict[str, Any]:
    return {
        "code": reason.code.value,
        "text": reason.text,
        "since": time_text(reason.since),
        "until": time_text(reason.until),
        "details": reason.details,
        "reasons": [_reason_object(below) for below in reason.reasons],
    }
