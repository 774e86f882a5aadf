"""Live events: what happens to a job as one ordered stream, on whichever replica it happens."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Final

from muster.core.ids import JobId, is_job_id
from muster.core.record import JobRecord
from muster.engine.clock import unix_ms
from muster.engine.following import Following, set_within
from muster.engine.live_events import (
    FROM_THE_START,
    ArtifactKept,
    CaughtUp,
    JobChanged,
    JobEnded,
    LineCame,
    LinePlace,
    LiveEvent,
    StepChanged,
)
from muster.engine.settings import EngineSettings
from muster.engine.story import Page, Place, next_page
from muster.engine.tenants import TenantFollower, Tenants
from muster.errors import ErrorCode, MusterError
from muster.store.base import Store
from muster.store.journal import Known

__all__ = ["ArtifactKept", "CaughtUp", "JobChanged", "JobEnded", "LineCame", "Live", "LiveEvent", "Page", "StepChanged"]

LOOK_AGAIN_S: Final = 5.0
"""A lost announcement costs a follower at most this long."""
READS_AT_ONCE: Final = 16
"""So many jobs of a tenant are read together."""
NO_LINES: Final = 2**53
"""A line that no log has: only what else there is is read."""


class Live:
    """Followers hold a place and the page they are being told, and nothing else: lines wait in the store."""

    def __init__(self, store: Store, settings: EngineSettings) -> None:
        self._store = store
        self._replica = settings.replica
        self._following: Following[Page | None] = Following()
        self._tenants = Tenants(store, settings.replica)

    async def follow_job(
        self, tenant: str, job_id: str, *, after: LinePlace = FROM_THE_START, quiet_s: float
    ) -> AsyncGenerator[LiveEvent | None, None]:
        """What happens to a job after line *after* of its log, until it is over; None after *quiet_s* of silence.

        First comes the job as it is, and the steps and artifacts of before; then steps, lines and artifacts as they
        happened, and each late line when it comes. It ends without `JobEnded` where this server shuts down or the job
        is deleted.

        Raises:
            MusterError: JOB_NOT_FOUND.
        """
        async with aclosing(self.follow_pages(tenant, job_id, after=after, quiet_s=quiet_s)) as pages:
            async for page in pages:
                if page is None:
                    yield None
                    continue
                for event in page.events:
                    yield event

    async def follow_pages(
        self, tenant: str, job_id: str, *, after: LinePlace = FROM_THE_START, quiet_s: float
    ) -> AsyncGenerator[Page | None, None]:
        """The same by pages, which followers at the same place share."""
        job = (await self._job(tenant, job_id)).id
        place = Place.after(after)
        loop = asyncio.get_running_loop()
        heard_at = loop.time()
        with self._following.follow(job) as woken:
            while not self._following.is_closed:
                woken.clear()
                page = await self._following.read(job, place.key, partial(self._read, job, place))
                if page is None:
                    return
                place = page.place
                if page.events:
                    yield page
                    heard_at = loop.time()
                if page.is_end:
                    return
                if page.is_last:
                    await woken.set_within(min(LOOK_AGAIN_S, quiet_s))
                    if loop.time() - heard_at >= quiet_s:
                        yield None
                        heard_at = loop.time()

    async def follow_tenant(
        self, tenant: str, *, quiet_s: float, since_ms: int | None = None
    ) -> AsyncGenerator[LiveEvent | None, None]:
        """What happens to all jobs of a tenant from now on, for each job in order; None after *quiet_s* of silence.

        A job's first events are its present state and that of its steps and artifacts; its lines follow from the
        change on that was heard first. With *since_ms* the present states of the newest `JOBS_FOLLOWED_MAX` jobs that
        changed since then come first. It ends where this server shuts down, and for a follower that is further behind
        than `JOBS_BEHIND_MAX` jobs.
        """
        async with aclosing(self.follow_tenant_pages(tenant, quiet_s=quiet_s, since_ms=since_ms)) as pages:
            async for page in pages:
                if isinstance(page, CaughtUp):
                    if page.is_quiet:
                        yield None
                    continue
                for event in page.events:
                    yield event

    async def follow_tenant_pages(
        self, tenant: str, *, quiet_s: float, since_ms: int | None = None
    ) -> AsyncGenerator[Page | CaughtUp, None]:
        """The same by pages of one job each, which followers at the same place share."""
        loop = asyncio.get_running_loop()
        heard_at = loop.time()
        async with self._tenants.follow(tenant) as follower:
            if since_ms is not None:
                for job in await self._tenants.changed_since(tenant, since_ms):
                    follower.announce(job, None)
            while not (self._following.is_closed or follower.is_lost):
                follower.woken.clear()
                for page in await self._pages_of(follower):
                    yield page
                    heard_at = loop.time()
                if not follower.changed:
                    yield CaughtUp(unix_ms(), is_quiet=False)
                    await set_within(follower.woken, quiet_s)
                    if loop.time() - heard_at >= quiet_s:
                        yield CaughtUp(unix_ms(), is_quiet=True)
                        heard_at = loop.time()

    async def _pages_of(self, follower: TenantFollower) -> list[Page]:
        """The next page of some of the jobs that changed."""
        taken = follower.take(READS_AT_ONCE)
        found: list[Page] = []
        for (job, _), page in zip(
            taken, await asyncio.gather(*(self._tenant_page(job, place) for job, place in taken)), strict=True
        ):
            if page is None or page.is_end:
                follower.ended(job)
            else:
                follower.told(job, page.place)
                if not page.is_last:
                    follower.announce(job, page.place.lines)
            if page is not None and page.events:
                found.append(page)
        return found

    async def _tenant_page(self, job: JobId, place: Place | None) -> Page | None:
        if place is None:
            now = await self._store.read_live(job, Known(line=NO_LINES))
            place = Place.after(FROM_THE_START if now is None else LinePlace(now.last, now.late_known))
        return await self._following.read(job, ("tenant", place.key), partial(self._read, job, place, watch=False))

    async def _job(self, tenant: str, job_id: str) -> JobRecord:
        record = await self._store.read(JobId(job_id)) if is_job_id(job_id) else None
        if record is None or record.tenant != tenant:
            raise MusterError(ErrorCode.JOB_NOT_FOUND, "Job not found")
        return record

    async def _read(self, job: JobId, place: Place, *, watch: bool = True) -> Page | None:
        read = await self._store.read_live(job, place.known, self._replica if watch else "")
        return None if read is None else next_page(job, place, read)

    # Waking

    def hear(self, partition: int, text: str) -> None:  # noqa: ARG002 - as all messages come
        """A message to this replica: `j|job`, it changed; `l|job`, its log did; `t|tenant's hash|job|line`, either.

        Of a late line the last is `line.late lines`, as they were before.
        """
        kind, _, rest = text.partition("|")
        if kind in {"j", "l"}:
            self._following.announce(JobId(rest))
        elif kind == "t":
            flow, job, place = rest.split("|")
            line, _, late = place.partition(".")
            self._following.announce(JobId(job))
            self._tenants.announce(flow, JobId(job), LinePlace(int(line), int(late) if late else None))

    def look_again(self) -> None:
        """Messages may have been lost."""
        self._following.announce_all()
        self._tenants.look_again()

    def close(self) -> None:
        """Send every follower elsewhere."""
        self._following.close()
        self._tenants.wake_all()
