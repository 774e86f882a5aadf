"""What a state function's decision means for the job: the second half of a turn. Returns values, writes nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, assert_never

from muster.core import events as ev
from muster.core.advance import NO_REASON, End, Enter, Move, go, without_child
from muster.core.approvals import Question, choices_of
from muster.core.decisions import (
    SUCCESS,
    Ask,
    Branch,
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
from muster.core.graph import FAILED, FINISHED
from muster.core.ids import JobId, UnixMs
from muster.core.join import Counting, counting, dump_join, fits
from muster.core.json import JsonValue
from muster.core.limits import FAN_WIDTH_MAX, UNDO_MAX, UPLOADS_LOOK_MS
from muster.core.record import Context, JobRecord, Undoing, Wait
from muster.core.status import JobStatus
from muster.core.transitions import JOB_MOVES, JobEvent
from muster.core.values import changed, quick

JOB_DEADLINE: Final = "job_deadline"
"""The code of a job that was ended by its deadline."""


@quick
@dataclass(frozen=True, slots=True)
class Draft:
    """A turn in progress: what the job will carry, and what happened so far."""

    state: str
    context: Context
    first_task: int
    overdue: bool = False
    """The job's deadline has passed: it may clean up, and then it has failed."""
    events: tuple[ev.Event, ...] = ()
    entered: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    """States entered by the turn, each with what it was entered with, as it is to be stored."""


@dataclass(frozen=True, slots=True)
class ChildStart:
    """A child that can be started: what its blueprint says of it."""

    child: Child
    version: str
    state: str
    deadline_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ChildRefused:
    """A child that cannot be started, and why."""

    code: str
    message: str


Start: TypeAlias = ChildStart | ChildRefused
NO_CHILDREN: Final[Mapping[JobId, Start]] = {}


@quick
@dataclass(frozen=True, slots=True)
class Rest:
    """Where a turn leaves the job."""

    status: JobStatus
    draft: Draft
    tasks: tuple[TaskSpec, ...] = ()
    children: tuple[ChildStart, ...] = ()
    need: int = 1
    failures_left: int | None = None
    """See `join.Counting`."""
    needs_successes: bool = False
    deadline_ms: int | None = None
    result: JsonValue = None
    error: str | None = None
    details: Mapping[str, Any] | None = None
    events: tuple[ev.Event, ...] = field(default=())


def begin(record: JobRecord, worker: str = "") -> Draft:
    """The draft a turn starts from. Numbers that a dead turn spawned are never used again.

    *worker* did the task that led to it.
    """
    context = record.context
    if worker not in {"", context.last_worker}:
        context = changed(context, last_worker=worker)
    return Draft(record.state, context, max(record.next_task, record.spawned_to), record.deadline_passed)


def enter(draft: Draft, move: Enter) -> Draft:
    """Note that *move* leads into a state; its function runs next."""
    context = changed(
        draft.context,
        wait=None,
        argument=move.argument,
        results=_merged(draft.context.results, move.merge),
        transitions=draft.context.transitions + 1,
    )
    context = _earned(context, move)
    event = ev.event(ev.STATE_ENTERED, state=move.state, previous=draft.state if draft.state != move.state else None)
    return changed(draft, state=move.state, context=context, events=(*draft.events, event))


