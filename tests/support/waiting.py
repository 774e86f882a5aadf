"""Waiting for a condition instead of for time to pass."""

import asyncio
import time
from collections.abc import Awaitable, Callable

DEADLINE_S = 20.0


async def until(condition: Callable[[], object], seconds: float = DEADLINE_S) -> None:
    """Return as soon as *condition* is true; fail after *seconds*."""
    deadline = time.monotonic() + seconds
    tries = 0
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        tries += 1
        await asyncio.sleep(0 if tries < 20 else 0.001)


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float = DEADLINE_S) -> None:
    """As `until`, for a condition that must ask somebody."""
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)
