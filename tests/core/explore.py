"""Walks every way a job can go: from a submitted job, through every mailbox and every decision, until nothing is new.

A turn is taken here as `engine/turns.py` takes it, with the blueprint's answer as an argument.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations, permutations, product
from typing import Final, TypeAlias

from muster.core import decide as core
from muster.core.advance import End, Enter, Move, advance, why
from muster.core.again import started_again
from muster.core.decisions import (
    Ask,
    Child,
    Decision,
    Done,
    Fail,
    Fan,
    Go,
    Quarantine,
    Race,
    Run,
    Sleep,
    TaskSpec,
    WaitFor,
    children_of,
)
from muster.core.ids import JobId, UnixMs
from muster.core.join import Join
from muster.core.limits import FAN_WIDTH_MAX, UPLOADS_LOOK_MS
from muster.core.pause import held, let_go
from muster.core.record import (
    ChildItem,
    Context,
    DecisionItem,
    Item,
    JobRecord,
    Pause,
    SignalItem,
    TaskItem,
    TimerItem,
    Wait,
)
from muster.core.status import JobStatus
from muster.core.transitions import RETRIABLE, JobEvent

from tests.core.build import CHILD, NOW, pending

HOPS_MAX: Final = 3
"""In place of TURN_HOPS_MAX: the loop is the same, the exploration shorter."""

Arrow: TypeAlias = tuple[JobStatus, JobEvent, JobStatus]

SPEC: Final = TaskSpec("pack", {})
UNDO: Final = TaskSpec("unpack", None)
JOINS: Final = (Join.all(), Join.any(), Join.first(2), Join.settled(), Join.tolerate(1))
CODES: Final = ("", "TRANSIENT_ERROR", "PERMANENT_ERROR", "INVALID_INPUT_ERROR", "WORKER_LOST", "TIMEOUT_ERROR")


def _edges(certain: str, optional: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Every subset of the optional edges, leading to a state; then all of them, leading to each built-in state."""
    for size in range(len(optional) + 1):
        for some in combinations(optional, size):
            yield dict.fromkeys((certain, *some), "next")
    for target in ("finished", "failed"):
        yield dict.fromkeys((certain, *optional), target)


def decisions() -> tuple[Decision, ...]:
    """Every shape of decision that a state function can return."""
    found: list[Decision] = [Run(SPEC, edges) for edges in _edges("success", ("failure", "cancelled", "maybe"))]
    for edges in _edges("success", ("failure", "cancelled")):
        found += [Fan((SPEC, SPEC), edges), Fan((), edges)]
    for join in JOINS[1:]:
        found += [Fan((SPEC, SPEC), {"success": "next", "failure": "next"}, join), Fan((), {"success": "next"}, join)]
    found += [Fan((SPEC,) * (FAN_WIDTH_MAX + 1), {"success": "next"})]
    found += [Ask("?", edges, within_ms=1_000) for edges in _edges("approved", ("late", "cancelled"))]
    found += [Ask("?", {"approved": "next"})]
    for edges in _edges("success", ("late",)):
        found += [WaitFor("payment", edges, 1_000), WaitFor("payment", edges)]
        found += [WaitFor("inputs", edges, 2 * UPLOADS_LOOK_MS, ("a" * 32,))]
    for edges in _edges("success", ("failure", "cancelled")):
        found += [Child("report", {}, edges, CHILD), Child("unheard of", {}, edges, CHILD)]
    for edges in ({"success": "next"}, {"success": "failed", "failure": "next", "cancelled": "next"}):
        timer, signal = Sleep(1_000, "next"), WaitFor("stop", {"success": "next"})
        found += [Race((Run(SPEC, edges), timer, signal), {}), Race((timer, signal), {"cancelled": "next"})]
        child, unknown = Child("report", {}, edges, CHILD), Child("unheard of", {}, edges, CHILD)
        found += [Race((Run(SPEC, edges), child), {}), Race((child, timer), {}), Race((unknown, timer), {})]
        question = Ask("?", {"approved": "next"})
        found += [
            Race((question, Run(SPEC, edges)), {}),
            Race((question, child), {}),
            Race((question, signal, timer), {}),
        ]
    edges = {"success": "next"}
    found += [Run(SPEC, edges, UNDO), Fan((SPEC, SPEC), edges, undo=UNDO), Child("report", {}, edges, CHILD, (), UNDO)]
    for target in ("next", "finished", "failed"):
        found += [Sleep(1_000, target), Go(target, "x")]
    return (*found, Done({"a": 1}), Done("text"), Done(), Fail("no"), Fail(""), Quarantine("odd"), Quarantine(""))


