"""How long a client waits: a long wait is made of several requests."""

import time
from typing import Final

WAIT_S_MAX: Final = 30.0
"""One request is held this long; longer waits are made of several."""


def end_of(timeout_s: float | None) -> float | None:
    """The moment at which a wait is given up, by the monotonic clock; None: never."""
    return None if timeout_s is None else time.monotonic() + timeout_s


def next_wait_s(deadline_s: float | None) -> float:
    """How long the next request is held."""
    if deadline_s is None:
        return WAIT_S_MAX
    return max(0.0, min(WAIT_S_MAX, round(deadline_s - time.monotonic(), 3)))
