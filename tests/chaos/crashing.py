"""A store whose replica dies, or is misled, at one chosen command."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from muster.store.base import StoreUnavailable
from muster.store.redis import RedisStore
from muster.store.scripts import names, script

SCRIPT_OF: Final = {script(name).sha: name for name in names()}


class How(StrEnum):
    BEFORE = "dies before it is sent"
    AFTER = "dies before the reply comes"
    TWICE = "sends it twice"
    LOST = "is told that the store is away, though it was carried out"
    REFUSED = "is told that the store is away, and it was not sent"

    @property
    def is_fatal(self) -> bool:
        return self in {How.BEFORE, How.AFTER}


@dataclass(frozen=True, slots=True)
class Point:
    """The *nth* (from 1) use of a command, and what happens there."""

    command: str
    nth: int
    how: How

    def __str__(self) -> str:
        return f"at {self.command} number {self.nth} the replica {self.how}"


class CrashingStore(RedisStore):
    """Counts commands once armed. A dead replica's calls never return; whoever owns it has to cancel them."""

    def __init__(
        self, url: str, *, point: Point | None, namespace: str, replica: str, on_message: Callable[[int, str], None]
    ) -> None:
        super().__init__(url, namespace=namespace, replica=replica, on_message=on_message)
        self.point = point
        self.armed = False
        self.reached = False
        self.died = asyncio.Event()
        self.calls: Counter[str] = Counter()

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
        if how is How.BEFORE:
            self.died.set()
            await _for_ever()
        reply = await super()._call(*command)
        if how is How.LOST:
            raise StoreUnavailable("the store is away")
        if how is How.AFTER:
            self.died.set()
            await _for_ever()
        return await super()._call(*command)


async def _for_ever() -> None:
    await asyncio.Event().wait()
