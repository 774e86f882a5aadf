"""Why an answer or a delegation was not taken, in words for whoever gave it."""

from collections.abc import Sequence

from muster.core.approvals import Answer, Delegation
from muster.core.json import JsonObject
from muster.core.moments import time_text
from muster.core.record import JobRecord
from muster.engine.forms import Faults
from muster.engine.past_questions import Decided
from muster.engine.question_view import answer_object
from muster.errors import ErrorCode, MusterError


def not_waiting(record: JobRecord, decided: Decided | None) -> MusterError:
    if decided is None:
        return MusterError(
            ErrorCode.NOT_WAITING_FOR_DECISION,
            f"job {record.id} is not waiting for a decision",
            hint="its deadline passed, it was cancelled, or it has not asked yet",
        )
    who = f" by {decided.by}" if decided.by else ""
    return MusterError(
        ErrorCode.NOT_WAITING_FOR_DECISION,
        f"job {record.id} is not waiting for a decision: it was decided {decided.decision!r}{who} "
        f"at {time_text(decided.at)}",
        hint="the first answer that decides a question counts",
        extra={"decided": decided.members()},
    )


def unknown_decision(decision: str, choices: Sequence[str]) -> MusterError:
    allowed = sorted(choices)
    return MusterError(
        ErrorCode.UNKNOWN_DECISION,
        f"decision {decision!r} is not one of {', '.join(allowed)}",
        extra={"allowed": allowed},
    )


def form_invalid(decision: str, faults: Faults, schema: JsonObject | None) -> MusterError:
    first = faults[0]
    where = f"{first['pointer']} " if first["pointer"] else ""
    return MusterError(
        ErrorCode.FORM_INVALID,
        f"the form does not fit the decision {decision!r}: {where}{first['detail']}",
        hint="the form's JSON Schema stands in `waiting_for.forms` of the job",
        extra={"errors": faults, **({} if schema is None else {"schema": schema})},
    )


def not_an_approver(name: str, missing: Sequence[str]) -> MusterError:
    whose = f"{name!r} has no say in this question" if name else "this question wants to know whose answer it is"
    return MusterError(
        ErrorCode.NOT_AN_APPROVER,
        f"{whose}; it waits for {', '.join(missing) or 'nobody'}",
        hint="name an approver in `approver` (or `by`), or use the approver's own link",
        extra={"missing": list(missing)},
    )


def handed_on(given: Delegation) -> MusterError:
    return MusterError(
        ErrorCode.NOT_AN_APPROVER,
        f"{given.approver!r} handed their say to {given.to!r} at {time_text(given.at)}",
        extra={"delegated_to": given.to, "at": time_text(given.at)},
    )


def already_answered(answer: Answer) -> MusterError:
    return MusterError(
        ErrorCode.ALREADY_ANSWERED,
        f"{answer.approver!r} answered {answer.decision!r} at {time_text(answer.at)}; an answer cannot be changed",
        extra={"answer": answer_object(answer)},
    )


def has_a_say(name: str) -> MusterError:
    return MusterError(
        ErrorCode.DELEGATION_REFUSED,
        f"{name!r} has a say in this question, had one, or will be asked; nobody has two",
        hint="hand it to somebody else",
    )


def too_many_delegations() -> MusterError:
    return MusterError(ErrorCode.DELEGATION_REFUSED, "the say in this question was handed on too often")


def contended(job_id: str) -> MusterError:
    return MusterError(
        ErrorCode.STORE_UNAVAILABLE, f"the question of job {job_id} changes faster than this answer could be written",
        hint="send it again", retry_after_s=1,
    )  # fmt: skip
