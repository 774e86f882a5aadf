"""A store whose replica dies, or is misled, at one chosen command."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from muster.store.base import StoreUnavailable
from muster.store.link import Link, ServerError, parse_url
from muster.store.redis import RedisStore
from muster.store.scripts import names, script

SCRIPT_OF: Final = {script(name).sha: name for name in names()}

LATE_S: Final = 0.4
"""Longer than the leases of a sweep."""


class How(StrEnum):
    BEFORE = "dies before it is sent"
    AFTER = "dies before the reply comes"
    TWICE = "sends it twice"
    LATE = "stalls, and sends it when another has taken over"
    LOST = "is told that the store is away, though it was carried out"
    REFUSED = "is told that the store is away, and it was not sent"

    @property
    def is_fatal(self) -> bool:
        return self in {How.BEFORE, How.AFTER, How.LATE}


@dataclass(frozen=True, slots=True)
class Point:
    """The *nth* (from 1) use of a command, and what happens there."""

    command: str
    nth: int
    how: How

    def __str__(self) -> str:
        return f"at {self.command} number {self.nth} the replica {self.how}"


class CrashingStore(RedisStore):
    """Counts commands once armed: start-up is not looked at.

    A dead replica's calls never return; whoever owns it has to cancel them.
    """

    def __init__(
        self, url: str, *, point: Point | None, namespace: str, replica: str, on_message: Callable[[int, str], None]
    ) -> None:
        self._url = url
        super().__init__(url, namespace=namespace, replica=replica, on_message=on_message)
        self.point = point
        self.armed = False
        self.reached = False
        self.died = asyncio.Event()
        self.calls: Counter[str] = Counter()
        self.zombies: set[asyncio.Task[None]] = set()
        """Commands that are still to come from a replica taken for dead."""

    async def _call(self, *command: bytes | str | int | float) -> Any:
        if self.died.is_set():
            await _for_ever()
        name = SCRIPT_OF.get(str(command[1]), "") if command[0] == "EVALSHA" else str(command[0]).lower()
        if not self.armed:
            return await super()._call(*command)
        self.calls[name] += 1
        point = self.point
        if point is None or (point.command, point.nth) != (name, self.calls[name]):
            return await super()._call(*command)
        return await self._misled(point.how, *command)

    async def _misled(self, how: How, *command: bytes | str | int | float) -> Any:
        self.reached = True
        if how is How.REFUSED:
            raise StoreUnavailable("the store is away")
        if how in {How.BEFORE, How.LATE}:
            if how is How.LATE:
                self.zombies.add(asyncio.create_task(self._send_late(*command)))
            self.died.set()
            await _for_ever()
        await super()._call(*command)
        if how is How.LOST:
            raise StoreUnavailable("the store is away")
        if how is How.AFTER:
            self.died.set()
            await _for_ever()
        return await super()._call(*command)

    async def _send_late(self, *command: bytes | str | int | float) -> None:
        await asyncio.sleep(LATE_S)
        link = await Link.open(parse_url(self._url), "zombie")
        with contextlib.suppress(ServerError):
            await link.call(*command)
        link.close()


async def _for_ever() -> None:
    await asyncio.Event().wait()
