"""Clients that wait for a job to change, on whichever replica it changes."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from muster.core.ids import JobId
from muster.core.record import JobRecord
from muster.store.base import Store

LOOK_AGAIN_S: Final = 5.0
"""A lost announcement costs at most this long."""


@dataclass(slots=True, eq=False)
class Watch:
    """One client's wait. `final` is filled where the job ended on this replica."""

    changed: asyncio.Event = field(default_factory=asyncio.Event)
    final: JobRecord | None = None


class Watchers:
    def __init__(self, store: Store, replica: str) -> None:
        self._store = store
        self._replica = replica
        self._watches: dict[JobId, set[Watch]] = {}
        self._is_closed = False

    def close(self) -> None:
        """Send everybody home with the job as it is, at once: this server stops."""
        self._is_closed = True
        self.announce_all()

    def announce(self, job: JobId) -> None:
        """The job changed, here or elsewhere."""
        for watch in self._watches.get(job, ()):
            watch.changed.set()

    def announce_all(self) -> None:
        """Announcements may have been lost."""
        for job in list(self._watches):
            self.announce(job)

    def ended(self, record: JobRecord) -> None:
        """The job ended on this replica, and this is its last record."""
        for watch in self._watches.get(record.id, ()):
            watch.final = record
            watch.changed.set()

    @contextmanager
    def watch(self, job: JobId) -> Iterator[Watch]:
        """Collect what is announced of *job* from here on."""
        watch = Watch()
        if self._is_closed:
            watch.changed.set()
        self._watches.setdefault(job, set()).add(watch)
        try:
            yield watch
        finally:
            watches = self._watches[job]
            watches.discard(watch)
            if not watches:
                del self._watches[job]

    async def end(self, job: JobId, watch: Watch, timeout_ms: int) -> JobRecord | None:
        """The job once it is final, or as it is after *timeout_ms* or at `close`. The store knows that we watch."""
        return await self._wait(job, watch, None, timeout_ms, announced=True)

    async def wait(self, job: JobId, since: int | None, timeout_ms: int) -> JobRecord | None:
        """The job once it is final or its revision is above *since*, or as it is after *timeout_ms*."""
        with self.watch(job) as watch:
            return await self._wait(job, watch, since, timeout_ms, announced=False)

    async def _wait(
        self, job: JobId, watch: Watch, since: int | None, timeout_ms: int, *, announced: bool
    ) -> JobRecord | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_ms / 1000
        while True:
            if announced:
                await _sleep_until_set(watch.changed, min(deadline - loop.time(), LOOK_AGAIN_S))
            announced = True
            if watch.final is not None:
                return watch.final
            watch.changed.clear()
            record = await self._store.read(job, self._replica, changes=since is not None)
            if record is None or self._is_closed or _is_enough(record, since) or loop.time() >= deadline:
                return record


def _is_enough(record: JobRecord, since: int | None) -> bool:
    return record.status.is_final or (since is not None and record.revision > since)


async def _sleep_until_set(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
