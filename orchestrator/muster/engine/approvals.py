"""Questions to people: answers, delegations, escalations, and the inbox of what is open."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from muster.blueprint.problems import InputInvalid
from muster.blueprint.registry import Registry
from muster.core import approvals as core
from muster.core import events as ev
from muster.core.approvals import Answer, Question, Tally
from muster.core.decisions import SPLIT
from muster.core.events import Event
from muster.core.ids import JobId, is_job_id
from muster.core.json import JsonValue
from muster.core.limits import ASKING_JOBS_SCAN_MAX, DELEGATIONS_MAX
from muster.core.record import DecisionItem, JobRecord, Wait
from muster.core.status import JobStatus
from muster.engine import refusals
from muster.engine.approval_tokens import ApprovalTokens, Ticket
from muster.engine.background import Background
from muster.engine.catalog import read_cursor, write_cursor
from muster.engine.forms import Faults, faults_of
from muster.engine.history import blob
from muster.engine.jobs import SETTLE_S, job_not_found
from muster.engine.messages import delegation_message, escalation_message
from muster.engine.nonces import nonce
from muster.engine.past_questions import Decided, decided_of, last_decided
from muster.engine.settings import EngineSettings
from muster.engine.turns import Turns
from muster.engine.views import JobPage
from muster.store.approvals import DueEscalation, QuestionChange
from muster.store.base import Message, Refusal, Refused, Store, Turn
from muster.store.codec import dump_item

CONTENTIONS_MAX: Final = 50
"""A change is tried again when another one came between; there are at most as many of those as people and steps."""


@dataclass(frozen=True, slots=True)
class Given:
    """An answer as somebody gives it. `approver` is whose say it is; where it is empty `by` says so."""

    decision: str
    by: str = ""
    note: str = ""
    form: JsonValue = None
    approver: str = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who answers: the holder of a token, or the owner's client."""

    token: str | None = None
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a question stands after a change. `decision` is set where it is decided."""

    decision: str | None
    answers: int
    missing: tuple[str, ...]
    names_approvers: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """What the holder of a link sees. `wait` is None where the question is over; `decided` where that is known."""

    record: JobRecord
    wait: Wait | None
    approver: str
    decided: Decided | None = None


@dataclass(frozen=True, slots=True)
class _Open:
    """An open question, and what proves who speaks."""

    record: JobRecord
    wait: Wait
    question: Question
    approver: str
    """By a link of their own; else empty."""
    proof: str

    @property
    def choices(self) -> list[str]:
        return core.choices_of(self.wait.edges)

    @property
    def tally(self) -> Tally:
        return self.record.tally


class Approvals:
    def __init__(
        self,
        store: Store,
        blueprints: Registry,
        turns: Turns,
        background: Background,
        settings: EngineSettings,
        tokens: ApprovalTokens,
        hint: Callable[[JobId, int], None],
    ) -> None:
        self._store = store
        self._blueprints = blueprints
        self._turns = turns
        self._background = background
        self._settings = settings
        self.tokens = tokens
        self._hint = hint

    async def decide(self, job_id: str, given: Given, caller: Caller) -> Standing:
        """A person's answer. Answers are counted one after the other; the first choice with enough of them wins.

        The same answer of the same approver again is taken as sent twice.

        Raises:
            MusterError: JOB_NOT_FOUND (also for a wrong token), NOT_WAITING_FOR_DECISION, UNKNOWN_DECISION,
            FORM_INVALID, NOT_AN_APPROVER, ALREADY_ANSWERED.
        """
        for _ in range(CONTENTIONS_MAX):
            asked = await self._open(job_id, caller)
            if given.decision not in asked.choices:
                raise refusals.unknown_decision(given.decision, asked.choices)
            answer = self._answer(asked, given)
            known = asked.tally.answer_of(answer.approver) if answer.approver else None
            if known is not None:
                if (known.decision, known.form) == (answer.decision, answer.form):
                    return self._standing(asked, asked.tally)
                raise refusals.already_answered(known)
            tally = core.with_answer(asked.tally, answer)
            reply = await self._write(self._change_of(asked, tally, answer))
            if reply is None:
                continue
            if isinstance(reply, Refused):
                raise await self._closed(await self._found(job_id), asked.record.wave)
            return self._standing(asked, tally)
        raise refusals.contended(job_id)

    async def delegate(self, job_id: str, approver: str, to: str, note: str, caller: Caller) -> None:
        """*approver* hands their say to somebody who has none, before they have given it.

        Raises:
            MusterError: JOB_NOT_FOUND, NOT_WAITING_FOR_DECISION, NOT_AN_APPROVER, ALREADY_ANSWERED,
            DELEGATION_REFUSED.
        """
        for _ in range(CONTENTIONS_MAX):
            asked = await self._open(job_id, caller)
            name = asked.approver or approver
            earlier = asked.tally.delegation_of(name)
            if earlier is not None and earlier.to == to:
                return  # sent twice
            self._check_say(asked, name)
            known = asked.tally.answer_of(name)
            if known is not None:
                raise refusals.already_answered(known)
            if core.is_known(to, asked.question, asked.tally):
                raise refusals.has_a_say(to)
            if len(asked.tally.delegations) >= DELEGATIONS_MAX:
                raise refusals.too_many_delegations()
            tally = core.with_delegation(asked.tally, name, to)
            reply = await self._write(self._delegation(asked, tally, name, to, note))
            if reply is None:
                continue
            if isinstance(reply, Refused):
                raise await self._closed(await self._found(job_id), asked.record.wave)
            return
        raise refusals.contended(job_id)

    async def escalate(self, due: DueEscalation) -> None:
        """Ask those who are to be asked now. Whoever else does it at the same time, it happens once."""
        record = await self._store.read(due.job)
        wait = None if record is None else record.asked
        if record is None or wait is None or wait.question is None or record.wave != due.wave:
            return
        steps, level = wait.question.escalations, record.tally.escalated
        following = steps[level + 1].after_ms - steps[level].after_ms if level + 1 < len(steps) else None
        if level >= len(steps):
            return
        entry = ev.event(
            ev.APPROVAL_ESCALATED,
            state=record.state,
            details={"approvers": list[JsonValue](steps[level].approvers), "step": level + 1, "question": record.wave},
        )
        tally = core.with_escalation(record.tally)
        told = escalation_message(replace(record, tally=tally), self.tokens, self._settings.public_url)
        change = replace(self._change(record, tally, entry, told), escalates=True, next_ms=following)
        if await self._write(change) is True and following is not None:
            self._hint(record.id, following)

    async def look(self, job_id: str, token: str) -> Look:
        """What the holder of a link may see. Changes nothing.

        Raises:
            MusterError: JOB_NOT_FOUND, also for a token that is not genuine.
        """
        record = await self._found(job_id)
        ticket = self.tokens.read(token, record.id, record.wave)
        if ticket is None:
            raise job_not_found()
        wait = record.asked
        decided = decided_of(record)
        if ticket.wave == record.wave and _asks(record) and wait is not None and decided is None:
            return Look(record, wait, ticket.approver)
        return Look(record, None, ticket.approver, decided or await self._past(record, ticket.wave))

    async def inbox(self, tenant: str, *, approver: str | None, limit: int, cursor: str | None) -> JobPage:
        """The tenant's jobs that ask people now, newest question first; with *approver* those that wait for their say.

        A page may be short before the end: the cursor decides.

        Raises:
            MusterError: INVALID_PARAMETER for a foreign cursor.
        """
        before = read_cursor(cursor)
        found: list[JobRecord] = []
        for _ in range(ASKING_JOBS_SCAN_MAX // max(limit, 1) + 1):
            records, before = await self._store.approvals.asking(tenant, before, limit - len(found))
            found += [record for record in records if _asks(record) and _waits_for(record, approver)]
            if before is None or len(found) >= limit:
                break
        return JobPage(tuple(found), write_cursor(before))

    async def approval_token(self, record: JobRecord) -> str | None:
        """What the owner may hand to whoever is to decide; one for each question."""
        return self.tokens.of(record.id, record.wave) if _asks(record) else None

    # Who speaks

    async def _found(self, job_id: str) -> JobRecord:
        record = await self._store.read(JobId(job_id)) if is_job_id(job_id) else None
        if record is None:
            raise job_not_found()
        return record

    async def _open(self, job_id: str, caller: Caller) -> _Open:
        record = await self._found(job_id)
        ticket, proof = self._ticket(record, caller)
        wait = record.asked
        if ticket.wave != record.wave or not _asks(record) or wait is None or decided_of(record) is not None:
            raise await self._closed(record, ticket.wave)
        return _Open(record, wait, wait.question or Question(), ticket.approver, proof)

    def _ticket(self, record: JobRecord, caller: Caller) -> tuple[Ticket, str]:
        if caller.tenant is not None:
            if record.tenant == caller.tenant:
                return Ticket(record.wave), "client"
        elif caller.token is not None:
            ticket = self.tokens.read(caller.token, record.id, record.wave)
            if ticket is not None:
                return ticket, "link" if ticket.approver else "token"
        elif not self._settings.approvals_need_token:
            return Ticket(record.wave), "none"
        raise job_not_found()

    def _check_say(self, asked: _Open, name: str) -> None:
        """Refuse a name that has no say now."""
        handed = asked.tally.delegation_of(name)
        if handed is not None:
            raise refusals.handed_on(handed)
        if name in core.holders(asked.question, asked.tally).values():
            return
        raise refusals.not_an_approver(name, core.missing(asked.question, asked.tally))

    # Changes

    def _answer(self, asked: _Open, given: Given) -> Answer:
        approver = asked.approver or given.approver or given.by if asked.question.approvers else ""
        if asked.question.approvers:
            self._check_say(asked, approver)
        schema = asked.question.form_of(given.decision)
        faults = faults_of(schema, given.form)
        form = None if schema is None else ({} if given.form is None else given.form)
        by = given.by if given.by != approver else ""
        answer = Answer(approver, given.decision, by, given.note, form, asked.proof)
        if faults or (faults := self._unreadable(asked, answer)):
            raise refusals.form_invalid(given.decision, faults, schema)
        return answer

    def _unreadable(self, asked: _Open, answer: Answer) -> Faults:
        """What the state that the answer leads to could not read, where this server knows it."""
        record = asked.record
        blueprint = self._blueprints.find(record.blueprint, record.blueprint_version)
        target = asked.wait.edges[answer.decision]
        if blueprint is None or target not in blueprint.states or answer.form is None:
            return []
        argument: JsonValue = {
            "decision": answer.decision, "by": answer.who, "note": answer.note, "form": answer.form, "answers": []
        }  # fmt: skip
        try:
            blueprint.check_argument(target, argument)
        except InputInvalid as error:
            inside = [one for one in error.errors if one["pointer"].startswith("/form")]
            return [{"pointer": one["pointer"].removeprefix("/form"), "detail": one["detail"]} for one in inside]
        return []

    def _change_of(self, asked: _Open, tally: Tally, answer: Answer) -> QuestionChange:
        decision = core.outcome(asked.question, asked.choices, tally)
        entry = ev.event(
            ev.APPROVAL_RECEIVED,
            state=asked.record.state,
            next_state=asked.wait.edges.get(decision or ""),
            details={
                "decision": answer.decision,
                "by": answer.who,
                "comment": answer.note,
                "question": asked.record.wave,
                "proof": answer.proof,
                **({"approver": answer.approver} if answer.approver else {}),
                **({} if answer.form is None else {"form": answer.form}),
                **({"decided": decision} if decision is not None else {}),
            },
        )
        item = ""
        if decision is not None:
            by, note = (
                (answer.who, answer.note) if decision != SPLIT else ("", "no choice can get enough answers any more")
            )
            told = tuple(core.told(one) for one in tally.answers)
            item = dump_item(DecisionItem(decision, by, note, answer.form if decision != SPLIT else None, told))
        return replace(self._change(asked.record, tally, entry), item=item)

    def _delegation(self, asked: _Open, tally: Tally, name: str, to: str, note: str) -> QuestionChange:
        entry = ev.event(
            ev.APPROVAL_DELEGATED,
            state=asked.record.state,
            details={
                "approver": name, "to": to, "comment": note, "proof": asked.proof, "question": asked.record.wave
            },
        )  # fmt: skip
        told = delegation_message(replace(asked.record, tally=tally), name, to, self.tokens, self._settings.public_url)
        return self._change(asked.record, tally, entry, told)

    def _change(self, record: JobRecord, tally: Tally, entry: Event, message: Message | None = None) -> QuestionChange:
        noted = blob(entry) if self._settings.history else ""
        messages = () if message is None else (message,)
        return QuestionChange(record.id, record.wave, tally, noted, nonce(), messages=messages)

    async def _write(self, change: QuestionChange) -> bool | Refused | None:
        """True: it is written, and what it makes due is under way. None: another change came before it."""
        reply = await self._store.approvals.change(change)
        if isinstance(reply, Turn):
            await self._background.settle(self._turns.run(reply), SETTLE_S)
        elif isinstance(reply, Refused) and reply.why is not Refusal.TAKEN:
            return None if reply.why is Refusal.CHANGED else reply
        if change.messages:
            self._hint(change.job, 0)
        return True

    def _standing(self, asked: _Open, tally: Tally) -> Standing:
        decision = core.outcome(asked.question, asked.choices, tally)
        return Standing(
            decision, len(tally.answers), core.missing(asked.question, tally), bool(asked.question.approvers)
        )

    # What is over

    async def _closed(self, record: JobRecord, wave: int) -> Exception:
        decided = decided_of(record) if record.wave == wave else None
        return refusals.not_waiting(record, decided or await self._past(record, wave))

    async def _past(self, record: JobRecord, wave: int) -> Decided | None:
        if not self._settings.history:
            return None
        return last_decided(await self._store.history(record.id), None if wave == record.wave else wave)


def _asks(record: JobRecord) -> bool:
    return record.resting is JobStatus.WAITING_FOR_HUMAN and record.asked is not None


def _waits_for(record: JobRecord, approver: str | None) -> bool:
    wait = record.asked
    assert wait is not None
    return approver is None or approver in core.missing(wait.question or Question(), record.tally)
