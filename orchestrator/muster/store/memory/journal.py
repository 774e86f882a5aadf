"""What the model does with events of tasks."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final, TypeVar

from muster.core.file_record import FileRecord
from muster.core.ids import JobId, UnixMs, task_id
from muster.core.record import JobRecord
from muster.core.status import TaskStatus
from muster.store.base import Refusal, Refused
from muster.store.journal import (
    Appended,
    AttemptStart,
    Chunk,
    Known,
    Line,
    LiveRead,
    LogRead,
    Meta,
    NotedLine,
    PlacedStep,
    Progress,
    StoredSteps,
    TaskEvents,
    dump_chunk,
    dump_lines,
    dump_step,
    load_chunk,
    load_step,
)
from muster.store.memory.model import Job, Task
from muster.store.memory.partition import Partition

STEPS_MAX: Final = 1000
METADATA_MAX: Final = 256
WATCHERS_MAX: Final = 8
LATE_MAX: Final = 256
NOTHING: Final = dump_chunk(1, 0, 0, b"[]")
"""An empty chunk says that the numbers before the first line never were."""
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
    attempt_before, line_before = task.events_attempt, job.last_line
    missing = events.first - wanted
    _keep_lines(part, job, task, events, missing=missing)
    task.events_attempt, task.next_event = task.attempt, events.last + 1
    changed = _begin_attempt(job, task, line_before) if attempt_before not in (0, task.attempt) else False
    changed |= _keep_steps(job, task, events, line_before + int(missing > 0), counted=changed)
    if _keep_facts(job, task, events) or changed:
        part.changed(job, line_before)
    elif job.last_line != line_before:
        part.announce_to_tenant(job, line_before)
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
    """Metadata and progress; whether there were any."""
    metadata: Iterable[Meta] = events.of(Meta)
    told: tuple[Progress, ...] = events.of(Progress)
    changed = bool(told) and job.current_task == task.number
    if changed:
        job.record = replace(job.record, progress=told[-1].fraction, progress_message=told[-1].message or None)
    for meta in metadata:
        changed |= _put(job.metadata, meta.key, meta.value, METADATA_MAX)
    return changed


def _begin_attempt(job: Job, task: Task, line: int) -> bool:
    """What an earlier attempt left open ends here."""
    if not job.steps:
        return False
    job.newest_step += 1
    start = PlacedStep(task.number, 0, task.attempt, line, None, b"")
    return _put(job.steps, f"{task.number}", (job.newest_step, dump_step(job.newest_step, start)), STEPS_MAX)


def _keep_steps(job: Job, task: Task, events: TaskEvents, line: int, *, counted: bool) -> bool:
    told = list(events.placed_steps())
    job.newest_step += int(bool(told) and not counted)
    changed = False
    for before, step in told:
        place, at = f"{task.number}.{step.index}", line + before
        known = load_step(place, job.steps[place][1]) if place in job.steps else None
        opened, closed = at, None
        if isinstance(known, PlacedStep) and known.attempt == task.attempt:
            opened, closed = known.opened, known.closed
        closed = (at if closed is None else closed) if step.is_over else None
        placed = PlacedStep(task.number, step.index, task.attempt, opened, closed, step.blob)
        changed |= _put(job.steps, place, (job.newest_step, dump_step(job.newest_step, placed)), STEPS_MAX)
    return changed


def _put(known: dict[str, V], key: str, value: V, size_max: int) -> bool:
    if key not in known and len(known) >= size_max:
        return False
    known[key] = value
    return True


def note_line(part: Partition, line: NotedLine) -> bool | Refused:
    job = part.job(line.job)
    if job is None:
        return Refused(Refusal.GONE, -1)
    if job.is_final:
        return Refused(Refusal.FINAL, -1)
    chunks = [load_chunk(blob) for blob in job.log]
    if any(chunk.first <= line.seq < chunk.first + len(chunk.lines) for chunk in chunks):
        return False
    if line.seq > 1 and job.last_line == 0:
        job.log.append(NOTHING)
    if line.seq == 1 and NOTHING in job.log:
        job.log.remove(NOTHING)
    at = UnixMs(part.now()) if line.at is None else line.at
    place = sum(load_chunk(blob).first <= line.seq for blob in job.log)
    job.log.insert(place, dump_chunk(line.seq, line.task, 1, dump_lines((Line(at, line.stream, line.text),))))
    while sum(map(len, job.log)) > line.log_bytes_max and len(job.log) > 1:
        del job.log[0]
    before, late_before = job.last_line, len(job.late)
    is_late = line.seq < before
    if is_late:
        job.late.append(line.seq)
    job.last_line = max(before, line.seq)
    part.announce_log(job)
    part.announce_to_tenant(job, before, late_before if is_late else None)
    return True


def read_log(part: Partition, job_id: JobId, start: int, watcher: str) -> LogRead | None:
    job = part.job(job_id)
    if job is None:
        return None
    _add_reader(job, watcher)
    return LogRead(job.is_final, job.last_line, _chunks_from(job, start))


def _add_reader(job: Job, watcher: str) -> None:
    if watcher and not job.is_final and watcher not in job.readers:
        job.readers = [watcher, *job.readers][:WATCHERS_MAX]


def _chunks_from(job: Job, start: int) -> tuple[Chunk, ...]:
    chunks = [load_chunk(blob) for blob in job.log] if start <= job.last_line else []
    holding = [i for i, chunk in enumerate(chunks) if chunk.first <= start]
    return tuple(chunks[holding[-1] if holding else 0 :])


def read_steps(part: Partition, job_id: JobId) -> StoredSteps:
    job = part.job(job_id)
    if job is None:
        return StoredSteps()
    placed = _steps_since(job, 0)
    steps = {f"{step.number}.{step.index}": step.blob for step in placed if isinstance(step, PlacedStep)}
    return StoredSteps(steps, dict(job.metadata))


def read_live(job: Job, record: JobRecord, artifacts: Iterable[FileRecord], known: Known, watcher: str) -> LiveRead:
    """*artifacts* are those that are newer than what is *known*."""
    _add_reader(job, watcher)
    if watcher and not job.is_final and watcher not in job.followers:
        job.followers = [watcher, *job.followers][:WATCHERS_MAX]
    steps = _steps_since(job, known.steps)
    return LiveRead(
        record=record,
        last=job.last_line,
        chunks=_chunks_from(job, known.line + 1),
        newest_step=job.newest_step,
        steps=tuple(step for step in steps if isinstance(step, PlacedStep)),
        attempts=tuple(step for step in steps if isinstance(step, AttemptStart)),
        newest_artifact=job.newest_artifact,
        artifacts=tuple(artifacts),
        late=_late_since(job, known.late),
        late_known=len(job.late),
    )


def _late_since(job: Job, known: int | None) -> tuple[Chunk, ...]:
    count = len(job.late)
    numbers = job.late[count if known is None else max(known, count - LATE_MAX) :]
    chunks = {chunk.first: chunk for chunk in map(load_chunk, job.log) if chunk.lines} if numbers else {}
    return tuple(chunks.get(number, Chunk(number, 0, ())) for number in numbers)


def _steps_since(job: Job, change: int) -> list[PlacedStep | AttemptStart]:
    return [load_step(place, blob) for place, (changed, blob) in job.steps.items() if changed > change]
