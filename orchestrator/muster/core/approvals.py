"""A question to people: whose say counts, who has it now, and when it is decided. Values and pure functions.

Each name among the approvers has one *say*. A say can be handed on before it is given, also more than once; nobody has
two. A choice wins as soon as enough people have given it. Where no choice can get enough any more, it is a split.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from muster.core.decisions import CANCELLED, LATE, SPLIT
from muster.core.ids import UnixMs
from muster.core.json import JsonObject, JsonValue

NOT_YET: Final = UnixMs(0)
EVERY_CHOICE: Final = "*"
"""Among the forms: that of all choices."""


@dataclass(frozen=True, slots=True)
class Escalation:
    """So long after it was asked, *approvers* may answer as well."""

    after_ms: int
    approvers: tuple[str, ...] = ()
    due_at: UnixMs = NOT_YET
    """Set when the question is asked."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a question asks, beside its message and choices. Without approvers the first answer of anybody counts."""

    approvers: tuple[str, ...] = ()
    quorum: int = 1
    """How many people must give the same choice."""
    quorums: Mapping[str, int] = field(default_factory=dict[str, int])
    """Of the choices that need another number."""
    forms: Mapping[str, JsonObject] = field(default_factory=dict[str, JsonObject])
    """JSON Schemas by choice; `EVERY_CHOICE` stands for all."""
    escalations: tuple[Escalation, ...] = ()

    @property
    def everybody(self) -> tuple[str, ...]:
        """All who are ever asked, by their own name."""
        return (*self.approvers, *(name for step in self.escalations for name in step.approvers))

    def needs(self, choice: str) -> int:
        return self.quorums.get(choice, self.quorum)

    def form_of(self, choice: str) -> JsonObject | None:
        return self.forms.get(choice, self.forms.get(EVERY_CHOICE))

    def asked_at(self, now: UnixMs) -> "Question":
        return replace(
            self, escalations=tuple(replace(step, due_at=UnixMs(now + step.after_ms)) for step in self.escalations)
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """`approver` is whose say it was; `by` who gave it, where that is said; `proof` how the answerer was known.

    `link`: by the approver's own link. `token`: by the question's. `client`: the job's owner says so. `none`: nobody
    was asked for proof.
    """

    approver: str
    decision: str
    by: str = ""
    note: str = ""
    form: JsonValue = None
    proof: str = "none"
    change: int = 0
    at: UnixMs = NOT_YET

    @property
    def who(self) -> str:
        return self.by or self.approver


@dataclass(frozen=True, slots=True)
class Delegation:
    """*approver* handed their say to *to*."""

    approver: str
    to: str
    change: int = 0
    at: UnixMs = NOT_YET


@dataclass(frozen=True, slots=True)
class Tally:
    """What has happened to an open question. `changes` counts everything; each is written only upon the last one."""

    changes: int = 0
    answers: tuple[Answer, ...] = ()
    delegations: tuple[Delegation, ...] = ()
    escalated: int = 0
    """How many of the escalations have come."""

    def answer_of(self, approver: str) -> Answer | None:
        return next((answer for answer in self.answers if answer.approver == approver), None)

    def delegation_of(self, approver: str) -> Delegation | None:
        return next((given for given in self.delegations if given.approver == approver), None)


NO_CHANGES: Final = Tally()


def choices_of(edges: Iterable[str]) -> list[str]:
    """The decisions that may be given, in the order in which they were written."""
    return [word for word in edges if word not in {LATE, CANCELLED}]


def asked(question: Question, tally: Tally) -> tuple[str, ...]:
    """Whose say it is by now, by the name that was asked."""
    steps = question.escalations[: tally.escalated]
    return (*question.approvers, *(name for step in steps for name in step.approvers))


def holder_of(name: str, tally: Tally) -> str:
    """Who has the say of *name* now."""
    while (given := tally.delegation_of(name)) is not None:
        name = given.to
    return name


def holders(question: Question, tally: Tally) -> dict[str, str]:
    """Who has a say now, by the name that was asked."""
    return {name: holder_of(name, tally) for name in asked(question, tally)}


def missing(question: Question, tally: Tally) -> tuple[str, ...]:
    """Who has a say and has not given it."""
    return tuple(name for name in holders(question, tally).values() if tally.answer_of(name) is None)


def is_known(name: str, question: Question, tally: Tally) -> bool:
    """Whether *name* has a say, had one, or will be asked for one: nobody can be given another."""
    return name in question.everybody or any(name in (given.approver, given.to) for given in tally.delegations)


def told(answer: Answer) -> JsonObject:
    """An answer as the next state gets it."""
    return {
        "approver": answer.approver, "by": answer.who, "decision": answer.decision, "note": answer.note,
        "form": answer.form,
    }  # fmt: skip


def with_answer(tally: Tally, answer: Answer) -> Tally:
    number = tally.changes + 1
    return replace(tally, changes=number, answers=(*tally.answers, replace(answer, change=number)))


def with_delegation(tally: Tally, approver: str, to: str) -> Tally:
    number = tally.changes + 1
    return replace(tally, changes=number, delegations=(*tally.delegations, Delegation(approver, to, number)))


def with_escalation(tally: Tally) -> Tally:
    return replace(tally, changes=tally.changes + 1, escalated=tally.escalated + 1)


def outcome(question: Question, choices: Iterable[str], tally: Tally) -> str | None:
    """The choice that has won; SPLIT where none can any more, whoever is still to answer or to be asked."""
    given = Counter(answer.decision for answer in tally.answers)
    if not question.approvers:
        return next(iter(given), None)
    to_come = len(missing(question, tally)) + sum(
        len(step.approvers) for step in question.escalations[tally.escalated :]
    )
    is_split = True
    for choice in choices:
        if given[choice] >= question.needs(choice):
            return choice
        is_split &= given[choice] + to_come < question.needs(choice)
    return SPLIT if is_split else None
