"""What becomes due in the model."""

from collections import Counter
from typing import assert_never

from muster.core.ids import JobId, TaskId, task_id
from muster.core.status import TaskStatus
from muster.core.timeouts import Timeout
from muster.store.base import DueMessage, EndedLease, Tick, Turn
from muster.store.batch_records import BatchToCancel
from muster.store.memory.admission import to_cancel
from muster.store.memory.batching import cancel_chunk
from muster.store.memory.model import (
    BatchCancel,
    Delivery,
    Drop,
    GraceEnd,
    Order,
    Replaced,
    Task,
    TaskStart,
    Timer,
    WaitEnd,
    WaitLimit,
)
from muster.store.memory.partition import Partition

HOLD_MS = 5_000
"""What a tick handed out comes again after this time if nobody settled it."""
FIRST_OF_BATCH = 8
"""First turns of one batch, before those of the next."""
LEASES_MAX, TIMERS_MAX, TURNS_MAX, DROPS_MAX = 100, 200, 32, 100


def tick(part: Partition, token_prefix: str, first_turns: int) -> Tick:
    made: Counter[str] = Counter()
    order = part.next_order()
    messages: list[DueMessage] = []
    dropped: list[tuple[TaskId, str]] = []
    cancels: list[BatchToCancel] = []
    replaced: list[tuple[JobId, str]] = []
    for timer in part.due(part.timers.items())[:TIMERS_MAX]:
        if isinstance(timer, BatchCancel):
            cancels += _to_cancel(part, timer)
        elif isinstance(timer, Replaced):
            replaced += _replaced(part, timer)
        else:
            fire(part, timer, order, made, messages, dropped)
    leases = _ended_leases(part)
    turns = _due_turns(part, token_prefix)
    first = _first_turns(part, f"{token_prefix}b", min(first_turns, TURNS_MAX - len(turns)))
    part.wake_all(made)
    more = any(batch.waiting for batch in part.batches.values())
    return Tick(
        _next_due_ms(part), leases, tuple(messages), turns, tuple(dropped), first, more, tuple(cancels), tuple(replaced)
    )


def _replaced(part: Partition, timer: Replaced) -> list[tuple[JobId, str]]:
    found = to_cancel(part, timer)
    if found is None:
        del part.timers[timer]
        return []
    part.timers[timer] = part.now() + HOLD_MS
    return [found]


def _to_cancel(part: Partition, timer: BatchCancel) -> list[BatchToCancel]:
    found = cancel_chunk(part, timer)
    if found is None:
        del part.timers[timer]
        return []
    part.timers[timer] = part.now() + HOLD_MS
    return [found]


def _first_turns(part: Partition, token_prefix: str, most: int) -> tuple[Turn, ...]:
    """Of jobs of batches, some of each batch in turn."""
    turns: list[Turn] = []
    while len(turns) < most and (batch := next((one for one in part.batches.values() if one.waiting), None)):
        part.batches[batch.new.key] = part.batches.pop(batch.new.key)
        some, batch.waiting = batch.waiting[:FIRST_OF_BATCH], batch.waiting[FIRST_OF_BATCH:]
        room = most - len(turns)
        some, batch.waiting = some[:room], [*some[room:], *batch.waiting]
        jobs = [job for job in map(part.job, some) if job is not None and not job.is_final and not job.turn_token]
        turns += [part.lease_turn(job, f"{token_prefix}{len(turns) + i}") for i, job in enumerate(jobs)]
    return tuple(turns)


def _ended_leases(part: Partition) -> tuple[EndedLease, ...]:
    now = part.now()
    leased = [task for task in part.tasks.values() if task.status is TaskStatus.LEASED and task.lease_ends_at <= now]
    leased.sort(key=lambda task: (task.lease_ends_at, task.id))
    ended = tuple(_ended(task, now) for task in leased[:LEASES_MAX])
    for task in leased[:LEASES_MAX]:
        task.lease_ends_at = now + HOLD_MS
    return ended


def _ended(task: Task, now: int) -> EndedLease:
    return EndedLease(
        task.id, task.attempt, task.fence, task.worker, task.patient, _passed(task, now),
        task.losses, task.failures, task.rules, now - task.claimed_at if task.worker else 0, task.counts,
        0 if task.failed_at is None else now - task.failed_at,
        None if task.close_at is None else task.close_at - now,
    )  # fmt: skip


