"""Routes of workers over HTTP. A worker can harm only the tasks that it holds."""

from typing import Any, Final

import structlog
from aiohttp import web
from muster_worker.wire import PROTOCOL, FreeByType, Heartbeat, Registration
from pydantic import TypeAdapter, ValidationError

from muster.api.auth import authorize_worker
from muster.api.call import Call, worker_answer
from muster.api.models import ResultMessage, ResultsMessage
from muster.api.parameters import refused, seconds, whole
from muster.api.stream import FEATURE
from muster.api.wire import (
    description,
    lease_signs,
    receipt_object,
    task_object,
    task_objects,
    task_report,
    worker_object,
    worker_patch,
)
from muster.core.limits import CLAIM_MAX
from muster.engine.views import FreeSlots, ReportReply
from muster.errors import ErrorCode, MusterError
from muster.observe import names

_log = structlog.stdlib.get_logger()
_FREE: Final[TypeAdapter[dict[str, int]]] = TypeAdapter(FreeByType)
_OF_ONE_RESULT: Final = frozenset({403, 404})
"""Statuses that concern one result of a batch; any other refuses the whole batch, which may be sent again."""


async def register(call: Call) -> web.Response:
    """Join the fleet, or replace one's description."""
    message = call.body(Registration)
    _authorize(call, message.worker_id)
    await call.engine.register(description(message))
    _log.info(names.WORKER_REGISTERED, worker_id=message.worker_id, protocol=message.protocol)
    if message.protocol < PROTOCOL:
        return worker_answer({"status": "registered"})
    settings = call.edge.settings
    return worker_answer(
        {
            "status": "registered",
            "protocol": PROTOCOL,
            "heartbeat_seconds": settings.sdk_heartbeat_seconds,
            "lease_seconds": settings.lease_seconds,
            "poll_seconds": settings.worker_poll_timeout_seconds,
            "features": [FEATURE],
        }
    )


async def heartbeat(call: Call) -> web.Response:
    """Stay in the fleet, tell what changed, keep leases alive, learn what was cancelled."""
    worker_id = call.path["worker_id"]
    message = call.body(Heartbeat) if call.payload is not None else Heartbeat()
    if message.worker_id is not None and message.worker_id != worker_id:
        raise MusterError(
            ErrorCode.INVALID_BODY,
            f"worker_id is {message.worker_id!r} in the body and {worker_id!r} in the URL.",
            hint="Leave it out of the body.",
        )
    reply = await call.engine.heartbeat(worker_id, worker_patch(message), lease_signs(message))
    answer: dict[str, Any] = worker_object(reply.worker) if call.payload is not None else {"status": "ttl_refreshed"}
    if reply.cancel_task_ids or message.leases is not None:
        answer["cancel_task_ids"] = reply.cancel_task_ids
    if reply.lost_task_ids or message.leases is not None:
        answer["lost_task_ids"] = reply.lost_task_ids
    return worker_answer(answer)


async def next_tasks(call: Call) -> web.Response:
    """Wait for work. Whoever goes away while waiting takes no task along."""
    poll_seconds = call.edge.settings.worker_poll_timeout_seconds
    timeout, most = call.query("timeout"), call.query("max")
    timeout_s = poll_seconds if timeout is None else seconds("timeout", timeout, maximum=poll_seconds)
    tasks_max = 1 if most is None else whole("max", most, minimum=1, maximum=CLAIM_MAX)
    leases = await call.engine.poll(
        call.path["worker_id"], timeout_ms=round(timeout_s * 1000), max_tasks=tasks_max, free=_free(call)
    )
    if not leases:
        return web.Response(status=204)
    return worker_answer(task_object(leases[0]) if most is None else {"tasks": task_objects(leases)})


async def report_result(call: Call) -> web.Response:
    """Hand in one result, and with `?next=` take more work along."""
    message = call.body(ResultMessage)
    _authorize(call, message.worker_id)
    wanted = _wanted(call)
    reply = await call.engine.report(task_report(message), next_tasks=wanted or 0, free=_free(call))
    answer = receipt_object(reply)
    if wanted is not None:
        answer["tasks"] = task_objects(reply.tasks)
    return worker_answer(answer)


async def report_results(call: Call) -> web.Response:
    """Hand in several results of one worker; each gets a receipt of its own."""
    messages = call.body(ResultsMessage).results
    worker_ids = {message.worker_id for message in messages}
    if len(worker_ids) != 1:
        raise MusterError(ErrorCode.INVALID_BODY, "The results of one batch must be of one worker.")
    _authorize(call, messages[0].worker_id)
    reports = [task_report(message) for message in messages]
    replies, leases = await call.engine.report_all(reports, next_tasks=_wanted(call) or 0, free=_free(call))
    receipts = [_batch_receipt(message.task_id, reply) for message, reply in zip(messages, replies, strict=True)]
    return worker_answer({"results": receipts, "tasks": task_objects(leases)})


def _batch_receipt(task_id: str, reply: ReportReply | BaseException) -> dict[str, Any]:
    """Raises what concerns more than this one result: the whole batch may be sent again then."""
    if isinstance(reply, BaseException) and not (isinstance(reply, MusterError) and reply.status in _OF_ONE_RESULT):
        raise reply
    if isinstance(reply, MusterError):
        return {"task_id": task_id, "status": "result_refused", "error": str(reply.code)}
    return {"task_id": task_id, **receipt_object(reply)}


def _authorize(call: Call, worker_id: str) -> None:
    assert call.identity is not None, call.operation.path
    authorize_worker(call.identity, call.edge.credentials, worker_id)


def _wanted(call: Call) -> int | None:
    text = call.query("next")
    return None if text is None else whole("next", text, minimum=0, maximum=CLAIM_MAX)


def _free(call: Call) -> FreeSlots | None:
    """How many tasks of some types the worker would take, where it says so."""
    text = call.query("free")
    if text is None:
        return None
    try:
        return FreeSlots(_FREE.validate_json(text))
    except ValidationError as error:
        raise refused("free", text, 'task types with their free slots, for example {"image.resize": 2}') from error