def _merged(results: Mapping[str, JsonValue], more: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    return {**results, **more} if more else results


def _earned(context: Context, move: Move) -> Context:
    return changed(context, undo=(*context.undo, *move.undos)) if move.undos else context


def finish(draft: Draft, end: End) -> Rest:
    """The job's last commit; or first, where it failed or was cancelled, the next task that undoes what it did."""
    if draft.overdue and draft.context.undoing is None and end.status is not JobStatus.QUARANTINED:
        end = _too_late(end)
    context = _earned(draft.context, end)
    undone = context.undoing
    if undone is not None and not end.put_aside:
        done = (*undone.undone, (undone.current.of, undone.current.task.type))
        context = changed(context, undoing=changed(undone, undone=done))
    if context.undo and end.status is not JobStatus.FINISHED and not end.put_aside:
        return _undo_next(changed(draft, context=context), end)
    return _last(changed(draft, context=context), end)


def _undo_next(draft: Draft, end: End) -> Rest:
    """Newest first. The state stays what it was; where the job ends is kept beside."""
    *left, newest = draft.context.undo
    before = () if draft.context.undoing is None else draft.context.undoing.undone
    details = None if end.details is None else dict(end.details)
    undoing = Undoing(end.status, end.state, end.error or NO_REASON, details, newest, before)
    context = changed(draft.context, undo=tuple(left), undoing=undoing, argument=None)
    context = changed(context, results=_merged(context.results, end.merge))
    wait = Wait("task", {SUCCESS: end.state}, first=draft.first_task, count=1)
    event = ev.event(
        ev.UNDO_STARTED,
        state=draft.state,
        task=draft.first_task,
        details={"type": newest.task.type, "undoes": None if newest.of < 0 else newest.of, "left": len(left)},
    )
    return Rest(JobStatus.WAITING_FOR_WORKER, _waiting(changed(draft, context=context), wait, event), (newest.task,))


def _last(draft: Draft, end: End) -> Rest:
    results = _merged(draft.context.results, end.merge)
    if isinstance(end.result, Mapping):
        results = _merged(results, end.result)
    kept, undoing = draft.context.undo, draft.context.undoing
    if undoing is not None and end.put_aside:
        kept = (*kept, undoing.current)
    context = Context(
        wait=None,
        argument=None,
        data=draft.context.data,
        results=results,
        transitions=draft.context.transitions,
        undo=kept if end.put_aside else (),
        last_worker=draft.context.last_worker,
    )
    event = ev.event(f"job_{end.status}", state=end.state, details={"error": end.error} if end.error else None)
    return Rest(
        end.status,
        changed(draft, state=end.state, context=context, events=(*draft.events, event)),
        need=0,
        result=end.result,
        error=end.error,
        details=end.details,
    )


def _too_late(end: End) -> End:
    said = f", and then: {end.error}" if end.status is JobStatus.FAILED and end.error else ""
    return End(
        JobStatus.FAILED, end.state, error=f"its deadline passed{said}", details={"code": JOB_DEADLINE}, merge=end.merge
    )


def decide(
    draft: Draft, decision: Decision, data: JsonValue, now: UnixMs, starts: Mapping[JobId, Start] = NO_CHILDREN
) -> Rest | Move:
    """Answer *decision* of the state that *draft* is in. A move means: go on within the turn.

    *starts* says of each child of the decision, by id, whether it can be started.
    """
    draft = changed(draft, context=changed(draft.context, data=data))
    match decision:
        case Run():
            return _wait_for_task(draft, decision)
        case Fan():
            return _wait_for_tasks(draft, decision)
        case Race():
            return _wait_for_first(draft, decision, now, starts)
        case Ask():
            return _wait_for_person(draft, decision, now)
        case WaitFor():
            return _wait_for_signal(draft, decision, now)
        case Sleep():
            wait = Wait("timer", {}, target=decision.target, argument=decision.argument)
            return Rest(JobStatus.WAITING, _waiting(draft, wait), deadline_ms=decision.duration_ms)
        case Child():
            return _wait_for_child(draft, decision, starts[decision.id])
        case Go():
            return go(draft.state, decision.target, decision.argument)
        case Done():
            return End(JobStatus.FINISHED, FINISHED, result=decision.result)
        case Fail():
            error = decision.message or NO_REASON
            return End(JobStatus.FAILED, FAILED, error=error, details={"code": decision.code})
        case Quarantine():
            details = {"code": "quarantined_by_blueprint", **decision.details}
            return End(
                JobStatus.QUARANTINED, draft.state, error=decision.message or NO_REASON, details=details, put_aside=True
            )
        case _:
            assert_never(decision)


def _waiting(draft: Draft, wait: Wait, *events: ev.Event) -> Draft:
    # The argument stays: a turn that dies while its fan is being spawned runs the state again with it.
    return changed(draft, context=changed(draft.context, wait=wait), events=(*draft.events, *events))


def _too_many_undos(draft: Draft, undo: TaskSpec | None, count: int) -> End | None:
    """Told before the tasks begin: what cannot be undone is not done."""
    if undo is None or len(draft.context.undo) + count <= UNDO_MAX:
        return None
    before = len(draft.context.undo)
    text = f"state {draft.state!r} does {count} things to undo, after {before}; at most {UNDO_MAX} are kept"
    return End(JobStatus.QUARANTINED, draft.state, error=text, details={"code": "too_many_undos"}, put_aside=True)


def _wait_for_task(draft: Draft, run: Run) -> Rest | Move:
    if (refused := _too_many_undos(draft, run.undo, 1)) is not None:
        return refused
    wait = Wait("task", run.edges, first=draft.first_task, count=1, undo=run.undo)
    event = ev.event(ev.TASK_DISPATCHED, state=draft.state, task=draft.first_task, details={"type": run.task.type})
    return Rest(JobStatus.WAITING_FOR_WORKER, _waiting(draft, wait, event), (run.task,))


def _wait_for_tasks(draft: Draft, fan: Fan) -> Rest | Move:
    count = len(fan.tasks)
    if not fits(fan.join, count):
        text = f"state {draft.state!r} fans out to {count} tasks, and waits for more successes ({dump_join(fan.join)})"
        return End(JobStatus.QUARANTINED, draft.state, error=text, details={"code": "join_impossible"}, put_aside=True)
    if (refused := _too_many_undos(draft, fan.undo, count)) is not None:
        return refused
    if count == 0:
        return go(draft.state, fan.edges[SUCCESS], [])
    if count > FAN_WIDTH_MAX:
        text = f"state {draft.state!r} fans out to {count} tasks; at most {FAN_WIDTH_MAX} fit in one job"
        return End(JobStatus.QUARANTINED, draft.state, error=text, details={"code": "fan_too_wide"}, put_aside=True)
    wait = Wait("tasks", fan.edges, first=draft.first_task, count=count, join=fan.join, undo=fan.undo)
    event = ev.event(
        ev.TASK_DISPATCHED,
        state=draft.state,
        task=draft.first_task,
        details={"type": fan.tasks[0].type, "count": count},
    )
    counted = counting(fan.join, count) if fan.undo is None else Counting(count, None)
    return Rest(
        JobStatus.WAITING_FOR_PARALLEL_TASKS,
        _waiting(draft, wait, event),
        fan.tasks,
        need=counted.need,
        failures_left=counted.failures_left,
        needs_successes=counted.of_successes,
    )


def _wait_for_first(draft: Draft, race: Race, now: UnixMs, starts: Mapping[JobId, Start]) -> Rest | Move:
    """A child that cannot be started has ended at once."""
    children: list[ChildStart] = []
    for child in children_of(race):
        start = starts[child.id]
        if isinstance(start, ChildRefused):
            return without_child(draft.state, child.edges, "", start.code, start.message)
        children.append(start)
    tasks = tuple(branch.task for branch in race.branches if isinstance(branch, Run))
    deadline_ms = next((branch.duration_ms for branch in race.branches if isinstance(branch, Sleep)), None)
    deadline = None if deadline_ms is None else UnixMs(now + deadline_ms)
    numbers = iter(range(draft.first_task, draft.first_task + len(tasks)))
    parts = tuple(_part(branch, numbers, now, deadline) for branch in race.branches)
    first = draft.first_task if tasks else 0
    wait = Wait("race", race.edges, first=first, count=len(tasks), deadline_at=deadline, parts=parts)
    details: dict[str, Any] = {"types": sorted({task.type for task in tasks}), "signals": list(wait.signals)}
    if children:
        details["jobs"] = {start.child.id: start.child.blueprint for start in children}
    events = [ev.event(ev.RACE_STARTED, state=draft.state, task=first if tasks else None, details=details)]
    status = JobStatus.WAITING_FOR_PARALLEL_TASKS if tasks else JobStatus.WAITING
    if wait.asked is not None:
        status = JobStatus.WAITING_FOR_HUMAN
        events.append(_asked(draft, wait.asked))
    return Rest(status, _waiting(draft, wait, *events), tasks, tuple(children), deadline_ms=deadline_ms)


def _part(branch: Branch, numbers: Iterator[int], now: UnixMs, deadline: UnixMs | None) -> Wait:
    """Tasks are numbered in the order of the branches."""
    match branch:
        case Run():
            return Wait("task", branch.edges, first=next(numbers), count=1)
        case WaitFor():
            return Wait("signal", branch.edges, signal=branch.name)
        case Sleep():
            return Wait("timer", {}, target=branch.target, argument=branch.argument)
        case Child():
            return Wait("child", branch.edges, child=branch.id)
        case Ask():
            return _question_wait(branch, now, deadline)
        case _:
            assert_never(branch)


def _wait_for_person(draft: Draft, ask: Ask, now: UnixMs) -> Rest:
    wait = _question_wait(ask, now, None if ask.within_ms is None else UnixMs(now + ask.within_ms))
    return Rest(
        JobStatus.WAITING_FOR_HUMAN, _waiting(draft, wait, _asked(draft, wait)), deadline_ms=ask.within_ms
    )  # fmt: skip


def _question_wait(ask: Ask, now: UnixMs, deadline: UnixMs | None) -> Wait:
    question = None if ask.question is None else ask.question.asked_at(now)
    return Wait("human", ask.edges, message=ask.message, deadline_at=deadline, question=question)


def _asked(draft: Draft, wait: Wait) -> ev.Event:
    details = {"message": wait.message, "decisions": sorted(choices_of(wait.edges)), **_asks_of(wait.question)}
    return ev.event(ev.APPROVAL_REQUESTED, state=draft.state, details=details)


def _asks_of(question: Question | None) -> dict[str, JsonValue]:
    """What history tells of a question that not just anybody may answer."""
    if question is None or not question.approvers:
        return {}
    return {"approvers": list[JsonValue](question.approvers), "quorum": question.quorum}


def _wait_for_child(draft: Draft, child: Child, start: Start) -> Rest | Move:
    if isinstance(start, ChildRefused):
        return without_child(draft.state, child.edges, "", start.code, start.message)
    if (refused := _too_many_undos(draft, child.undo, 1)) is not None:
        return refused
    wait = Wait("child", child.edges, child=child.id, undo=child.undo)
    details: dict[str, Any] = {
        "job": child.id,
        "blueprint": child.blueprint,
        **({"spread": True} if child.spread else {}),
    }
    event = ev.event(ev.CHILD_STARTED, state=draft.state, details=details)
    return Rest(JobStatus.WAITING, _waiting(draft, wait, event), children=(start,))


def _wait_for_signal(draft: Draft, awaited: WaitFor, now: UnixMs) -> Rest:
    deadline = None if awaited.within_ms is None else UnixMs(now + awaited.within_ms)
    wait = Wait("signal", awaited.edges, deadline_at=deadline, signal=awaited.name, uploads=awaited.uploads)
    event = ev.event(ev.SIGNAL_AWAITED, state=draft.state, details={"name": awaited.name})
    return _next_slice(_waiting(draft, wait, event), wait, awaited.within_ms)


def wait_on(draft: Draft, wait: Wait, missing: tuple[str, ...]) -> Rest:
    """A slice of the wait for uploads is over, and *missing* have not been sent: wait for them on."""
    return _next_slice(draft, changed(wait, uploads=missing), wait.left_ms)


def _next_slice(draft: Draft, wait: Wait, time_ms: int | None) -> Rest:
    slice_ms = time_ms if time_ms is None or not wait.uploads else min(time_ms, UPLOADS_LOOK_MS)
    wait = changed(wait, left_ms=(time_ms or 0) - (slice_ms or 0))
    return Rest(JobStatus.WAITING, _waiting(draft, wait), deadline_ms=slice_ms)


def save(draft: Draft, move: Enter) -> Rest:
    """Commit in the middle of a long chain of `go`; the next turn is due at once and enters *move*."""
    context = changed(
        draft.context, wait=None, argument=move.argument, results=_merged(draft.context.results, move.merge)
    )
    return Rest(JobStatus.RUNNING, changed(draft, state=move.state, context=context), need=0)


def check_move(before: JobStatus, event: JobEvent, after: JobStatus) -> None:
    """The table has the last word: an arrow that is not drawn is a bug here, not a state of the job."""
    allowed = JOB_MOVES.get((before, event), frozenset())
    assert after in allowed, f"{before} --{event}--> {after} is not in the table"
