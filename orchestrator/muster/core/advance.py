"""Where a job goes next, given what its mailbox holds: the first half of a turn, before the blueprint is asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias, assert_never

from muster.core.approvals import told
from muster.core.decisions import CANCELLED, FAILURE, LATE, SPLIT, SUCCESS
from muster.core.graph import FAILED, FINISHED
from muster.core.join import JoinAll, JoinAny, JoinFirst, JoinSettled
from muster.core.json import JsonObject, JsonValue
from muster.core.record import (
    ChildItem,
    DecisionItem,
    Item,
    JobRecord,
    SignalItem,
    TaskItem,
    TimerItem,
    Undo,
    Undoing,
    Wait,
)
from muster.core.retry import status_without_edge
from muster.core.status import JobStatus
from muster.core.transitions import JobEvent
from muster.core.values import quick

NO_REASON_OF_WORKER: Final = "the worker gave no reason"
NO_REASON: Final = "no reason given"
"""A job that did not finish always says why, even where the blueprint's words are empty."""


@quick
@dataclass(frozen=True, slots=True)
class Enter:
    """Call the function of *state* with *argument*. `merge` is added to the job's results first."""

    state: str
    argument: JsonValue = None
    merge: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    undos: tuple[Undo, ...] = ()
    """Of what has just succeeded."""


@quick
@dataclass(frozen=True, slots=True)
class End:
    """The job is over."""

    status: JobStatus
    state: str
    result: JsonValue = None
    error: str | None = None
    details: Mapping[str, Any] | None = None
    merge: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    undos: tuple[Undo, ...] = ()
    put_aside: bool = False
    """A person is to look at it as it is, and may let it go on: nothing is undone."""


Move: TypeAlias = Enter | End


def why(record: JobRecord, items: Sequence[Item]) -> JobEvent:
    """What made this turn due."""
    if record.cancel_requested:
        return JobEvent.CANCEL_ASKED
    wait = record.context.wait
    if wait is None:
        return JobEvent.BEGUN
    if wait.kind == "task":
        return JobEvent.TASK_ENDED
    if wait.kind == "tasks":
        return JobEvent.TASKS_ENDED
    if wait.kind == "child":
        return JobEvent.CHILD_ENDED
    if wait.kind == "race" and items and isinstance(items[0], TaskItem | ChildItem):
        return JobEvent.TASKS_ENDED if isinstance(items[0], TaskItem) else JobEvent.CHILD_ENDED
    # The first answer wins, as in `_answered`: a decision that comes after the deadline did not make the turn due.
    first = next((item for item in items if isinstance(item, DecisionItem | SignalItem | TimerItem)), None)
    if isinstance(first, SignalItem):
        return JobEvent.SIGNALLED
    return JobEvent.DECIDED if isinstance(first, DecisionItem) else JobEvent.TIME_CAME


def advance(record: JobRecord, items: Sequence[Item]) -> Move:
    """The move that *items* (the mailbox of the current wave, in order of arrival) make."""
    wait = record.context.wait
    if record.context.undoing is not None:
        assert wait is not None, "it undoes by a task"
        return _undone(record, wait, record.context.undoing, items)
    move = _cancelled(record, wait) if record.cancel_requested else _moved(record, wait, items)
    return replace(move, undos=undos) if (undos := undos_of(wait, items)) else move


def undos_of(wait: Wait | None, items: Sequence[Item]) -> tuple[Undo, ...]:
    """What undoes the successes among *items*, in the order of the tasks."""
    if wait is None or wait.undo is None:
        return ()
    undo = wait.undo
    if wait.kind == "child":
        ends = [item for item in items if isinstance(item, ChildItem) and item.status == JobStatus.FINISHED]
        return tuple(Undo(replace(undo, params=item.result), -1) for item in ends[:1])
    done = {item.number: item for item in items if isinstance(item, TaskItem) and item.status == SUCCESS}
    ours = [done[number] for number in range(wait.first, wait.first + wait.count) if number in done]
    return tuple(Undo(replace(undo, params=item.data), item.number) for item in ours)


def _undone(record: JobRecord, wait: Wait, undoing: Undoing, items: Sequence[Item]) -> Move:
    """An undo has ended. Where it failed for good the job is put aside, with what was and was not undone."""
    item = next(item for item in items if isinstance(item, TaskItem) and item.number == wait.first)
    if item.status == SUCCESS:
        return End(undoing.status, undoing.state, error=undoing.error, details=undoing.details)
    error = _error_of(wait, item)
    left = [(undoing.current.of, undoing.current.task.type)]
    left += [(undo.of, undo.task.type) for undo in reversed(record.context.undo)]
    details: JsonObject = {
        "code": "undo_failed",
        "undone": _told(undoing.undone),
        "not_undone": _told(left),
        "undo_error": error,
        "instead_of": {"status": undoing.status.value, "error": undoing.error},
    }
    text = f"{undoing.current.task.type!r}, which should undo what the job did, failed: {error['message']}"
    return End(JobStatus.QUARANTINED, record.state, error=text, details=details, put_aside=True)


