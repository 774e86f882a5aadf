"""Why the tasks that a job waits for are not done: one reason for each type of task and how it stands."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from muster.core.ids import UnixMs, task_id
from muster.core.json import JsonObject, JsonValue
from muster.core.retry import TaskRules
from muster.core.status import TaskStatus
from muster.engine.reasons import Code, Facts, Reason, span
from muster.engine.views import WorkerView
from muster.engine.why_limits import limit_reasons, limits_of
from muster.engine.why_needs import fitting, needs_unmet, preferred, slowed
from muster.store.standing import StandingTask

DRAINING: Final = "draining"
REQUEUED: Final = "requeue"
SHOWN_MAX: Final = 10
"""Tasks, workers and names in the details of one reason."""
REASONS_MAX: Final = 30
_ORDER: Final = (TaskStatus.READY, TaskStatus.GATED, TaskStatus.LEASED, TaskStatus.PARKED)
"""What stands in the way comes before what is under way."""


def task_reasons(facts: Facts) -> list[Reason]:
    """Of a job to be cancelled only those that a worker still has: the others will not be handed out.

    Of a paused one those that are ready wait for nothing but its end of the pause.
    """
    cancelled, paused = facts.standing.record.cancel_requested, facts.standing.record.pause is not None
    groups: dict[tuple[int, str, bool, str, tuple[str, ...]], list[StandingTask]] = {}
    for task in facts.standing.tasks:
        if task.status is TaskStatus.LEASED and not task.worker:
            continue  # it waited too long: a server is about to say so
        held = paused and task.status in {TaskStatus.READY, TaskStatus.PARKED}
        if not held and (not cancelled or task.status is TaskStatus.LEASED):
            was_put_back = task.put_back == REQUEUED
            alike = (_ORDER.index(task.status), task.type, was_put_back, task.cls, limits_of(facts, task))
            groups.setdefault(alike, []).append(task)
    found: list[Reason] = []
    for (place, kind, was_put_back, _, _), tasks in sorted(groups.items()):
        match _ORDER[place]:
            case TaskStatus.READY:
                found += [_with_limit(facts, reason, tasks) for reason in _ready(facts, kind, tasks)]
            case TaskStatus.GATED if was_put_back:
                found.append(_put_back(facts, kind, tasks))
            case TaskStatus.GATED:
                found.append(_backing_off(facts, kind, tasks))
            case _:
                found.append(_running(facts, kind, tasks))
    return found[:REASONS_MAX]


# Ready, and not fetched


def _ready(facts: Facts, kind: str, tasks: Sequence[StandingTask]) -> list[Reason]:
    """What is in the way: limits, and somebody who offers it."""
    since = min((task.since for task in tasks if task.since is not None), default=None)
    details = _details(facts, kind, tasks)
    limited = limit_reasons(facts, _tasks(kind, tasks), tasks, since, details)
    if any(kind in worker.supported_tasks for worker in facts.workers):
        return limited or [_not_fetched(facts, kind, tasks, since, details)]
    return [*limited, _nobody(facts, kind, tasks, since, details)]


def _not_fetched(
    facts: Facts, kind: str, tasks: Sequence[StandingTask], since: UnixMs | None, details: JsonObject
) -> Reason:
    offering = [worker for worker in facts.workers if kind in worker.supported_tasks]
    requirement = facts.requirements.get(tasks[0].cls)
    fit = fitting(requirement, offering)
    taking = [worker for worker in fit if worker.status != DRAINING]
    if any(task.prefers_until is not None for task in tasks):
        return preferred(_tasks(kind, tasks), facts, tasks, taking, details)
    if not fit and requirement is not None:
        return needs_unmet(_tasks(kind, tasks), requirement, offering, since, details)
    if not taking:
        names = _names(worker.worker_id for worker in fit)
        text = f"all workers that offer {kind!r} are draining and take no more: {', '.join(names)}"
        return Reason(Code.WORKERS_DRAINING, text, since, details={**details, "workers": list[JsonValue](names)})
    is_slowed = slowed(_tasks(kind, tasks), kind, taking, since, details)
    return is_slowed or _in_line(facts, kind, tasks, since, details, fit, taking)


def _nobody(
    facts: Facts, kind: str, tasks: Sequence[StandingTask], since: UnixMs | None, details: JsonObject
) -> Reason:
    offered = sorted({name for worker in facts.workers for name in worker.supported_tasks})
    closest = next(iter(difflib.get_close_matches(kind, offered, n=1)), None)
    text = f"no worker that is there offers {_tasks(kind, tasks)}"
    if closest is not None:
        text += f"; the closest that is offered is {closest!r}"
    elif not facts.workers:
        text += "; no worker is there at all"
    details = {
        **details,
        "closest": closest,
        "workers": len(facts.workers),
        "offered": list[JsonValue](_names(offered)),
    }
    return Reason(Code.NO_WORKER, text, since, details=details)


def _in_line(
    facts: Facts,
    kind: str,
    tasks: Sequence[StandingTask],
    since: UnixMs | None,
    details: JsonObject,
    offering: Sequence[WorkerView],
    taking: Sequence[WorkerView],
) -> Reason:
    slots = sum(worker.slots_for(kind) for worker in taking)
    used = sum(worker.slots_for(kind) - facts.free_at(worker, kind) for worker in taking)
    before = next((task.before for task in tasks if task.before is not None), None)
    draining = len(offering) - len(taking)
    details = {**details, "workers": len(taking), "draining": draining, "slots": slots, "used_slots": used}
    details = {**details, "queued": facts.queued.get(kind, 0), "queued_before": before, "estimate_ms": None}
    line = "" if before is None else f", {before} tasks are in line before it"
    if used < slots:
        waited = "" if since is None else f" has been ready for {span(facts.standing.now - since)}"
        text = f"{_tasks(kind, tasks)}{waited}, and {slots - used} of {slots} slots are free{line}"
        return Reason(Code.WORKER_FREE, f"{text}: the next poll of a worker takes it", since, details=details)
    text = f"all {slots} slots of the {len(taking)} workers that offer {kind!r} are taken{line}"
    if draining:
        text += f"; {draining} more are draining"
    duration = facts.durations_ms.get(kind)
    if duration is not None and before is not None:
        estimate = duration * (before + 1) // slots
        text += f"; its turn comes in about {span(estimate)}"
        details = {**details, "estimate_ms": estimate, "duration_ms": duration}
    return Reason(Code.WORKERS_BUSY, text, since, details=details)


def _with_limit(facts: Facts, reason: Reason, tasks: Sequence[StandingTask]) -> Reason:
    """What becomes of a task that nobody fetches, where it has a limit."""
    fails_at = min((task.fails_at for task in tasks if task.fails_at is not None), default=None)
    if fails_at is None:
        return reason
    text = f"{reason.text}; if nobody fetches it within {span(fails_at - facts.standing.now)}, it has failed"
    return replace(reason, text=text, until=reason.until if reason.code is Code.LIMIT_RATE else fails_at)


# Backing off, and running


def _put_back(facts: Facts, kind: str, tasks: Sequence[StandingTask]) -> Reason:
    """Its worker had no use for it now."""
    now = facts.standing.now
    first = min(tasks, key=lambda task: (task.until or 0, task.number))
    said, until = facts.errors.get(first.number), first.until
    when = "some time" if until is None else span(until - now)
    text = f"a worker put {_tasks(kind, tasks)} back, which is no failure; it is handed out again in {when}"
    details = {**_details(facts, kind, tasks), "requeues": first.requeues, "error": said}
    return Reason(Code.TASK_REQUEUED, f"{text}: {said}" if said else text, until=until, details=details)


def _backing_off(facts: Facts, kind: str, tasks: Sequence[StandingTask]) -> Reason:
    now = facts.standing.now
    first = min(tasks, key=lambda task: (task.until or 0, task.number))
    until, error = first.until, facts.errors.get(first.number)
    left = until - now if until is not None else 0
    when = f"in {span(left)}"
    if left <= 0:
        when = f"as of {span(-left)} ago, and no server has noticed: the engine is behind"
    text = f"{_tasks(kind, tasks)} failed and is tried again {when}"
    if error is not None:
        text += f"; the last error: {error}"
    details = {**_details(facts, kind, tasks), "failures": first.failures, "losses": first.losses, "error": error}
    if first.rules:
        rules = TaskRules.load(first.rules)
        text += f" (failure {first.failures}, {rules.retries} retries are allowed)" if first.failures else ""
        details = {**details, "retries": rules.retries, "policy": rules.policy.to_json()}
    return Reason(Code.TASK_BACKOFF, text, until=until, details=details)


def _running(facts: Facts, kind: str, tasks: Sequence[StandingTask]) -> Reason:
    details = {**_details(facts, kind, tasks), "workers": list[JsonValue](_names({task.worker for task in tasks}))}
    since = min((task.since for task in tasks if task.since is not None), default=None)
    if len(tasks) > 1:
        text = f"{len(tasks)} tasks {kind!r} run at {len({task.worker for task in tasks})} workers"
        return Reason(Code.TASK_RUNNING, text, since, details=details)
    (task,) = tasks
    now, record = facts.standing.now, facts.standing.record
    ran = span(now - task.since) if task.since is not None else "some time"
    text = f"worker {task.worker!r} has run {_tasks(kind, tasks)} for {ran}, attempt {task.attempt}"
    if record.progress is not None:
        text += f", {record.progress:.0%} done" + (f": {record.progress_message}" if record.progress_message else "")
    is_here = any(worker.worker_id == task.worker for worker in facts.workers)
    if task.until is not None and task.until <= now:
        text += f"; its lease ended {span(now - task.until)} ago, and the task will go to another"
    elif not is_here:
        text += (
            "; the worker is not registered any more: if it stays silent, the task goes to another when its lease ends"
        )
    details = {**details, "progress": record.progress, "progress_message": record.progress_message, "is_here": is_here}
    return Reason(Code.TASK_RUNNING, text, since, task.until, details)


def _tasks(kind: str, tasks: Sequence[StandingTask]) -> str:
    return f"the task {kind!r}" if len(tasks) == 1 else f"each of {len(tasks)} tasks {kind!r}"


def _details(facts: Facts, kind: str, tasks: Sequence[StandingTask]) -> JsonObject:
    """Durations instead of moments: they are of the store's clock."""
    standing = facts.standing
    shown = [_detail(facts, task) for task in sorted(tasks, key=_first_in_line)[:SHOWN_MAX]]
    counted: JsonObject = {"type": kind, "count": len(tasks), "tasks": list[JsonValue](shown)}
    if standing.live_tasks > len(standing.tasks):
        counted = {**counted, "looked_at": len(standing.tasks), "of": standing.live_tasks}
    return counted


def _first_in_line(task: StandingTask) -> tuple[bool, int]:
    return task.before is None, task.number


def _detail(facts: Facts, task: StandingTask) -> JsonObject:
    now = facts.standing.now
    detail: JsonObject = {"task_id": task_id(facts.standing.record.id, task.number), "attempt": task.attempt}
    since = None if task.since is None else now - task.since
    left = None if task.until is None else task.until - now
    if task.fails_at is not None:
        detail = {**detail, "fails_in_ms": task.fails_at - now}
    if task.close_at is not None:
        detail = {**detail, "closes_in_ms": task.close_at - now}
    match task.status:
        case TaskStatus.LEASED:
            return {**detail, "worker": task.worker, "running_ms": since, "lease_left_ms": left}
        case TaskStatus.GATED:
            return {**detail, "starts_in_ms": left, "error": facts.errors.get(task.number)}
        case _:
            return {**detail, "ready_ms": since}


def _names(names: Iterable[str]) -> list[str]:
    return sorted(names)[:SHOWN_MAX]
