"""What the model does with events of tasks."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final, TypeVar

from muster.core.ids import JobId, UnixMs, task_id
from muster.core.status import TaskStatus
from muster.store.base import Refusal, Refused
from muster.store.journal import (
    Appended,
    Line,
    LogRead,
    Meta,
    Progress,
    Step,
    StoredSteps,
    TaskEvents,
    dump_chunk,
    dump_lines,
    load_chunk,
)
from muster.store.memory.model import Job, Task
from muster.store.memory.partition import Partition

STEPS_MAX: Final = 1000
METADATA_MAX: Final = 256
WATCHERS_MAX: Final = 8
V = TypeVar("V")


def append(part: Partition, events: TaskEvents) -> Appended | Refused:
    job = part.job(events.job)
    if job is None:
        return Refused(Refusal.GONE, -1)
    task = part.tasks.get(task_id(events.job, events.number))
    if task is None:
        return Refused(Refusal.GONE, max(job.record.next_task, job.record.spawned_to))
    if task.status is not TaskStatus.LEASED or task.worker != events.worker:
        return Refused(Refusal.STALE if events.worker in task.past_workers else Refusal.FOREIGN)
    if task.attempt != events.attempt or (events.fence or task.fence) != task.fence or job.is_final:
        return Refused(Refusal.STALE)
    cancelling = job.record.cancel_requested
    wanted = task.next_event if task.events_attempt == task.attempt else 0
    if events.last < wanted:
        return Appended(wanted, cancelling=cancelling)
    if events.first < wanted:
        return Appended(wanted, taken=False, cancelling=cancelling)
    _keep_lines(part, job, task, events, missing=events.first - wanted)
    task.events_attempt, task.next_event = task.attempt, events.last + 1
    if _keep_facts(job, task, events):
        part.changed(job)
    return Appended(events.last + 1, cancelling=cancelling)


def _keep_lines(part: Partition, job: Job, task: Task, events: TaskEvents, *, missing: int) -> None:
    lines: tuple[Line, ...] = events.of(Line)
    if missing > 0:
        _keep(job, task, (Line(UnixMs(part.now()), "notice", str(missing)),))
    if lines:
        _keep(job, task, lines)
    while sum(map(len, job.log)) > events.log_bytes_max and len(job.log) > 1:
        del job.log[0]
    if missing > 0 or lines:
        part.announce_log(job)


def _keep(job: Job, task: Task, lines: tuple[Line, ...]) -> None:
    job.log.append(dump_chunk(job.last_line + 1, task.number, len(lines), dump_lines(lines)))
    job.last_line += len(lines)


def _keep_facts(job: Job, task: Task, events: TaskEvents) -> bool:
    """Steps, metadata and progress; whether there were any."""
    steps: Iterable[Step] = events.of(Step)
    metadata: Iterable[Meta] = events.of(Meta)
    told: tuple[Progress, ...] = events.of(Progress)
    changed = bool(told) and job.current_task == task.number
    if changed:
        job.record = replace(job.record, progress=told[-1].fraction, progress_message=told[-1].message or None)
    for step in steps:
        changed |= _put(job.steps, f"{task.number}.{step.index}", step.blob, STEPS_MAX)
    for meta in metadata:
        changed |= _put(job.metadata, meta.key, meta.value, METADATA_MAX)
    return changed


def _put(known: dict[str, V], key: str, value: V, size_max: int) -> bool:
    if key not in known and len(known) >= size_max:
        return False
    known[key] = value
    return True


def read_log(part: Partition, job_id: JobId, start: int, watcher: str) -> LogRead | None:
    job = part.job(job_id)
    if job is None:
        return None
    if watcher and not job.is_final and watcher not in job.readers:
        job.readers = [watcher, *job.readers][:WATCHERS_MAX]
    chunks = [load_chunk(blob) for blob in job.log] if start <= job.last_line else []
    holding = [i for i, chunk in enumerate(chunks) if chunk.first <= start]
    return LogRead(job.is_final, job.last_line, tuple(chunks[holding[-1] if holding else 0 :]))


def read_steps(part: Partition, job_id: JobId) -> StoredSteps:
    job = part.job(job_id)
    return StoredSteps() if job is None else StoredSteps(dict(job.steps), dict(job.metadata))
