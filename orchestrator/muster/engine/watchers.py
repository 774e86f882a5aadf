"""Clients that wait for a job to change, on whichever replica it changes."""

import asyncio
from collections.abc import Callable
from typing import Final

from muster.core.ids import JobId
from muster.core.record import JobRecord
from muster.store.base import Store

LOOK_AGAIN_S: Final = 5.0
"""A lost announcement costs at most this long."""


class Watchers:
    def __init__(self, store: Store, replica: str) -> None:
        self._store = store
        self._replica = replica
        self._waiting: dict[JobId, set[asyncio.Event]] = {}

    def announce(self, job: JobId) -> None:
        """The job changed."""
        for event in self._waiting.get(job, ()):
            event.set()

    def announce_all(self) -> None:
        """Announcements may have been lost."""
        for events in self._waiting.values():
            for event in events:
                event.set()

    async def wait(self, job: JobId, enough: Callable[[JobRecord], bool], timeout_ms: int) -> JobRecord | None:
        """The job once *enough* holds, or as it is after *timeout_ms*; None if there is no such job."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_ms / 1000
        changed = asyncio.Event()
        self._waiting.setdefault(job, set()).add(changed)
        try:
            while True:
                changed.clear()
                record = await self._store.read(job, self._replica)
                left = deadline - loop.time()
                if record is None or enough(record) or left <= 0:
                    return record
                try:
                    async with asyncio.timeout(min(left, LOOK_AGAIN_S)):
                        await changed.wait()
                except TimeoutError:
                    continue
        finally:
            events = self._waiting[job]
            events.discard(changed)
            if not events:
                del self._waiting[job]
