"""Batches: jobs that were started together, found again by the tag of their batch."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from muster.core.ids import JobId
from muster.core.limits import TAG_JOBS_MAX
from muster.core.tags import batch_tag
from muster.engine.jobs import Jobs
from muster.engine.views import Batch, BatchMember, JobOrder
from muster.errors import ErrorCode, MusterError
from muster.store.base import Store

CANCELLED_AT_ONCE: Final = 50


class Batches:
    def __init__(self, store: Store, jobs: Jobs) -> None:
        self._store = store
        self._jobs = jobs

    async def start_batch(
        self, tenant: str, batch_id: str | None, members: Sequence[JobOrder]
    ) -> tuple[str, tuple[JobId, ...]]:
        """Start all members, or none where one of them is not valid. Returns the batch's id and its jobs.

        The same batch sent again creates nothing twice and starts what is missing: each member has a key, made of
        the batch's id and its place.

        Raises:
            MusterError: as `Jobs.submit`, with `member`: the place of the one that is wrong. IDEMPOTENCY_CONFLICT
                where the batch was started with another member there.
        """
        batch = batch_id or secrets.token_hex(16)
        orders = [_member(order, tenant, batch, place) for place, order in enumerate(members)]
        for place, order in enumerate(orders):
            try:
                await self._jobs.check(order)
            except MusterError as error:
                raise _of_member(error, place) from error
        started: list[JobId] = []
        for place, order in enumerate(orders):  # one after another, so that they are created in this order
            try:
                started.append((await self._jobs.submit(order)).job_id)
            except MusterError as error:
                raise _of_member(error, place) from error
        return batch, tuple(started)

    async def batch(self, tenant: str, batch_id: str) -> Batch:
        """Where its members stand, in the order of their creation; those that have expired are not counted.

        Raises:
            MusterError: BATCH_NOT_FOUND, also for another tenant's.
        """
        found = await self._store.glances(tenant, tag=batch_tag(batch_id), statuses=None, most=2 * TAG_JOBS_MAX)
        if not found:
            raise MusterError(ErrorCode.BATCH_NOT_FOUND, "Batch not found")
        members = tuple(BatchMember(glance.job, glance.status, glance.cost_micros) for glance in sorted(found))
        counts = Counter(member.status for member in members)
        return Batch(batch_id, members, dict(counts), sum(member.cost_micros for member in members))

    async def cancel_batch(self, tenant: str, batch_id: str) -> int:
        """Ask for the end of all members that are not over. Returns how many those are.

        Raises:
            MusterError: BATCH_NOT_FOUND.
        """
        batch = await self.batch(tenant, batch_id)
        live = [member.job for member in batch.members if not member.status.is_final]
        asked = 0
        for start in range(0, len(live), CANCELLED_AT_ONCE):
            chunk = live[start : start + CANCELLED_AT_ONCE]
            asked += sum(await asyncio.gather(*(self._cancel(tenant, job) for job in chunk)))
        return asked

    async def _cancel(self, tenant: str, job: JobId) -> bool:
        """False: it ended or was deleted meanwhile."""
        try:
            await self._jobs.cancel(tenant, job)
        except MusterError as error:
            if error.code not in {ErrorCode.JOB_FINAL, ErrorCode.JOB_NOT_FOUND}:
                raise
            return False
        return True


def _member(order: JobOrder, tenant: str, batch: str, place: int) -> JobOrder:
    # With a blank no client's own key can be the same.
    key = f"batch {batch} {place}"
    return replace(order, tenant=tenant, idempotency_key=key, tags=(batch_tag(batch), *order.tags))


def _of_member(error: MusterError, place: int) -> MusterError:
    return MusterError(
        error.code,
        f"jobs[{place}]: {error.detail}",
        hint=error.hint,
        extra={**error.extra, "member": place},
        retry_after_s=error.retry_after_s,
    )
