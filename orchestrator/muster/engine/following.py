"""Those who follow a job on this replica: woken together, and reading together where they stand at the same place."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from muster.core.ids import JobId

Page = TypeVar("Page")


class Following(Generic[Page]):
    """An announcement only wakes: each follower reads from the store, at its own pace."""

    def __init__(self) -> None:
        self._followers: dict[JobId, set[asyncio.Event]] = {}
        self._reads: dict[JobId, dict[Hashable, asyncio.Task[Page]]] = {}
        self.is_closed = False

    def announce(self, job: JobId) -> None:
        """There is more to read: what is being read now may lack it."""
        self._reads.pop(job, None)
        for woken in self._followers.get(job, ()):
            woken.set()

    def announce_all(self) -> None:
        """Announcements may have been lost."""
        for job in list(self._followers):
            self.announce(job)

    def close(self) -> None:
        """Send every follower elsewhere."""
        self.is_closed = True
        self.announce_all()

    @contextmanager
    def follow(self, job: JobId) -> Iterator[asyncio.Event]:
        """An event that is set whenever there is more to read."""
        woken = asyncio.Event()
        self._followers.setdefault(job, set()).add(woken)
        try:
            yield woken
        finally:
            followers = self._followers[job]
            followers.discard(woken)
            if not followers:
                del self._followers[job]
                self._reads.pop(job, None)

    async def read(self, job: JobId, place: Hashable, reading: Callable[[], Coroutine[Any, Any, Page]]) -> Page:
        """One read for all who stand at the same *place*; `announce` makes the next one a fresh one."""
        reads = self._reads.setdefault(job, {})
        read = reads.get(place)
        if read is None:
            read = reads[place] = asyncio.get_running_loop().create_task(reading())
            read.add_done_callback(lambda done: self._forget(job, reads, place, done))
        # A follower that goes away must not take the others' read along.
        return await asyncio.shield(read)

    def _forget(
        self, job: JobId, reads: "dict[Hashable, asyncio.Task[Page]]", place: Hashable, done: "asyncio.Task[Page]"
    ) -> None:
        reads.pop(place, None)
        if not reads and self._reads.get(job) is reads:
            del self._reads[job]
        if not done.cancelled():
            done.exception()  # whoever waits gets it; if all have gone, nobody needs to


async def set_within(event: asyncio.Event, seconds: float) -> None:
    """Until *event* is set, *seconds* at most."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
