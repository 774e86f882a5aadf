"""Holding a job in the model, and letting go of it."""

from collections import Counter

from muster.core import pause as core
from muster.core.ids import JobId
from muster.core.limits import UNPARKED_PER_CALL_MAX
from muster.core.record import Pause
from muster.core.status import JobStatus, TaskStatus
from muster.store.memory.model import PAUSED, Job, Unpark
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
