"""How many more tasks the worker may take. A slot is held from the lease to the receipt of the result."""

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

NO_TYPES: Final[Mapping[str, int]] = MappingProxyType({})


class Slots:
    """`held`: tasks here. `promised`: what requests under way may still bring. Together never more than `total`.

    Args:
        limits: task types of which fewer may run at a time. Such a task takes a slot of its type, too.
        others: whether there are task types without a limit of their own.
    """

    __slots__ = ("_freed", "_limits", "_others", "_used", "held", "on_freed", "promised", "total")

    def __init__(self, total: int, limits: Mapping[str, int] = NO_TYPES, *, others: bool = True) -> None:
        self.total = total
        self.held = 0
        self.promised = 0
        self.on_freed: Callable[[], None] | None = None
        self._limits = dict(limits)
        self._used = dict.fromkeys(limits, 0)
        """By type: held and promised. What is promised may be of any type, so it counts for each that it may be of."""
        self._others = others or not limits
        self._freed = asyncio.Event()
        self._freed.set()

    @property
    def free(self) -> int:
        """Less than 0 where the worker holds more than it should by now."""
        free = self.total - self.held - self.promised
        return free if self._others else min(free, sum(self.free_by_type().values()))

    def free_by_type(self) -> dict[str, int]:
        """Of the types with a limit."""
        return {kind: max(0, limit - self._used[kind]) for kind, limit in self._limits.items()}

    def resize(self, total: int) -> None:
        """Fewer than are held or promised: those are kept, and none is free until they are back."""
        self.total = total
        self._free_more()

    def take(self, count: int, kind: str = "") -> None:
        self.held += count
        if kind in self._used:
            self._used[kind] += count

    def give_back(self, count: int, kind: str = "") -> None:
        self.held -= count
        if kind in self._used:
            self._used[kind] -= count
        self._free_more()

    def promise(self, count: int, by_type: Mapping[str, int] = NO_TYPES) -> None:
        """*count* tasks may come, of the types of *by_type* no more than so many."""
        self.promised += count
        for kind, of_type in by_type.items():
            self._used[kind] += of_type

    def end_promise(self, count: int, by_type: Mapping[str, int] = NO_TYPES) -> None:
        self.promised -= count
        for kind, of_type in by_type.items():
            self._used[kind] -= of_type
        self._free_more()

    def _free_more(self) -> None:
        self._freed.set()
        if self.on_freed is not None:
            self.on_freed()

    async def wait_free(self) -> None:
        while self.free <= 0:
            self._freed.clear()
            await self._freed.wait()
