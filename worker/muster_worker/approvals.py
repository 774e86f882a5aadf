"""Questions to people, as a client asks after them and answers them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic_core import to_jsonable_python

from muster_worker.answers import read_answer
from muster_worker.codec import encode
from muster_worker.transport import Transport


class GivenAnswer(BaseModel):
    """What somebody answered. `proof` is `link` where they used a link of their own; else `by` is a claim."""

    model_config = ConfigDict(extra="allow")

    decision: str
    by: str = ""
    approver: str | None = None
    note: str = ""
    form: Any = None
    proof: str = "none"
    at: datetime | None = None


class Approver(BaseModel):
    """Who has a say; `link` is their own page."""

    model_config = ConfigDict(extra="allow")

    approver: str
    instead_of: str | None = None
    answered: str | None = None
    token: str = ""
    link: str | None = None


class OpenQuestion(BaseModel):
    """A question that waits for people. `quorum` and `forms` (JSON Schemas) go by choice."""

    model_config = ConfigDict(extra="allow")

    job_id: str
    blueprint_name: str
    message: str
    decisions: list[str]
    asked_at: datetime
    deadline_at: datetime | None = None
    escalates_at: datetime | None = None
    approval_token: str = ""
    link: str | None = None
    quorum: dict[str, int] = {}
    forms: dict[str, dict[str, Any]] = {}
    approvers: list[Approver] = []
    answers: list[GivenAnswer] = []

    @property
    def missing(self) -> list[str]:
        """Who has a say and has not given it; empty also where anybody may answer."""
        return [one.approver for one in self.approvers if one.answered is None]


class Inbox(BaseModel):
    """A page of open questions, newest first; `next` is the cursor of the one after it."""

    items: list[OpenQuestion]
    next: str | None = None


class Standing(BaseModel):
    """How a question stands after an answer. `decided` is the choice that has won; None where that is not told yet."""

    model_config = ConfigDict(extra="allow")

    decided: str | None = None
    answers: int | None = None
    missing: list[str] | None = None


_INBOX: Final = TypeAdapter(Inbox)
_STANDING: Final = TypeAdapter(Standing)


class ApprovalCalls:
    """The part of `Client` that is about questions to people."""

    _transport: Transport

    async def decide(
        self,
        job_id: str,
        decision: str,
        *,
        note: str = "",
        by: str = "",
        form: object = None,
        approver: str = "",
    ) -> Standing:
        """Answer a job that waits for people.

        Conflict: it does not, or someone was faster; its `problem["decided"]` tells who and when.

        Args:
            job_id: of the job that asks.
            decision: one of the question's words.
            note: goes into the job's history.
            by: who decided.
            form: what the question's form asks for, an object or a model.
            approver: whose say it is, where the question names approvers; else *by*.
        """
        body: dict[str, Any] = {"decision": decision, "note": note, "by": by}
        if form is not None:
            body["form"] = to_jsonable_python(form)
        if approver:
            body["approver"] = approver
        answer = await self._transport.request("POST", f"{_path(job_id)}/decision", body=encode(body))
        return read_answer(_STANDING, answer.body)

    async def delegate(self, job_id: str, approver: str, to: str, *, note: str = "") -> None:
        """Hand the say of *approver* to somebody who has none, before it is given."""
        body: Mapping[str, str] = {"approver": approver, "to": to, "note": note}
        await self._transport.request("POST", f"{_path(job_id)}/decision/delegate", body=encode(body))

    async def approvals(
        self, *, approver: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> Inbox:
        """Questions that wait for people; with *approver* those that wait for their answer.

        A page may be short before the end: `next` decides.
        """
        given = {"approver": approver, "limit": limit, "cursor": cursor}
        query = urlencode({name: value for name, value in given.items() if value is not None})
        answer = await self._transport.request("GET", f"/api/v1/approvals?{query}")
        return read_answer(_INBOX, answer.body)


def _path(job_id: str) -> str:
    return f"/api/v1/jobs/{quote(job_id, safe='')}"
