"""The webhooks a job sends: their documented bodies."""

from typing import Any

import orjson

from muster.core.approvals import NO_CHANGES, Tally, choices_of
from muster.core.decide import Rest
from muster.core.ids import JobId
from muster.core.moments import time_text
from muster.core.record import JobRecord, Wait
from muster.core.status import JobStatus
from muster.engine.approval_tokens import ApprovalTokens
from muster.engine.question_view import QuestionView
from muster.store.base import Message


def final_message(record: JobRecord, rest: Rest, wave: int) -> Message:
    body = {
        "event": f"job_{rest.status}",
        "job_id": record.id,
        "status": rest.status,
        "result": rest.draft.context.results,
        "error": rest.error,
    }
    return _message(record, wave, body)


def approval_message(record: JobRecord, rest: Rest, wave: int, tokens: ApprovalTokens, base_url: str) -> Message:
    wait = rest.draft.context.wait
    wait = None if wait is None else wait.asked
    assert wait is not None
    body = _question("approval_requested", record.id, wave, wait, NO_CHANGES, tokens, base_url)
    return _message(record, wave, body)


def escalation_message(record: JobRecord, tokens: ApprovalTokens, base_url: str) -> Message | None:
    """Tells that others may answer now; `record` is as after the escalation."""
    return _changed("approval_escalated", record, tokens, base_url, {})


def delegation_message(
    record: JobRecord, approver: str, to: str, tokens: ApprovalTokens, base_url: str
) -> Message | None:
    return _changed("approval_delegated", record, tokens, base_url, {"approver": approver, "to": to})


def _changed(
    event: str, record: JobRecord, tokens: ApprovalTokens, base_url: str, more: dict[str, Any]
) -> Message | None:
    wait = record.asked
    if record.submission.webhook_url is None or wait is None:
        return None
    body = _question(event, record.id, record.wave, wait, record.tally, tokens, base_url)
    return _message(record, record.wave, {**body, **more}, f".{record.tally.changes}")


def _question(
    event: str, job: JobId, wave: int, wait: Wait, tally: Tally, tokens: ApprovalTokens, base_url: str
) -> dict[str, Any]:
    view = QuestionView(job, wave, wait, tally, tokens, base_url)
    return {
        "event": event,
        "job_id": job,
        "status": JobStatus.WAITING_FOR_HUMAN,
        "message": wait.message,
        "decisions": sorted(choices_of(wait.edges)),
        "token": view.token,
        "deadline_at": time_text(wait.deadline_at),
        **view.members(),
    }


def _message(record: JobRecord, wave: int, payload: dict[str, Any], change: str = "") -> Message:
    envelope = {"u": record.submission.webhook_url, "t": record.tenant, "p": payload}
    return Message(f"{record.id}.{wave}{change}", orjson.dumps(envelope))
