"""Waiting for a condition instead of for time to pass."""

import asyncio
import time
from collections.abc import Callable

DEADLINE_S = 10.0


async def until(condition: Callable[[], object], seconds: float = DEADLINE_S) -> None:
    """Return as soon as *condition* is true; fail after *seconds*."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.001)
