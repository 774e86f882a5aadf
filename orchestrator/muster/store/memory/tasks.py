"""What the model does to a task: complete, extend, release; and what it is asked about one."""

from collections.abc import Sequence
from dataclasses import replace

from muster.core.ids import JobId, TaskId, split_task_id, task_id
from muster.core.limits import LEASES_PER_CALL_MAX
from muster.core.status import TaskStatus
from muster.store.base import Completed, Completion, LeaseRef, LiveTask, Mode, Refusal, Refused
from muster.store.memory.model import Job, Task, TaskStart
from muster.store.memory.partition import Partition


def complete(part: Partition, c: Completion) -> Completed | Refused:
    reply = take_end(part, c)
    part.wake_opened()
    return reply


def take_end(part: Partition, c: Completion) -> Completed | Refused:
    """Call `wake_opened` afterwards."""
    job = part.job(c.job)
    if job is None:
        return Refused(Refusal.GONE, -1)
    task = part.tasks.get(task_id(c.job, c.number))
    if task is None:
        if job.turn_token == c.token:
            return Completed(part.turn(job), cancelling=job.record.cancel_requested)
        return Refused(Refusal.GONE, job.record.next_task)
    refusal = _refusal(task, c)
    if refusal is not None:
        return Refused(refusal)
    part.end_lease(task)
    if job.is_final:
        part.forget(task)
        return Refused(Refusal.FINAL)
    ran_ms = part.charge(job, task)
    part.note(job, c.history, ran_ms)
    if c.mode is not Mode.DELIVER and not job.record.cancel_requested:
        _put_back(part, job, task, c)
        return Completed(retried=True, ran_ms=ran_ms)
    return replace(_deliver(part, job, task, c), ran_ms=ran_ms)


def _refusal(task: Task, c: Completion) -> Refusal | None:
    """Why this end is not the current attempt's."""
    if task.status is not TaskStatus.LEASED or c.worker not in {"", task.worker}:
        return Refusal.STALE if c.worker in {"", *task.past_workers} else Refusal.FOREIGN
    if c.attempt not in {None, task.attempt} or (c.fence or task.fence) != task.fence:
        return Refusal.STALE
    return None


def _put_back(part: Partition, job: Job, task: Task, c: Completion) -> None:
    task.past_workers = (task.worker, *task.past_workers)
    task.worker = ""
    if c.mode is Mode.RETRY:
        task.failures += 1
        task.failed_at = part.now() if task.failed_at is None else task.failed_at
        task.counts = c.counts or task.counts
        job.record = replace(job.record, retries=job.record.retries + 1)
    elif c.mode is Mode.LOST:
        task.losses += 1
    else:
        task.requeues += 1
    if c.delay_ms > 0:
        task.status, task.put_back = TaskStatus.GATED, c.mode
        part.limit_wait(task, None)
        part.timers[TaskStart(task.id)] = part.now() + c.delay_ms
    else:
        task.order, task.ready_at = part.next_order(), part.now()
        if part.enqueue(task):
            part.wake(task.cls, 1)
    part.changed(job)


def _deliver(part: Partition, job: Job, task: Task, c: Completion) -> Completed:
    task.status = TaskStatus.SUCCESS  # its run was charged
    part.forget(task)
    due = False
    if task.wave == job.record.wave:
        job.mailbox.append(c.item)
        job.count_end(failed=c.failed)
        due = job.need <= 0
    elif task.wave == job.record.spawn_wave and job.turn_token:
        job.early.append(c.item)
        job.early_failures += c.failed
    cancelling = job.record.cancel_requested
    if cancelling:
        due = not part.leased_tasks(job) and not job.children  # with children, their ends make it due
    if due and not job.turn_token:
        return Completed(part.lease_turn(job, c.token), cancelling=cancelling)
    claimed = part.claim(c.claim) if c.claim is not None else ()
    return Completed(claimed=claimed, cancelling=cancelling)


def extend(part: Partition, worker: str, lease_ms: int, leases: Sequence[LeaseRef]) -> tuple[str, ...]:
    assert len(leases) <= LEASES_PER_CALL_MAX, len(leases)
    return tuple(_extend_one(part, worker, lease_ms, lease) for lease in leases)


def _extend_one(part: Partition, worker: str, lease_ms: int, ref: LeaseRef) -> str:
    parts = split_task_id(ref.task)
    task = part.tasks.get(TaskId(ref.task))
    job = part.job(parts[0]) if parts is not None else None
    if task is None or job is None or job.is_final or not _is_held(task, worker, ref):
        return "lost"
    if lease_ms > 0:
        task.silence_ends_at = part.now() + lease_ms
    if ref.silent_ms is not None:
        task.sign_at = max(task.sign_at, part.now() - ref.silent_ms)
    elif ref.progress is not None:
        task.sign_at = part.now()
    if lease_ms > 0 or task.heartbeat_ms is not None:
        task.lease_ends_at = task.lease_end
    if ref.progress is not None and job.current_task == task.number:
        job.record = replace(job.record, progress=float(ref.progress), progress_message=ref.message or None)
        part.changed(job)
    return "cancel" if job.record.cancel_requested else "ok"


def _is_held(task: Task, worker: str, ref: LeaseRef) -> bool:
    return (
        task.status is TaskStatus.LEASED
        and worker in {"", task.worker}
        and ref.attempt in {None, task.attempt}
        and (ref.fence or task.fence) == task.fence
    )


def release(part: Partition, task_id: TaskId, attempt: int, fence: str) -> bool:
    task = part.tasks.get(task_id)
    if task is None or task.status is not TaskStatus.LEASED or (task.attempt, task.fence) != (attempt, fence):
        return False
    if part.job(task.job) is None:
        part.forget(task)
        part.wake_opened()
        return True
    task.worker = ""
    part.end_lease(task)
    if part.enqueue(task):
        part.wake(task.cls, 1)
    part.wake_opened()
    return True


def live_task(part: Partition, job: JobId, number: int) -> LiveTask | None:
    task = part.tasks.get(task_id(job, number))
    if task is None:
        return None
    return LiveTask(
        task.attempt, task.fence, task.worker, task.failures, task.losses, task.rules, task.requeues, task.counts,
        0 if task.failed_at is None else part.now() - task.failed_at,
        None if task.close_at is None else task.close_at - part.now(),
    )  # fmt: skip
