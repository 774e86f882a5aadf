"""Live events: what happens to a job as one ordered stream, on whichever replica it happens."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Final

from muster.core.ids import JobId, is_job_id
from muster.core.record import JobRecord
from muster.engine.following import Following, set_within
from muster.engine.live_events import ArtifactKept, JobChanged, JobEnded, LineCame, LiveEvent, StepChanged
from muster.engine.settings import EngineSettings
from muster.engine.story import Page, Place, next_page
from muster.errors import ErrorCode, MusterError
from muster.store.base import Store

__all__ = ["ArtifactKept", "JobChanged", "JobEnded", "LineCame", "Live", "LiveEvent", "Page", "StepChanged"]

LOOK_AGAIN_S: Final = 5.0
"""A lost announcement costs a follower at most this long."""


class Live:
    """Followers hold a place and the page they are being told, and nothing else: lines wait in the store."""

    def __init__(self, store: Store, settings: EngineSettings) -> None:
        self._store = store
        self._replica = settings.replica
        self._following: Following[Page | None] = Following()

    async def follow_job(
        self, tenant: str, job_id: str, *, after: int = 0, quiet_s: float
    ) -> AsyncGenerator[LiveEvent | None, None]:
        """What happens to a job after line *after* of its log, until it is over; None after *quiet_s* of silence.

        First comes the job as it is, and the steps and artifacts of before; then steps, lines and artifacts as they
        happened. It ends without `JobEnded` where this server shuts down or the job is deleted.

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
        self, tenant: str, job_id: str, *, after: int = 0, quiet_s: float
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
                    await set_within(woken, min(LOOK_AGAIN_S, quiet_s))
                    if loop.time() - heard_at >= quiet_s:
                        yield None
                        heard_at = loop.time()

    async def _job(self, tenant: str, job_id: str) -> JobRecord:
        record = await self._store.read(JobId(job_id)) if is_job_id(job_id) else None
        if record is None or record.tenant != tenant:
            raise MusterError(ErrorCode.JOB_NOT_FOUND, "Job not found")
        return record

    async def _read(self, job: JobId, place: Place) -> Page | None:
        read = await self._store.read_live(job, place.known, self._replica)
        return None if read is None else next_page(job, place, read)

    # Waking

    def hear(self, partition: int, text: str) -> None:  # noqa: ARG002 - as all messages come
        """A message to this replica: `j|job`, it changed; `l|job`, its log did."""
        kind, _, rest = text.partition("|")
        if kind in {"j", "l"}:
            self.announce(JobId(rest))

    def announce(self, job: JobId) -> None:
        """Something happened to it, here or elsewhere."""
        self._following.announce(job)

    def announce_all(self) -> None:
        """Announcements may have been lost."""
        self._following.announce_all()

    def close(self) -> None:
        """Send every follower elsewhere."""
        self._following.close()
