"""Timers of the model, and what each does when its time has come."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from muster.core.ids import JobId, TaskId, task_id
from muster.core.limits import TASKS_MOVED_PER_TICK_MAX
from muster.core.status import TaskStatus
from muster.store.approvals import DueEscalation
from muster.store.base import DueMessage
from muster.store.batch_records import BatchToCancel
from muster.store.memory.admission import to_cancel
from muster.store.memory.batching import cancel_chunk
from muster.store.memory.children import is_awaited, is_put_off
from muster.store.memory.model import (
    HOLD_MS,
    BatchCancel,
    Deadline,
    Delivery,
    Drop,
    Escalation,
    GateOpens,
    GraceEnd,
    Order,
    PreferenceEnd,
    Replaced,
    Task,
    TaskStart,
    Timer,
    Unpark,
    WaitEnd,
    WaitLimit,
)
from muster.store.memory.partition import Partition


@dataclass(slots=True)
class Found:
    """What a tick hands to its caller, and the tasks it made ready by class."""

    order: Order
    movable: int = TASKS_MOVED_PER_TICK_MAX
    made: Counter[str] = field(default_factory=Counter[str])
    messages: list[DueMessage] = field(default_factory=list[DueMessage])
    dropped: list[tuple[TaskId, str]] = field(default_factory=list[tuple[TaskId, str]])
    overdue: list[JobId] = field(default_factory=list[JobId])
    escalations: list[DueEscalation] = field(default_factory=list[DueEscalation])
    cancels: list[BatchToCancel] = field(default_factory=list[BatchToCancel])
    replaced: list[tuple[JobId, str]] = field(default_factory=list[tuple[JobId, str]])


def fire(part: Partition, timer: Timer, found: Found) -> None:
    if part.timers.pop(timer, None) is not None:  # one that was due with it may have ended it
        _FIRE[type(timer)](part, timer, found)


def _start(part: Partition, timer: TaskStart, found: Found) -> None:
    task = part.tasks[timer.task]
    task.order, task.ready_at = found.order, part.now()
    found.made[task.cls] += part.enqueue(task)


def _prefers_nobody(part: Partition, timer: PreferenceEnd, found: Found) -> None:
    task = part.tasks.get(timer.task)
    if task is None or not task.fallback:
        return
    ready = task.status is TaskStatus.READY
    if ready:
        part.leave_queue(task)
    part.kinds.setdefault(task.fallback, part.kinds.get(task.cls, ""))
    task.cls, task.fallback = task.fallback, ""
    if ready:
        found.made[task.cls] += part.enqueue(task)


def _limit_passed(part: Partition, timer: WaitLimit, _: Found) -> None:
    _waited_too_long(part, part.tasks[timer.task])


def _waited_too_long(part: Partition, task: Task) -> None:
    """Nobody may claim it any more: it is leased to nobody, and that lease has ended already."""
    job = part.job(task.job)
    if job is None or job.is_final or task.status is TaskStatus.LEASED:
        return
    if task.status is TaskStatus.READY:
        part.leave_queue(task)
    part.timers.pop(TaskStart(task.id), None)
    task.status, task.worker, task.fence, task.patient, task.price = TaskStatus.LEASED, "", "", False, 0
    task.claimed_at = task.must_end_at = task.lease_ends_at = part.now()


def _wait_over(part: Partition, timer: WaitEnd, _: Found) -> None:
    job = part.job(timer.job)
    if job is not None and not job.is_final and job.record.wave == timer.wave:
        if job.record.cancel_requested and job.children:
            return  # they end first
        job.mailbox.append('{"k":"timer"}')
        part.make_due(job)


def _grace_over(part: Partition, timer: GraceEnd, _: Found) -> None:
    job = part.job(timer.job)
    if job is not None and not job.is_final and job.record.cancel_requested and not job.children:
        part.make_due(job)


def _unpark(part: Partition, timer: Unpark, found: Found) -> None:
    job = part.job(timer.job)
    if job is not None and job.record.pause is None:
        parked = [task for task in part.tasks.values() if task.job == timer.job and task.status is TaskStatus.PARKED]
        for task in parked[: found.movable]:
            found.made[task.cls] += part.enqueue(task)
        if len(parked) > found.movable:
            part.timers[timer] = part.now()
        found.movable -= min(len(parked), found.movable)


def _overdue(part: Partition, timer: Deadline, found: Found) -> None:
    job = part.job(timer.job)
    if job is not None and not job.is_final:
        part.timers[timer] = part.now() + HOLD_MS
        found.overdue.append(timer.job)


def _drop(part: Partition, drop: Drop, found: Found) -> None:
    job = part.job(drop.job)
    chunk_end = min(drop.low + found.movable, drop.high)
    found.movable -= chunk_end - drop.low
    for number in range(drop.low, chunk_end):
        task = part.tasks.get(task_id(drop.job, number))
        if task is None:
            continue
        if task.status is TaskStatus.LEASED and task.worker:
            found.dropped.append((task.id, task.worker))
            if job is not None and not job.is_final and job.history:
                text = f'{{"e":"task_dropped","n":{number},"a":{task.attempt},"w":"{task.worker}"}}'
                part.note(job, text)
        part.forget(task)
    if chunk_end < drop.high:
        part.timers[Drop(drop.job, chunk_end, drop.high)] = part.now()


def _deliver(part: Partition, timer: Delivery, found: Found) -> None:
    outgoing = part.outbox[timer.message]
    if not is_awaited(part, outgoing, JobId(timer.message[:36])):
        del part.outbox[timer.message]
        return
    if is_put_off(part, outgoing):
        part.send_later(timer.message, HOLD_MS)
        return
    part.send_later(timer.message, HOLD_MS)
    found.messages.append(DueMessage(timer.message, outgoing.body, outgoing.tries, outgoing.withdrawn))


def _escalate(part: Partition, timer: Escalation, found: Found) -> None:
    """It comes again until somebody has asked the others; a decided question needs nobody more."""
    job = part.job(timer.job)
    if job is None or job.asked_at is None or job.record.wave != timer.wave or job.need <= 0:
        return
    part.timers[timer] = part.now() + HOLD_MS
    found.escalations.append(DueEscalation(timer.job, timer.wave))


def _replaced(part: Partition, timer: Replaced, found: Found) -> None:
    """Its unique key was taken: it is handed out until somebody has asked for its end."""
    job = to_cancel(part, timer)
    if job is not None:
        part.timers[timer] = part.now() + HOLD_MS
        found.replaced.append(job)


def _cancel_some(part: Partition, timer: BatchCancel, found: Found) -> None:
    chunk = cancel_chunk(part, timer)
    if chunk is not None:
        part.timers[timer] = part.now() + HOLD_MS
        found.cancels.append(chunk)


def _gate_opens(part: Partition, timer: GateOpens, _: Found) -> None:
    part.open_gate(timer.gate)


_FIRE: Final[Mapping[type[Timer], Callable[[Partition, Any, Found], None]]] = {
    TaskStart: _start,
    PreferenceEnd: _prefers_nobody,
    WaitLimit: _limit_passed,
    WaitEnd: _wait_over,
    GraceEnd: _grace_over,
    Unpark: _unpark,
    Deadline: _overdue,
    Drop: _drop,
    Delivery: _deliver,
    Escalation: _escalate,
    BatchCancel: _cancel_some,
    Replaced: _replaced,
    GateOpens: _gate_opens,
}
