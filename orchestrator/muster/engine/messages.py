"""The webhooks a job sends: their documented bodies."""

from typing import Any

import orjson

from muster.core.decide import Rest
from muster.core.decisions import CANCELLED, LATE
from muster.core.record import JobRecord
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


def approval_message(record: JobRecord, rest: Rest, wave: int, token: str) -> Message:
    wait = rest.draft.context.wait
    assert wait is not None
    body = {
        "event": "approval_requested",
        "job_id": record.id,
        "status": rest.status,
        "message": wait.message,
        "decisions": sorted(word for word in wait.edges if word not in {LATE, CANCELLED}),
        "token": token,
    }
    return _message(record, wave, body)


def _message(record: JobRecord, wave: int, payload: dict[str, Any]) -> Message:
    envelope = {"u": record.submission.webhook_url, "t": record.tenant, "p": payload}
    return Message(f"{record.id}.{wave}", orjson.dumps(envelope))
