"""What a person does to jobs, in the model."""

from collections import Counter
from collections.abc import Callable

from muster.core import pause as core
from muster.core.ids import JobId, UnixMs
from muster.core.limits import UNPARKED_PER_CALL_MAX
from muster.core.record import Pause
from muster.core.status import JobStatus, TaskStatus
from muster.store.base import Refusal, Refused, Turn
from muster.store.memory.batching import count
from muster.store.memory.model import PAUSED, Job, Unpark
from muster.store.memory.partition import Partition


class MemoryOperations:
    def __init__(self, partition_with: Callable[[JobId], Partition | None]) -> None:
        self._partition_with = partition_with

    async def pause(self, job: JobId, by: str, reason: str, history: str, below: str = "") -> Refused | None:
        part = self._partition_with(job)
        found = None if part is None else part.job(job)
        if part is None or found is None:
            return Refused(Refusal.GONE)
        if found.is_final:
            return Refused(Refusal.FINAL)
        if found.record.cancel_requested:
            return Refused(Refusal.CANCELLING)
        for link in part.chain(found):
            if link.record.cancel_requested:
                break
            if link.record.pause is None:
                _hold(
                    part, link, Pause(UnixMs(part.now()), by, reason, link.record.status, "" if link is found else job)
                )
                part.note(link, history if link is found else below)
                part.changed(link)
        return None

    async def resume(self, job: JobId, token: str, history: str, below: str = "") -> Turn | Refused | None:
        part = self._partition_with(job)
        found = None if part is None else part.job(job)
        if part is None or found is None:
            return Refused(Refusal.GONE)
        if found.resumed_by == token:
            return part.turn(found) if found.turn_token == token else None
        if found.is_final:
            return Refused(Refusal.FINAL)
        if found.record.pause is None:
            return Refused(Refusal.NOT_PAUSED)
        for link in part.chain(found):
            pause = link.record.pause
            if link is found or (pause is not None and pause.above == job):
                let_go(part, link)
                part.note(link, history if link is found else below)
                part.changed(link)
        found.resumed_by = token
        return part.lease_turn(found, token) if found.turn_at is not None else None


def _hold(part: Partition, job: Job, by: Pause) -> None:
    part.counts[job.record.status] -= 1
    part.counts[JobStatus.PAUSED] += 1
    count(part, job, job.record.status, JobStatus.PAUSED)
    job.record = core.held(job.record, by)
    job.turn_token, job.turn_at = PAUSED, None


def let_go(part: Partition, job: Job) -> None:
    job.record = core.let_go(job.record)
    part.counts[JobStatus.PAUSED] -= 1
    part.counts[job.record.status] += 1
    count(part, job, JobStatus.PAUSED, job.record.status)
    job.turn_token = ""
    unpark(part, job.id)
    if job.need <= 0:
        job.turn_at = part.now()


def unpark(part: Partition, job: JobId) -> None:
    """Parked tasks go back to their old places; those beyond the first hundred follow by a timer."""
    parked = [task for task in part.tasks.values() if task.job == job and task.status is TaskStatus.PARKED]
    ready: Counter[str] = Counter()
    for task in parked[:UNPARKED_PER_CALL_MAX]:
        ready[task.cls] += part.enqueue(task)
    part.wake_all(ready)
    if len(parked) > UNPARKED_PER_CALL_MAX:
        part.timers[Unpark(job)] = part.now()
