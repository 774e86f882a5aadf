"""How long to wait before trying again: exponential with full jitter, so that a fleet does not return in step."""

import random
from collections.abc import Callable
from typing import Final

FIRST_S: Final = 0.1
LONGEST_S: Final = 10.0


class Backoff:
    """Delays of one series of failures. `reset()` after a success."""

    def __init__(
        self,
        first_s: float = FIRST_S,
        longest_s: float = LONGEST_S,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._uniform = uniform
        self._failures = 0

    def reset(self) -> None:
        self._failures = 0

    def next_delay_s(self, retry_after_s: float | None = None) -> float:
        """Never sooner than the server asked for; a little later, so that not all come back at once."""
        ceiling_s = min(self._longest_s, self._first_s * 2 ** min(self._failures, 30))
        self._failures += 1
        delay_s = self._uniform(0, ceiling_s)
        return delay_s if retry_after_s is None else retry_after_s + delay_s
