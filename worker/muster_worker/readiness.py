"""A worker's own condition for taking tasks: asked again and again, and obeyed like an order to drain."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

READY_EVERY_S: Final = 1.0
_log = logging.getLogger("muster_worker")

Ready: TypeAlias = Callable[[], bool | Awaitable[bool]]
"""Plain ones are called in a thread of their own, as they may read from disks or drivers."""


class Readiness:
    """`told` hears every answer: True for taking tasks. A condition that raises stands for no."""

    def __init__(self, ready: Ready, told: Callable[[bool], None], every_s: float = READY_EVERY_S) -> None:
        self._ready = ready
        self._told = told
        self._every_s = every_s
        self._asking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """No task is taken before the first answer."""
        self._told(False)
        self._asking = asyncio.get_running_loop().create_task(self._ask_forever())

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _ask_forever(self) -> None:
        while True:
            self._told(await self._ask())
            await asyncio.sleep(self._every_s)

    async def _ask(self) -> bool:
        try:
            if inspect.iscoroutinefunction(self._ready):
                return bool(await self._ready())
            answer = await asyncio.to_thread(self._ready)
            return bool(await answer if inspect.isawaitable(answer) else answer)
        except Exception:  # noqa: BLE001 - the user's own code may raise anything
            _log.exception("the worker's condition failed; no tasks are taken until it answers")
            return False
