"""What becomes due in the model."""

from muster.core.limits import (
    FIRST_TURNS_IN_A_ROW,
    JOBS_PASSED_OVER_MAX,
    LEASES_PER_TICK_MAX,
    TIMERS_PER_TICK_MAX,
    TURNS_PER_TICK_MAX,
)
from muster.core.status import TaskStatus
from muster.core.timeouts import Timeout
from muster.store.base import EndedLease, Tick, Turn
from muster.store.memory.model import HOLD_MS, Task
from muster.store.memory.partition import Partition
from muster.store.memory.timers import Found, fire


def tick(part: Partition, token_prefix: str, first_turns: int) -> Tick:
    found = Found(part.next_order())
    for timer in part.due(part.timers.items())[:TIMERS_PER_TICK_MAX]:
        fire(part, timer, found)
    leases = _ended_leases(part)
    turns = _due_turns(part, token_prefix)
    first = _first_turns(part, f"{token_prefix}b", min(first_turns, TURNS_PER_TICK_MAX - len(turns)))
    part.wake_all(found.made)
    part.wake_opened()
    return Tick(
        _next_due_ms(part),
        leases,
        tuple(found.messages),
        turns,
        dropped=tuple(found.dropped),
        overdue=tuple(found.overdue),
        escalations=tuple(found.escalations),
        first=first,
        more_first=any(batch.waiting for batch in part.batches.values()),
        cancels=tuple(found.cancels),
        replaced=tuple(found.replaced),
    )


def _ended_leases(part: Partition) -> tuple[EndedLease, ...]:
    now = part.now()
    leased = [task for task in part.tasks.values() if task.status is TaskStatus.LEASED and task.lease_ends_at <= now]
    leased.sort(key=lambda task: (task.lease_ends_at, task.id))
    ended = tuple(_ended(task, now) for task in leased[:LEASES_PER_TICK_MAX])
    for task in leased[:LEASES_PER_TICK_MAX]:
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


def _due_turns(part: Partition, token_prefix: str) -> tuple[Turn, ...]:
    now = part.now()
    due = [(job.turn_at, job) for job in part.jobs.values() if job.turn_at is not None and job.turn_at <= now]
    due.sort(key=lambda pair: (pair[0], pair[1].id))
    return tuple(part.lease_turn(job, f"{token_prefix}{i}") for i, (_, job) in enumerate(due[:TURNS_PER_TICK_MAX], 1))


def _first_turns(part: Partition, token_prefix: str, most: int) -> tuple[Turn, ...]:
    """Of jobs of batches, some of each batch in turn."""
    turns: list[Turn] = []
    passed_over = 0
    while (
        len(turns) < most
        and passed_over < JOBS_PASSED_OVER_MAX
        and (batch := next((one for one in part.batches.values() if one.waiting), None))
    ):
        part.batches[batch.new.key] = part.batches.pop(batch.new.key)
        some, batch.waiting = batch.waiting[:FIRST_TURNS_IN_A_ROW], batch.waiting[FIRST_TURNS_IN_A_ROW:]
        room = most - len(turns)
        some, batch.waiting = some[:room], [*some[room:], *batch.waiting]
        known = [job for job in map(part.job, some) if job is not None and not job.is_final]
        jobs = [job for job in known if not job.turn_token and job.record.wave == 0]
        passed_over += len(some) - len(jobs)
        turns += [part.lease_turn(job, f"{token_prefix}{len(turns) + i}") for i, job in enumerate(jobs)]
    return tuple(turns)


def _next_due_ms(part: Partition) -> int | None:
    leases = [task.lease_ends_at for task in part.tasks.values() if task.status is TaskStatus.LEASED]
    turns = [job.turn_at for job in part.jobs.values() if job.turn_at is not None]
    due = min([*leases, *turns, *part.timers.values()], default=None)
    return None if due is None else max(0, due - part.now())
