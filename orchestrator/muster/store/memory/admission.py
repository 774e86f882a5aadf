"""What the model checks before it makes a job."""

import math
from dataclasses import replace

from muster.core.ids import JobId
from muster.core.record import JobRecord
from muster.store.admission import Admission, Limited, PutOff, Taken
from muster.store.base import NewJob
from muster.store.codec import dump_submission, load_submission
from muster.store.memory.model import Job, Replaced
from muster.store.memory.partition import Partition


def refused(part: Partition, new: NewJob) -> Limited | Taken | PutOff | None:
    """What ends the submit without a job."""
    wish = new.admission
    if wish is None:
        return None
    if wish.debounce and (reply := _put_off(part, wish, new)) is not None:
        return reply
    if wish.unique and not wish.replaces and (holder := _holder(part, wish.unique)) is not None:
        return Taken(holder)
    return _limited(part, wish) if wish.client else None


def admit(part: Partition, new: NewJob, job: Job) -> None:
    """Give the new job its keys; it counts by being there."""
    wish = new.admission
    if wish is None:
        return
    job.client = wish.client
    if wish.client and wish.interval_us:
        part.rates[wish.client] = max(part.rates.get(wish.client, 0.0), part.now()) + wish.interval_us / 1000
    if wish.unique:
        holder = _holder(part, wish.unique)
        if holder is not None:
            part.timers[Replaced(holder)] = part.now()
        part.unique[wish.unique] = (new.id, part.now() + wish.unique_ms if wish.unique_ms else None)
    if wish.debounce:
        part.debounced[wish.debounce] = (new.id, part.now())


def is_put_off(part: Partition, job: Job) -> bool:
    """Whether its time is still to come, because it is debounced."""
    return not job.record.wave and any(known == job.id for known, _ in part.debounced.values())


def client_is_full(part: Partition, client: str, live_max: int, queued_max: int) -> bool:
    mine = [job for job in part.jobs.values() if job.client == client and not job.is_final]
    queued = sum(job.record.started_at is None for job in mine)
    return (live_max > 0 and len(mine) >= live_max) or (queued_max > 0 and queued >= queued_max)


def _put_off(part: Partition, wish: Admission, new: NewJob) -> PutOff | None:
    known, first = part.debounced.get(wish.debounce, (JobId(""), 0))
    job = part.job(known)
    if job is None or job.record.wave or job.turn_token or job.is_final or job.record.cancel_requested:
        return None
    job.record = _with_input(job, new)
    job.turn_at = min(part.now() + wish.delay_ms, first + wish.most_ms)
    return PutOff(job.id, is_new=False)


def _with_input(job: Job, new: NewJob) -> JobRecord:
    return replace(
        job.record,
        submission=load_submission(dump_submission(new.submission)),
        revision=job.record.revision + 1,
    )


def _holder(part: Partition, key: str) -> JobId | None:
    known, until = part.unique.get(key, (JobId(""), 0))
    job = part.job(known)
    if until is not None:
        return known if until > part.now() else None
    return known if job is not None and not job.is_final else None


def _limited(part: Partition, wish: Admission) -> Limited | None:
    if client_is_full(part, wish.client, wish.live_max, 0):
        return Limited("live")
    if client_is_full(part, wish.client, 0, wish.queued_max):
        return Limited("queued")
    if wish.interval_us:
        every = wish.interval_us / 1000
        allowed = max(part.rates.get(wish.client, 0.0), part.now()) + every - every * wish.burst
        if allowed > part.now():
            return Limited("rate", math.ceil(allowed - part.now()))
    return None


def to_cancel(part: Partition, timer: Replaced) -> tuple[JobId, str] | None:
    """The job, where nobody has asked for its end yet."""
    job = part.job(timer.job)
    if job is None or job.is_final or job.record.cancel_requested:
        return None
    return job.id, job.record.tenant
