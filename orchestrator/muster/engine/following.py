"""Those who follow a job on this replica: woken together, and reading together where they stand at the same place."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Generic, TypeVar

from muster.core.ids import JobId

Page = TypeVar("Page")


class Alarm:
    """An event for one follower. A thousand of them wait for every line, so it costs less than `asyncio.Event`."""

    __slots__ = ("_is_set", "_waiting")

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: asyncio.Future[None] | None = None

    def set(self) -> None:
        self._is_set = True
        _wake(self._waiting)

    def clear(self) -> None:
        self._is_set = False

    async def set_within(self, seconds: float) -> None:
        """Until it is set, *seconds* at most."""
        if self._is_set:
            return
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        timer = loop.call_later(seconds, _wake, self._waiting)
        try:
            await self._waiting
        finally:
            timer.cancel()
            self._waiting = None


class _SharedRead(Generic[Page]):
    """A read that goes on when those who wait for it go away: each waits for a future of its own."""

    __slots__ = ("_forget", "_task", "_waiting")

    def __init__(self, reading: Coroutine[Any, Any, Page], forget: Callable[[], None]) -> None:
        self._forget = forget
        self._waiting: list[asyncio.Future[Page]] = []
        self._task = asyncio.get_running_loop().create_task(reading)
        self._task.add_done_callback(self._tell)

    def page(self) -> asyncio.Future[Page]:
        waiting: asyncio.Future[Page] = self._task.get_loop().create_future()
        self._waiting.append(waiting)
        return waiting

    def _tell(self, done: asyncio.Task[Page]) -> None:
        self._forget()
        failure = None if done.cancelled() else done.exception()
        for waiting in self._waiting:
            if waiting.done():
                continue  # whoever waited has gone
            if done.cancelled():
                waiting.cancel()
            elif failure is not None:
                waiting.set_exception(failure)
            else:
                waiting.set_result(done.result())


class Following(Generic[Page]):
    """An announcement only wakes: each follower reads from the store, at its own pace."""

    def __init__(self) -> None:
        self._followers: dict[JobId, set[Alarm]] = {}
        self._reads: dict[JobId, dict[Hashable, _SharedRead[Page]]] = {}
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
    def follow(self, job: JobId) -> Iterator[Alarm]:
        """What is set whenever there is more to read."""
        woken = Alarm()
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
            read = reads[place] = _SharedRead(reading(), partial(self._forget, job, reads, place))
        return await read.page()

    def _forget(self, job: JobId, reads: dict[Hashable, _SharedRead[Page]], place: Hashable) -> None:
        reads.pop(place, None)
        if not reads and self._reads.get(job) is reads:
            del self._reads[job]


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


async def set_within(event: asyncio.Event, seconds: float) -> None:
    """Until *event* is set, *seconds* at most."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
