"""Lists, searches and deletions in the model."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date

from muster.core.ids import JobId, task_id
from muster.core.limits import TAG_JOBS_MAX
from muster.core.metering import DURATIONS_MAX
from muster.core.record import JobRecord
from muster.core.status import JobStatus, TaskStatus
from muster.store.base import Position
from muster.store.index import DayCost, Glance, IndexPage
from muster.store.keys import short_hash
from muster.store.memory.batching import count
from muster.store.memory.children import deliver_end, stop_children
from muster.store.memory.model import Deadline, Escalation, GraceEnd, Job, WaitEnd
from muster.store.memory.partition import Partition


def jobs_of(parts: Iterable[Partition], tenant: str) -> Iterator[tuple[Partition, Job]]:
    for part in parts:
        for job_id in list(part.jobs):
            job = part.job(job_id)
            if job is not None and job.record.tenant == tenant:
                yield part, job


def with_worker(part: Partition, job: Job) -> JobRecord:
    """The record, with the worker that has the job's current task."""
    task = None if job.current_task is None else part.tasks.get(task_id(job.id, job.current_task))
    leased = task is not None and task.status is TaskStatus.LEASED
    return replace(job.record, current_worker=task.worker or None if task is not None and leased else None)


def listed(
    parts: Iterable[Partition], tenant: str, before: Position | None, limit: int, final: bool | None
) -> IndexPage:
    found = {Position.of(job.record): with_worker(part, job) for part, job in jobs_of(parts, tenant)}
    return page_of(found, before, limit, final)


def tagged(
    parts: Sequence[Partition], tenant: str, tag: str, before: Position | None, limit: int, final: bool | None
) -> IndexPage:
    known = _tagged(parts, tenant, tag)
    found = {Position(job.record.created_at, job.id): with_worker(part, job) for part, job in known}
    page = page_of(found, before, limit, final)
    return page if len(page.items) >= limit else replace(page, last=None)


def page_of(
    found: Mapping[Position, JobRecord], before: Position | None, limit: int, final: bool | None = None
) -> IndexPage:
    below = (place for place in found if before is None or place < before)
    wanted = (place for place in below if final in {None, found[place].status.is_final})
    places = tuple(sorted(wanted, reverse=True)[:limit])
    return IndexPage(tuple(found[place] for place in places), places, places[-1] if places else None)


def glances(
    parts: Sequence[Partition], tenant: str, tag: str | None, statuses: frozenset[JobStatus] | None
) -> tuple[Glance, ...]:
    found = jobs_of(parts, tenant) if tag is None else _tagged(parts, tenant, tag)
    return tuple(
        Glance(
            job.record.created_at,
            job.id,
            job.record.status,
            with_worker(part, job).has_begun,
            job.record.cost_micros,
        )
        for part, job in found
        if statuses is None or job.record.status in statuses
    )


def _tagged(parts: Sequence[Partition], tenant: str, tag: str) -> Iterator[tuple[Partition, Job]]:
    for part in parts:
        known = [(part, job) for _, job in jobs_of((part,), tenant) if tag in job.record.submission.tags]
        known.sort(key=lambda pair: (pair[1].record.created_at, pair[1].id), reverse=True)
        for final in (False, True):
            yield from [(part, job) for part, job in known if job.is_final is final][:TAG_JOBS_MAX]


def day_costs(parts: Iterable[Partition], tenant: str, days: Sequence[date]) -> tuple[DayCost, ...]:
    sums: dict[tuple[date, str], DayCost] = {}
    for cost in (cost for part in parts for cost in part.ledger.days(short_hash(tenant), days)):
        known = sums.get((cost.day, cost.meter), DayCost(cost.day, cost.meter, 0, 0, 0))
        sums[cost.day, cost.meter] = replace(
            known,
            jobs=known.jobs + cost.jobs,
            run_ms=known.run_ms + cost.run_ms,
            cost_micros=known.cost_micros + cost.cost_micros,
        )
    return tuple(sums.values())


def durations(parts: Iterable[Partition], tenant: str, meter: str, now: int) -> tuple[int, ...]:
    found = [entry for part in parts for entry in part.ledger.durations(short_hash(tenant), meter, now)]
    found.sort(key=lambda entry: -entry[0])
    return tuple(ms for _, ms in found)[:DURATIONS_MAX]


def delete(part: Partition, job_id: JobId) -> None:
    job = part.job(job_id)
    if job is None:
        return
    if not job.is_final:
        before = job.record.resting
        part.set_status(job, JobStatus.CANCELLED)
        count(part, job, before, JobStatus.CANCELLED)
        part.timers.pop(WaitEnd(job_id, job.record.wave), None)
        part.timers.pop(GraceEnd(job_id), None)
        part.timers.pop(Deadline(job_id), None)
        part.timers.pop(Escalation(job_id, job.record.wave), None)
        part.ledger.count(job, None)
        stop_children(part, job)
        deliver_end(part, job, f'{{"k":"child","s":"cancelled","d":null,"c":"","m":"deleted","j":"{job_id}"}}')
        part.announce(job)
        part.announce_end(job, "")
    for task in [task for task in part.tasks.values() if task.job == job_id]:
        part.forget(task)
    for key, (owner, _, _) in list(part.idempotency_keys.items()):
        if owner == job_id:
            del part.idempotency_keys[key]
    del part.jobs[job_id]
