"""Every task of the engine has an owner: this. Nothing it starts is forgotten, and one error ends one task only."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from muster.store.base import StoreFull, StoreUnavailable

log = logging.getLogger("muster.background")


class Background:
    """Loops run until the end; other tasks are let finish for a while when the engine stops."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._loops: set[asyncio.Task[None]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        return self._start(coroutine, self._tasks)

    def loop(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._start(coroutine, self._loops)

    async def settle(self, coroutine: Coroutine[Any, Any, None], seconds: float) -> None:
        """Run *coroutine* as a task of its own and wait a moment for it: it outlives whoever waits."""
        await asyncio.wait({self.spawn(coroutine)}, timeout=seconds)

    async def settled(self) -> None:
        """Wait for the tasks under way, and for those that they start."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def stop(self, seconds: float) -> None:
        """Let the tasks under way finish for so long, then end everything."""
        await _end(self._loops)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        await _end(self._tasks)

    def _start(self, coroutine: Coroutine[Any, Any, None], owner: "set[asyncio.Task[None]]") -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(coroutine)
        owner.add(task)
        task.add_done_callback(owner.discard)
        task.add_done_callback(_explain)
        return task


async def _end(tasks: "set[asyncio.Task[None]]") -> None:
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)


def _explain(task: "asyncio.Task[None]") -> None:
    if task.cancelled() or (error := task.exception()) is None:
        return
    if isinstance(error, StoreUnavailable | StoreFull):
        log.warning("task_put_off", extra={"error": str(error)})  # the ticker takes it up again
    else:
        log.error("task_crashed", exc_info=error)
