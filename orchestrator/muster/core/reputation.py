"""How far a worker's quick failures are its own fault, and how much it is slowed for them.

A worker that is broken fails at once, is free at once, and so takes more tasks than all others: a black hole. What it
failed quickly of a type is set against what others made of the same type. Counts decay exponentially, so the share is
one of the last minutes. A job's bad input fails everywhere and so changes nothing.
"""

from dataclasses import dataclass
from typing import Final

HALF_LIFE_MS: Final = 300_000
QUICK_MS: Final = 1_000
"""A failure up to this time, or up to a usual success, is quick: a longer one takes its time as work does."""
WEIGHT_MIN: Final = 5.0
"""So many ends, decayed, before a worker is judged."""
OTHERS_MIN: Final = 3.0
"""So many ends at others, before anybody is held against them."""
SHARE_MIN: Final = 0.5
TIMES_OTHERS: Final = 2.0
"""Its share of failures must be so many times that of others."""
DELAY_MIN_MS: Final = 500
DELAY_MAX_MS: Final = 60_000
STRIKES_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class Tally:
    """Decayed counts of good ends and of quick failures, as of `at` (ms)."""

    good: float = 0.0
    bad: float = 0.0
    at: int = 0

    @property
    def weight(self) -> float:
        return self.good + self.bad

    @property
    def share(self) -> float:
        return self.bad / self.weight if self.weight else 0.0

    def aged(self, now: int) -> "Tally":
        factor = 0.5 ** (max(0, now - self.at) / HALF_LIFE_MS)
        return Tally(self.good * factor, self.bad * factor, now)

    def counted(self, now: int, *, good: bool) -> "Tally":
        aged = self.aged(now)
        return Tally(aged.good + good, aged.bad + (not good), now)

    def without(self, part: "Tally", now: int) -> "Tally":
        mine, theirs = self.aged(now), part.aged(now)
        return Tally(max(0.0, mine.good - theirs.good), max(0.0, mine.bad - theirs.bad), now)


def is_quick(ran_ms: int, usual_ms: float | None) -> bool:
    return ran_ms <= max(QUICK_MS, usual_ms or 0)


def is_black_hole(mine: Tally, others: Tally) -> bool:
    """Tallies of the same moment."""
    if mine.weight < WEIGHT_MIN or others.weight < OTHERS_MIN:
        return False
    return mine.share >= SHARE_MIN and mine.share >= TIMES_OTHERS * others.share


def delay_ms(strikes: int) -> int:
    """Before the next task of the type; a probe comes after it in any case.

    >>> [delay_ms(strikes) for strikes in (0, 1, 2, 7, 8)]
    [0, 500, 1000, 32000, 60000]
    """
    return 0 if strikes <= 0 else min(DELAY_MAX_MS, DELAY_MIN_MS * 2 ** (strikes - 1))