def _passed(task: Task, now: int) -> Timeout | None:
    if task.close_at is not None and task.close_at <= now:
        return Timeout.SCHEDULE_TO_CLOSE
    if not task.worker:
        return Timeout.SCHEDULE_TO_START
    if task.must_end_at <= now:
        return Timeout.START_TO_CLOSE
    silent = task.heartbeat_ms is not None and task.sign_at + task.heartbeat_ms <= now
    return Timeout.HEARTBEAT if silent else None


def _waited_too_long(part: Partition, task: Task) -> None:
    """Nobody may claim it any more: it is leased to nobody, and that lease has ended already."""
    job = part.job(task.job)
    if job is None or job.is_final or task.status is TaskStatus.LEASED:
        return
    if task.status is TaskStatus.READY:
        part.queues[task.cls].remove(task)
    part.timers.pop(TaskStart(task.id), None)
    task.status, task.worker, task.fence, task.patient, task.price = TaskStatus.LEASED, "", "", False, 0
    task.claimed_at = task.must_end_at = task.lease_ends_at = part.now()


def fire(
    part: Partition,
    timer: Timer,
    order: Order,
    made: Counter[str],
    messages: list[DueMessage],
    dropped: list[tuple[TaskId, str]],
) -> None:
    if part.timers.pop(timer, None) is None:  # one that was due with it has ended it
        return
    match timer:
        case TaskStart():
            task = part.tasks[timer.task]
            task.order, task.ready_at = order, part.now()
            part.enqueue(task)
            made[task.cls] += 1
        case WaitLimit():
            _waited_too_long(part, part.tasks[timer.task])
        case WaitEnd():
            job = part.job(timer.job)
            if job is not None and not job.is_final and job.record.wave == timer.wave:
                job.mailbox.append('{"k":"timer"}')
                part.make_due(job)
        case GraceEnd():
            job = part.job(timer.job)
            if job is not None and not job.is_final and job.record.cancel_requested and job.child is None:
                part.make_due(job)
        case Drop():
            dropped += _drop(part, timer)
        case Delivery():
            outgoing = part.outbox[timer.message]
            part.send_later(timer.message, HOLD_MS)
            messages.append(DueMessage(timer.message, outgoing.body, outgoing.tries))
        case BatchCancel() | Replaced():
            raise AssertionError("handed out by the tick")
        case _:
            assert_never(timer)


def _drop(part: Partition, drop: Drop) -> list[tuple[TaskId, str]]:
    """What was taken from workers."""
    job, taken = part.job(drop.job), list[tuple[TaskId, str]]()
    chunk_end = min(drop.low + DROPS_MAX, drop.high)
    for number in range(drop.low, chunk_end):
        task = part.tasks.get(task_id(drop.job, number))
        if task is None:
            continue
        if task.status is TaskStatus.LEASED and task.worker:
            taken.append((task.id, task.worker))
            if job is not None and not job.is_final and job.history:
                text = f'{{"e":"task_dropped","n":{number},"a":{task.attempt},"w":"{task.worker}"}}'
                part.note(job, text)
        part.forget(task)
    if chunk_end < drop.high:
        part.timers[Drop(drop.job, chunk_end, drop.high)] = part.now()
    return taken


def _due_turns(part: Partition, token_prefix: str) -> tuple[Turn, ...]:
    now = part.now()
    due = [(job.turn_at, job) for job in part.jobs.values() if job.turn_at is not None and job.turn_at <= now]
    due.sort(key=lambda pair: (pair[0], pair[1].id))
    return tuple(part.lease_turn(job, f"{token_prefix}{i}") for i, (_, job) in enumerate(due[:TURNS_MAX], 1))


def _next_due_ms(part: Partition) -> int | None:
    leases = [task.lease_ends_at for task in part.tasks.values() if task.status is TaskStatus.LEASED]
    turns = [job.turn_at for job in part.jobs.values() if job.turn_at is not None]
    due = min([*leases, *turns, *part.timers.values()], default=None)
    return None if due is None else max(0, due - part.now())
