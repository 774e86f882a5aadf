"""What a person does to jobs, in the model."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime

from muster.core.again import started_again
from muster.core.ids import JobId, UnixMs
from muster.core.limits import TURN_LEASE_MS
from muster.core.record import JobRecord
from muster.store.base import NewJob, Position, Refusal, Refused, Turn
from muster.store.entered import Entered, load_entered
from muster.store.index import IndexPage
from muster.store.memory import jobs
from muster.store.memory.holding import hold_all, let_go, let_go_all
from muster.store.memory.index import jobs_of, page_of
from muster.store.memory.partition import Partition
from muster.store.operations import RETRIES_KEPT, Retry


class MemoryOperations:
    def __init__(self, partition_with: Callable[[JobId], Partition | None], partitions: Sequence[Partition]) -> None:
        self._partition_with = partition_with
        self._partitions = partitions

    async def pause(self, job: JobId, by: str, reason: str, history: str, below: str = "") -> Refused | None:
        part = self._partition_with(job)
        found = None if part is None else part.job(job)
        if part is None or found is None:
            return Refused(Refusal.GONE)
        if found.is_final:
            return Refused(Refusal.FINAL)
        if found.record.cancel_requested:
            return Refused(Refusal.CANCELLING)
        hold_all(part, found, job, (by, reason), (history, below))
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
        let_go(part, found)
        part.note(found, history)
        part.changed(found)
        let_go_all(part, found, job, below)
        found.resumed_by = token
        return part.lease_turn(found, token) if found.turn_at is not None else None

    async def entered(self, job: JobId) -> Mapping[str, Entered]:
        part = self._partition_with(job)
        found = None if part is None else part.job(job)
        return load_entered({} if found is None else found.entered)

    async def retry(self, retry: Retry) -> Turn | Refused | None:
        part = self._partition_with(retry.job)
        job = None if part is None else part.job(retry.job)
        if part is None or job is None:
            return Refused(Refusal.GONE)
        if job.retried_by == retry.token:
            return part.turn(job) if job.turn_token == retry.token else None
        if not job.is_final:
            return Refused(Refusal.LIVE)
        if job.record.version != retry.version:
            return Refused(Refusal.STALE)
        part.ledger.add(job, -1, -job.run_ms, -job.record.cost_micros)
        context = jobs.checked(retry.context)
        part.counts[job.record.status] -= 1
        now = UnixMs(part.now())
        job.record = started_again(job.record, retry.blueprint_version, retry.state, context, now)
        part.counts[job.record.status] += 1
        job.expires_at, job.need, job.retried_by, job.batch = None, 0, retry.token, ""
        job.client = ""
        part.unique = {key: held for key, held in part.unique.items() if held[0] != job.id or held[1] is not None}
        job.current_task, job.awaited, job.children = None, "", {}
        job.failures_left, job.needs_successes = None, False
        job.begun_again_at = now
        part.note(job, retry.history)
        part.announce_to_tenant(job, job.last_line)
        return part.lease_turn(job, retry.token)

    async def rerun(self, job: JobId, new: NewJob, token: str) -> Turn | Refused | None:
        part = self._partition_with(job)
        if part is None:
            return Refused(Refusal.GONE)
        known, old = part.job(new.id), part.job(job)
        if known is not None:
            return part.turn(known) if known.turn_token == token else None
        if old is None:
            return Refused(Refusal.GONE)
        made = jobs.make_job(part, new, token, part.now() + TURN_LEASE_MS)
        names = (*old.record.retried_as, new.id)[-RETRIES_KEPT:]
        old.record = replace(old.record, retried_as=names, revision=old.record.revision + 1)
        part.announce_to_tenant(made, 0)
        return Turn(token, new.record(made.record.created_at), ())

    async def failures(self, tenant: str, fingerprint: str, before: Position | None, limit: int) -> IndexPage:
        found = {Position.of(one): one for one in self._failed(tenant) if fingerprint in {"", one.fingerprint}}
        return page_of(found, before, limit)

    async def errors(self, tenant: str, days: Sequence[date]) -> Mapping[str, int]:
        ended = (
            (one, datetime.fromtimestamp((one.finished_at or 0) / 1000, UTC).date()) for one in self._failed(tenant)
        )
        return Counter(one.fingerprint for one, day in ended if day in days)

    def _failed(self, tenant: str) -> list[JobRecord]:
        return [job.record for _, job in jobs_of(self._partitions, tenant) if job.record.fingerprint]
