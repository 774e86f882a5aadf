"""An open question as its owner sees it: in the job, in the inbox and in webhooks."""

from collections.abc import Iterator
from typing import Any

from muster.core import approvals as core
from muster.core.approvals import Answer, Question, Tally
from muster.core.ids import JobId, UnixMs
from muster.core.moments import time_text
from muster.core.record import Wait
from muster.engine.approval_tokens import ApprovalTokens, link_of


class QuestionView:
    """*base_url* is where this server is reached from outside; without it there are tokens and no links."""

    def __init__(self, job: JobId, wave: int, wait: Wait, tally: Tally, tokens: ApprovalTokens, base_url: str) -> None:
        self._job = job
        self._wave = wave
        self._wait = wait
        self._question = wait.question or Question()
        self._tally = tally
        self._tokens = tokens
        self._base_url = base_url

    @property
    def token(self) -> str:
        return self._tokens.of(self._job, self._wave)

    def members(self) -> dict[str, Any]:
        """What the question asks for, and how it stands. Holds credentials: only for the job's owner."""
        question, tally = self._question, self._tally
        choices = core.choices_of(self._wait.edges)
        forms = {choice: form for choice in choices if (form := question.form_of(choice)) is not None}
        return {
            "link": self.link_of(self.token),
            "quorum": {choice: question.needs(choice) for choice in choices},
            "forms": forms,
            "approvers": list(self._approvers()),
            "answers": [answer_object(answer) for answer in tally.answers],
            "escalations": [
                {"at": time_text(step.due_at), "approvers": list(step.approvers), "done": number < tally.escalated}
                for number, step in enumerate(question.escalations)
            ],
            "escalates_at": time_text(escalates_at(question, tally)),
        }

    def approver(self, name: str) -> dict[str, Any]:
        token = self._tokens.of(self._job, self._wave, name)
        return {"approver": name, "token": token, "link": self.link_of(token)}

    def link_of(self, token: str) -> str | None:
        return link_of(self._base_url, self._job, token) if self._base_url else None

    def _approvers(self) -> Iterator[dict[str, Any]]:
        for name, holder in core.holders(self._question, self._tally).items():
            answer = self._tally.answer_of(holder)
            yield {
                **self.approver(holder),
                "instead_of": None if holder == name else name,
                "answered": None if answer is None else answer.decision,
            }


def answer_object(answer: Answer) -> dict[str, Any]:
    return {
        "decision": answer.decision,
        "approver": answer.approver or None,
        "by": answer.who,
        "note": answer.note,
        "form": answer.form,
        "proof": answer.proof,
        "at": time_text(answer.at),
    }


def escalates_at(question: Question, tally: Tally) -> UnixMs | None:
    """When others are asked next, if ever."""
    left = question.escalations[tally.escalated :]
    return left[0].due_at if left else None