def _told(undos: Sequence[tuple[int, str]]) -> list[JsonValue]:
    return [{"task": None if of < 0 else of, "undo": kind} for of, kind in undos]


def _moved(record: JobRecord, wait: Wait | None, items: Sequence[Item]) -> Move:
    if wait is None:
        return Enter(record.state, record.context.argument)
    match wait.kind:
        case "task":
            return _one_task(record, wait, [item for item in items if isinstance(item, TaskItem)])
        case "tasks":
            return _all_tasks(record, wait, [item for item in items if isinstance(item, TaskItem)])
        case "human":
            return _answered(record, wait, items)
        case "timer":
            return go(record.state, wait.target, wait.argument)
        case "child":
            return _child_ended(record, wait, items)
        case "signal":
            return _signalled(record, wait, items)
        case "race":
            return _moved(record, winner(wait, items[0]), items[:1])
        case _:
            assert_never(wait.kind)


def winner(race: Wait, item: Item) -> Wait:
    """The part of a race that *item*, its first end, is of. Raises StopIteration where it is of none."""
    match item:
        case TaskItem():
            return next(part for part in race.parts if part.kind == "task" and part.first == item.number)
        case SignalItem():
            return next(part for part in race.parts if part.signal == item.name)
        case DecisionItem():
            return next(part for part in race.parts if part.kind == "human")
        case ChildItem():
            return next(part for part in race.parts if part.kind == "child" and part.child == item.child)
        case _:
            return next(part for part in race.parts if part.kind == "timer")


def go(state: str, target: str, argument: JsonValue, merge: Mapping[str, JsonValue] | None = None) -> Move:
    """Follow one edge. The built-in final states end the job; every other state is entered."""
    merge = merge or {}
    if target == FINISHED:
        return End(JobStatus.FINISHED, FINISHED, result=argument, merge=merge)
    if target == FAILED:
        return End(JobStatus.FAILED, FAILED, error=_reason(state, argument), merge=merge)
    return Enter(target, argument, merge)


def _reason(state: str, argument: JsonValue) -> str:
    """Words for a job that was led to `failed`: the error's or the person's own, where there are any."""
    if isinstance(argument, Mapping):
        if isinstance(argument.get("message"), str) and argument["message"]:
            return str(argument["message"])
        if isinstance(argument.get("decision"), str):
            who = f" by {argument['by']}" if argument.get("by") else ""
            note = f": {argument['note']}" if argument.get("note") else ""
            return f"{argument['decision']}{who}{note}"
    return argument if isinstance(argument, str) and argument else f"state {state!r} led to failed"


def _cancelled(record: JobRecord, wait: Wait | None) -> Move:
    if wait is not None and CANCELLED in wait.edges:
        return go(record.state, wait.edges[CANCELLED], None)
    return End(JobStatus.CANCELLED, record.state, error="cancelled")


def _one_task(record: JobRecord, wait: Wait, items: Sequence[TaskItem]) -> Move:
    item = next(item for item in items if item.number == wait.first)
    if item.status == SUCCESS or (item.status in wait.edges and item.status not in {FAILURE, CANCELLED}):
        return _taken(record, wait, item.status, item.data)
    return _not_taken(record, wait, item)


def _taken(record: JobRecord, wait: Wait, outcome: str, data: JsonValue) -> Move:
    merge = data if isinstance(data, Mapping) else {}
    return go(record.state, wait.edges[outcome], data, merge)


def _all_tasks(record: JobRecord, wait: Wait, items: Sequence[TaskItem]) -> Move:
    """The join: what its policy makes of the ends, in the order of the tasks. Ends arrive in the order of *items*."""
    ours = [item for item in items if wait.first <= item.number < wait.first + wait.count]
    good = [item for item in ours if item.status == SUCCESS]
    bad = [item for item in ours if item.status != SUCCESS]
    match wait.join:
        case JoinAll():
            return _not_taken(record, wait, bad[0]) if bad else _joined(record, wait, good)
        case JoinAny():
            return go(record.state, wait.edges[SUCCESS], good[0].data) if good else _too_few(record, wait, bad)
        case JoinFirst():
            enough = good[: wait.join.count]
            return _joined(record, wait, enough) if len(enough) == wait.join.count else _too_few(record, wait, bad)
        case JoinSettled():
            most = wait.join.failures_max
            return _too_few(record, wait, bad) if most is not None and len(bad) > most else _joined(record, wait, ours)
        case _:
            assert_never(wait.join)


def _joined(record: JobRecord, wait: Wait, items: Sequence[TaskItem]) -> Move:
    ordered = sorted(items, key=lambda item: item.number)
    results = [item.data if item.status == SUCCESS else _error_of(wait, item) for item in ordered]
    return go(record.state, wait.edges[SUCCESS], results)


def _too_few(record: JobRecord, wait: Wait, bad: Sequence[TaskItem]) -> Move:
    """The fan has failed, by the last failure that came in: its error speaks for all, and says how many there were."""
    last = bad[-1]
    if len(bad) == wait.count == 1 and last.status == CANCELLED:
        return _not_taken(record, wait, last)
    error = _error_of(wait, last)
    text = f"{len(bad)} of {wait.count} tasks did not succeed; the last of them: {error['message']}"
    return _failed(record, wait, last, {**error, "message": text})


