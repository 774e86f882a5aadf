"""The model as the store of a replica that dies at one chosen write."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from muster.store.memory import MemoryState, MemoryStore

WRITES: Final = (
    "submit", "commit", "step", "spawn", "defer", "signal", "send", "cancel", "claim", "complete", "extend", "release",
    "tick", "settle", "delete", "ask_cancel", "forget_cancel",
)  # fmt: skip
"""Methods of the store that change what is known of jobs."""
BATCH_WRITES: Final = frozenset({"add", "close", "cancel", "cancelled_to"})
CHILD_WRITES: Final = frozenset({"begin", "ended", "hold"})


class Deaths:
    """Counts the writes of all replicas, from 0; who asks for number *point* dies before it is done."""

    def __init__(self, point: int | None = None) -> None:
        self.point = point
        self.writes: list[str] = []

    def strikes(self, write: str) -> bool:
        self.writes.append(write)
        return len(self.writes) - 1 == self.point


class MortalStore(MemoryStore):
    """A dead replica's writes end whatever asks for them, as the end of its process would."""

    def __init__(
        self, state: MemoryState, deaths: Deaths, *, replica: str, on_message: Callable[[int, str], None]
    ) -> None:
        super().__init__(state, replica=replica, on_message=on_message)
        self.death = asyncio.Event()
        self._deaths = deaths

    @property
    def batches(self) -> Any:
        """Its writes are mortal too."""
        return _Mortal(self, super().batches, "batches", BATCH_WRITES)

    @property
    def children(self) -> Any:
        return _Mortal(self, super().children, "children", CHILD_WRITES)

    def live_or_die(self, write: str) -> None:
        if self.death.is_set():
            raise asyncio.CancelledError
        if self._deaths.strikes(write):
            self.death.set()
            raise asyncio.CancelledError


class _Mortal:
    """A part of the store, some of whose methods write."""

    def __init__(self, store: MortalStore, plain: object, part: str, writes: frozenset[str]) -> None:
        self._store = store
        self._plain = plain
        self._part = part
        self._writes = writes

    def __getattr__(self, name: str) -> Any:
        if name in self._writes:
            self._store.live_or_die(f"{self._part}.{name}")
        return getattr(self._plain, name)


def _mortal(name: str, plain: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def write(self: MortalStore, *arguments: Any, **more: Any) -> Any:
        self.live_or_die(name)
        return await plain(self, *arguments, **more)

    return write


for _name in WRITES:
    setattr(MortalStore, _name, _mortal(_name, getattr(MemoryStore, _name)))
