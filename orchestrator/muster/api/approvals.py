"""Questions to people, for the owner of their jobs: the inbox, answers and delegations."""

from typing import Any, Final

from aiohttp import web

from muster.api.approval_models import Decide, Delegate
from muster.api.call import Call, json_answer
from muster.api.parameters import refused, whole
from muster.core.approvals import choices_of
from muster.core.moments import time_text
from muster.core.record import JobRecord
from muster.engine.approvals import Caller, Given
from muster.engine.question_view import QuestionView

PAGE_SIZE: Final = 50
PAGE_SIZE_MAX: Final = 200
CURSOR_CHARACTERS_MAX: Final = 512
APPROVER_CHARACTERS_MAX: Final = 200


async def decide(call: Call) -> web.Response:
    """The owner answers a job's question; its client token stands in for the approval token."""
    body, job_id = call.body(Decide), call.path["job_id"]
    given = Given(body.decision, body.by or call.tenant, body.note, body.form, body.approver)
    standing = await call.engine.approvals.decide(job_id, given, Caller(tenant=call.tenant))
    answer: dict[str, Any] = {"status": "approval_received", "job_id": job_id}
    if standing.names_approvers:
        answer |= {"decided": standing.decision, "answers": standing.answers, "missing": list(standing.missing)}
    return json_answer(answer)


async def delegate(call: Call) -> web.Response:
    body, job_id = call.body(Delegate), call.path["job_id"]
    await call.engine.approvals.delegate(job_id, body.approver, body.to, body.note, Caller(tenant=call.tenant))
    return json_answer({"status": "approval_delegated", "job_id": job_id, "approver": body.approver, "to": body.to})


async def list_approvals(call: Call) -> web.Response:
    limit, cursor, approver = call.query("limit"), call.query("cursor"), call.query("approver")
    if cursor is not None and not 0 < len(cursor) <= CURSOR_CHARACTERS_MAX:
        raise refused("cursor", cursor, "the `next` of an earlier page")
    if approver is not None and not 0 < len(approver) <= APPROVER_CHARACTERS_MAX:
        raise refused("approver", approver, f"an approver's name of 1 to {APPROVER_CHARACTERS_MAX} characters")
    size = PAGE_SIZE if limit is None else whole("limit", limit, minimum=1, maximum=PAGE_SIZE_MAX)
    page = await call.engine.approvals.inbox(call.tenant, approver=approver, limit=size, cursor=cursor)
    return json_answer({"items": [question_object(call, record) for record in page.items], "next": page.next})


def question_object(call: Call, record: JobRecord) -> dict[str, Any]:
    wait = record.asked
    assert wait is not None
    view = view_of(call, record)
    return {
        "job_id": record.id,
        "blueprint_name": record.blueprint,
        "current_state": record.state,
        "tags": record.submission.tags,
        "message": wait.message,
        "decisions": choices_of(wait.edges),
        "asked_at": time_text(record.updated_at),
        "deadline_at": time_text(wait.deadline_at),
        "approval_token": view.token,
        **view.members(),
    }


def view_of(call: Call, record: JobRecord) -> QuestionView:
    """The question as the job's owner sees it, with links that lead to where the request came in."""
    wait = record.asked
    assert wait is not None
    return QuestionView(record.id, record.wave, wait, record.tally, call.engine.approvals.tokens, base_url(call))


def base_url(call: Call) -> str:
    """The beginning of links: MUSTER_PUBLIC_URL, else where this request was sent."""
    return call.edge.settings.public_url or f"{call.request.scheme}://{call.request.host}"