def _error_of(wait: Wait, item: TaskItem) -> dict[str, JsonValue]:
    """The members of a TaskError."""
    code, message = item.code or "TRANSIENT_ERROR", item.message or NO_REASON_OF_WORKER
    if item.status == CANCELLED:
        code, message = "CANCELLED", "the worker reported the task as cancelled"
    elif item.status != FAILURE:
        code, message = "UNDECLARED_OUTCOME", f"task reported outcome {item.status!r}"
    return {
        "code": code,
        "message": message,
        "worker": item.worker,
        "attempt": item.attempt,
        "task": item.number - wait.first,
    }


def _not_taken(record: JobRecord, wait: Wait, item: TaskItem) -> Move:
    if item.status == CANCELLED:
        if CANCELLED in wait.edges:
            return go(record.state, wait.edges[CANCELLED], None)
        return End(JobStatus.CANCELLED, record.state, error="the worker reported the task as cancelled")
    if item.status != FAILURE:
        declared = ", ".join(sorted(wait.edges))
        text = f"task reported outcome {item.status!r}, which state {record.state!r} does not declare ({declared})"
        return End(JobStatus.FAILED, record.state, error=text, details={"code": "undeclared_outcome"})
    return _failed(record, wait, item, _error_of(wait, item))


def _failed(record: JobRecord, wait: Wait, item: TaskItem, error: dict[str, JsonValue]) -> Move:
    merge = item.data if isinstance(item.data, Mapping) else {}  # what a failed task could tell is kept as well
    if FAILURE in wait.edges:
        return go(record.state, wait.edges[FAILURE], error, merge)
    return End(status_without_edge(item.code), record.state, error=str(error["message"]), details=error, merge=merge)


def _child_ended(record: JobRecord, wait: Wait, items: Sequence[Item]) -> Move:
    item = next(item for item in items if isinstance(item, ChildItem))
    if item.status == JobStatus.FINISHED:
        return go(record.state, wait.edges[SUCCESS], item.result)
    if item.status == JobStatus.CANCELLED:
        if CANCELLED in wait.edges:
            return go(record.state, wait.edges[CANCELLED], None)
        if FAILURE not in wait.edges:
            error = f"job {wait.child}, which this one started, was cancelled"
            return End(JobStatus.CANCELLED, record.state, error=error)
    code = item.code or f"CHILD_{item.status}".upper()
    return without_child(record.state, wait.edges, wait.child, code, item.message)


def without_child(state: str, edges: Mapping[str, str], child: str, code: str, message: str) -> Move:
    """A child did not finish, or could not be started (*child* is empty then)."""
    error: dict[str, JsonValue] = {
        "code": code, "message": message or NO_REASON, "worker": "", "attempt": 1 if child else 0, "task": 0,
        "child": child or None,
    }  # fmt: skip
    if FAILURE in edges:
        return go(state, edges[FAILURE], error)
    who = f"job {child}, which this one started: " if child else ""
    return End(JobStatus.FAILED, state, error=f"{who}{error['message']}", details=error)


def _signalled(record: JobRecord, wait: Wait, items: Sequence[Item]) -> Move:
    """The signal or the deadline, whichever is first in the mailbox."""
    first = next(item for item in items if isinstance(item, SignalItem | TimerItem))
    if isinstance(first, SignalItem):
        return go(record.state, wait.edges[SUCCESS], first.data)
    if LATE in wait.edges:
        return go(record.state, wait.edges[LATE], None)
    error = f"signal {wait.signal!r} did not come in time"
    return End(JobStatus.FAILED, record.state, error=error, details={"code": "signal_late"})


def _answered(record: JobRecord, wait: Wait, items: Sequence[Item]) -> Move:
    """A person's answer or the deadline, whichever is first in the mailbox."""
    first = next(item for item in items if isinstance(item, DecisionItem | TimerItem))
    if isinstance(first, DecisionItem):
        answer: dict[str, JsonValue] = {
            "decision": first.decision, "by": first.by, "note": first.note, "form": first.form,
            "answers": list[JsonValue](first.answers),
        }  # fmt: skip
        if first.decision != SPLIT:
            return go(record.state, wait.edges[first.decision], answer)
        return _split(record, wait, answer)
    if LATE in wait.edges:
        return go(record.state, wait.edges[LATE], _too_late(record))
    return End(JobStatus.FAILED, record.state, error="nobody answered in time", details={"code": "approval_late"})


def _split(record: JobRecord, wait: Wait, answer: dict[str, JsonValue]) -> Move:
    if LATE in wait.edges:
        return go(record.state, wait.edges[LATE], answer)
    error = "its approvers disagree: no choice can get enough answers any more"
    return End(JobStatus.FAILED, record.state, error=error, details={"code": "approval_split"})


def _too_late(record: JobRecord) -> dict[str, JsonValue]:
    given = record.tally.answers
    note = "too few answered in time" if given else "nobody answered in time"
    answers: list[JsonValue] = [told(answer) for answer in given]
    return {"decision": LATE, "by": "", "note": note, "form": None, "answers": answers}