def mailboxes(wait: Wait | None) -> Iterator[tuple[Item, ...]]:
    """Everything a due turn can find, given what the job waited for."""
    match wait:
        case None:
            yield ()
        case Wait(kind="timer"):
            yield (TimerItem(),)
        case Wait(kind="human"):
            answers: list[Item] = [DecisionItem(word) for word in wait.edges if word not in {"late", "cancelled"}]
            yield from ((answer,) for answer in answers)
            if wait.deadline_at is not None:
                yield (TimerItem(),)
                yield from ((TimerItem(), answer) for answer in answers)
        case Wait(kind="signal"):
            yield (SignalItem(wait.signal, {"a": 1}),)
            if wait.deadline_at is not None:
                yield (TimerItem(),)
                yield (TimerItem(), SignalItem(wait.signal))
        case Wait(kind="child"):
            yield from (
                (ChildItem(status, message="why", child=wait.child),) for status in JobStatus if status.is_final
            )
        case Wait(kind="task"):
            yield from ((item,) for item in _ends(wait.first))
        case Wait(kind="tasks"):
            yield from _joins(wait)
        case Wait(kind="race"):
            for part in wait.parts:
                yield from mailboxes(replace(part, deadline_at=None))


def _ends(number: int) -> Iterator[TaskItem]:
    yield from (TaskItem(number, "success", data) for data in ({"a": 1}, "text", None))
    yield from (TaskItem(number, "failure", code=code) for code in CODES)
    yield from (TaskItem(number, word) for word in ("cancelled", "maybe", "unheard of"))


def _joins(wait: Wait) -> Iterator[tuple[Item, ...]]:
    """All have ended, in any order; or one has failed, and the others are not waited for."""
    numbers = range(wait.first, wait.first + wait.count)
    for order in permutations(numbers):
        yield from product(*(_some_ends(number) for number in order))
    if wait.join in {Join.all(), Join.first(2)}:
        for number in numbers:
            yield from ((item,) for item in _ends(number) if item.status != "success")
    if wait.join == Join.any():
        yield from ((TaskItem(number, "success", {"a": 1}),) for number in numbers)


def _some_ends(number: int) -> tuple[TaskItem, ...]:
    """One of each kind: pairs of all ends would say nothing new."""
    failures = (TaskItem(number, "failure", code="PERMANENT_ERROR"), TaskItem(number, "failure", code="COMMAND_FAILED"))
    return (TaskItem(number, "success", {"a": 1}), *failures, TaskItem(number, "cancelled"), TaskItem(number, "odd"))


@dataclass(frozen=True, slots=True)
class Step:
    event: JobEvent
    rest: core.Rest


def turn(record: JobRecord, items: tuple[Item, ...], answer: Decision) -> Step:
    """One turn in which every state that is entered answers *answer*."""
    event = why(record, items)
    draft = core.begin(record)
    wait = record.context.wait
    if wait is not None and wait.left_ms and items and isinstance(items[0], TimerItem):
        return Step(event, core.wait_on(draft, wait, wait.uploads))
    move: Move = advance(record, items)
    for _ in range(HOPS_MAX):
        if isinstance(move, End):
            return Step(event, core.finish(draft, move))
        draft = core.enter(draft, move)
        outcome = core.decide(draft, answer, {"kept": True}, NOW, _starts(answer))
        if isinstance(outcome, core.Rest):
            return Step(event, outcome)
        move = outcome
    return Step(event, core.finish(draft, move) if isinstance(move, End) else core.save(draft, move))


def _starts(answer: Decision) -> dict[JobId, core.Start]:
    refused = core.ChildRefused("BLUEPRINT_NOT_FOUND", "none such")
    return {
        child.id: core.ChildStart(child, "1:0", "begin") if child.blueprint == "report" else refused
        for child in children_of(answer)
    }


