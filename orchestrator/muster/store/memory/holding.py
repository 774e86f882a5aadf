"""Holding a job in the model, and letting go of it."""

from collections.abc import Iterator

from muster.core import pause as core
from muster.core.ids import JobId, UnixMs
from muster.core.limits import PAUSED_TOGETHER_MAX
from muster.core.record import Pause
from muster.core.status import JobStatus, TaskStatus
from muster.store.codec import dump
from muster.store.memory.model import PAUSED, Delivery, Job, Outgoing, Unpark
from muster.store.memory.partition import Partition


def hold(part: Partition, job: Job, by: Pause) -> None:
    part.counts[job.record.status] -= 1
    part.counts[JobStatus.PAUSED] += 1
    job.record = core.held(job.record, by)
    job.turn_token, job.turn_at = PAUSED, None


def let_go(part: Partition, job: Job) -> None:
    job.record = core.let_go(job.record)
    part.counts[JobStatus.PAUSED] -= 1
    part.counts[job.record.status] += 1
    job.turn_token = ""
    if any(task.status is TaskStatus.PARKED for task in part.tasks.values() if task.job == job.id):
        part.timers[Unpark(job.id)] = part.now()
    if job.need <= 0:
        job.turn_at = part.now()


def hold_all(part: Partition, top: Job, above: JobId, words: tuple[str, str], entries: tuple[str, str]) -> None:
    """Hold a job, and the jobs below it that it waits for: those in this partition at once, spread ones by messages."""
    todo = [top.id]
    for one in _one_by_one(part, todo):
        if one.is_final or one.record.cancel_requested:
            continue
        todo += _near(one)
        if one.record.pause is None:
            status = one.record.status
            hold(part, one, Pause(UnixMs(part.now()), *words, status, "" if one.id == above else above))
            part.note(one, entries[one is not top])
            part.changed(one)
            _tell(part, one, above, words)


def let_go_all(part: Partition, top: Job, above: JobId, entry: str) -> None:
    """Let go of all at and below a job that are held because of *above*."""
    todo = [top.id]
    for one in _one_by_one(part, todo):
        todo += _near(one)
        if one.record.pause is not None and one.record.pause.above == above:
            let_go(part, one)
            part.note(one, entry)
            part.changed(one)
        _tell(part, one, above, None)


def _near(job: Job) -> list[JobId]:
    return [child for child, is_spread in job.children.items() if not is_spread]


def _one_by_one(part: Partition, todo: list[JobId]) -> Iterator[Job]:
    """Those that are there; the list grows on the way."""
    for place in range(PAUSED_TOGETHER_MAX):
        one = part.job(todo[place]) if place < len(todo) else None
        if one is not None:
            yield one


def _tell(part: Partition, job: Job, above: JobId, words: tuple[str, str] | None) -> None:
    for child in [child for child, is_spread in job.children.items() if is_spread]:
        job.holds_told += 1
        body = dump({"k": "hold", "c": child, "n": job.holds_told, "a": above, "w": words})
        part.send_soon(f"{child}.hold{job.holds_told}", Outgoing(body))
        if words is None and Delivery(f"{child}.start") in part.timers:
            part.send_later(f"{child}.start", 0)
