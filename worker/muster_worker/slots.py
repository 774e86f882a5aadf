"""How many more tasks the worker may take. A slot is held from the lease to the receipt of the result."""

import asyncio
from collections.abc import Callable


class Slots:
    """`held`: tasks here. `promised`: what requests under way may still bring. Together never more than `total`."""

    __slots__ = ("_freed", "held", "on_freed", "promised", "total")

    def __init__(self, total: int) -> None:
        self.total = total
        self.held = 0
        self.promised = 0
        self.on_freed: Callable[[], None] | None = None
        self._freed = asyncio.Event()
        self._freed.set()

    @property
    def free(self) -> int:
        return self.total - self.held - self.promised

    def resize(self, total: int) -> None:
        """Fewer than are held or promised: those are kept, and none is free until they are back."""
        self.total = total
        self._free_more()

    def take(self, count: int) -> None:
        self.held += count

    def give_back(self, count: int) -> None:
        self.held -= count
        self._free_more()

    def promise(self, count: int) -> None:
        self.promised += count

    def end_promise(self, count: int) -> None:
        self.promised -= count
        self._free_more()

    def _free_more(self) -> None:
        self._freed.set()
        if self.on_freed is not None:
            self.on_freed()

    async def wait_free(self) -> None:
        while self.free <= 0:
            self._freed.clear()
            await self._freed.wait()