def given_up(record: JobRecord) -> Step:
    """The turn after a state function has failed too often."""
    end = End(JobStatus.QUARANTINED, record.state, error="boom", details={"code": "state_failed"}, put_aside=True)
    return Step(JobEvent.TURN_FAILED, core.finish(core.begin(record), end))


def committed(record: JobRecord, rest: core.Rest) -> JobRecord:
    """The record as the commit script leaves it."""
    later = UnixMs(record.updated_at + 1)
    started = rest.status.is_final or rest.status in {JobStatus.WAITING, JobStatus.WAITING_FOR_HUMAN}
    return replace(
        record,
        status=rest.status,
        state=rest.draft.state,
        context=rest.draft.context,
        version=record.version + 1,
        revision=record.revision + 1,
        wave=max(record.wave, record.spawn_wave) + 1,
        next_task=rest.draft.first_task + len(rest.tasks),
        cancel_requested=False,
        result=rest.result,
        error=rest.error,
        updated_at=later,
        started_at=record.started_at or (later if started else None),
        finished_at=later if rest.status.is_final else None,
        turn_failures=0,
        spawn_wave=0,
        spawned_to=0,
    )


def turns_of(record: JobRecord, answers: tuple[Decision, ...]) -> Iterator[Step]:
    """Every turn that *record* can take."""
    if record.context.undo:  # it goes as before, and undoes at its end: one answer of each kind says all
        answers = tuple({type(answer): answer for answer in answers}.values())
    for items in mailboxes(record.context.wait):
        entered = isinstance(advance(record, items), Enter)
        yield from (turn(record, items, answer) for answer in (answers if entered else answers[:1]))
    if record.context.undoing is not None:  # a wish to cancel is not taken any more
        yield given_up(record)
        return
    for passed in (False, True):
        asked = replace(record, cancel_requested=True, deadline_passed=passed)
        entered = isinstance(advance(asked, ()), Enter)
        yield from (turn(asked, (), answer) for answer in (answers if entered else answers[:1]))
    yield given_up(record)


def _shape(record: JobRecord) -> str:
    """What decides how a job can go on; counters and payloads do not."""
    wait = record.context.wait
    undoes = bool(record.context.undo), record.context.undoing is not None
    if wait is None:
        return repr((record.status, undoes))
    parts = [(part.kind, part.edges) for part in wait.parts]
    return repr(
        (
            record.status,
            undoes,
            parts,
            wait.undo,
            wait.kind,
            wait.edges,
            wait.target,
            wait.deadline_at is not None,
            wait.left_ms,
            wait.join,
        )
    )


@dataclass(frozen=True, slots=True)
class Explored:
    arrows: frozenset[Arrow]
    records: tuple[JobRecord, ...]
    """One of every shape that was reached, all jobs of it alive or ended."""


def explore() -> Explored:
    arrows: set[Arrow] = set()
    first = pending()
    seen, queue, answers = {_shape(first): first}, [first], decisions()
    while queue:
        record = queue.pop()
        arrows |= set(_pauses(record))
        for step in turns_of(record, answers):
            arrows.add((record.status, step.event, step.rest.status))
            reached = committed(record, step.rest)
            shape = _shape(reached)
            if shape not in seen:
                seen[shape] = reached
                if not reached.status.is_final:
                    queue.append(reached)
    paused = [held(record, _pause(record)) for record in seen.values() if not record.status.is_final]
    over = [record for record in seen.values() if record.status in RETRIABLE]
    again = [started_again(record, "1:1", "begin", Context(argument=1), NOW) for record in over]
    arrows |= {(old.status, JobEvent.RETRIED, new.status) for old, new in zip(over, again, strict=True)}
    return Explored(frozenset(arrows), (*seen.values(), *paused, *again))


def _pause(record: JobRecord) -> Pause:
    return Pause(NOW, "ann", "", record.status)


def _pauses(record: JobRecord) -> Iterator[Arrow]:
    """Any live job may be held, and stands again where it stood."""
    paused = held(record, _pause(record))
    yield record.status, JobEvent.PAUSED, paused.status
    resumed = let_go(paused)
    assert resumed == record
    yield paused.status, JobEvent.RESUMED, resumed.status
