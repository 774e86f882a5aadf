"""Which of several waiting workers gets a task whose class says so, and how long a better one is waited for.

Everything here is of one replica: it chooses among the polls that wait at it. That a better worker exists elsewhere, or
is busy, it knows from the fleet's list, some seconds old; such a class is held back for `overflow_after` at most.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, Protocol

from muster.core.matching import Choice
from muster.engine.lines import Waiter, seats

LEAST_LOADED: Final = "least_loaded"


class Ranking(Protocol):
    def rank(self, cls: str, worker: str) -> float:
        """Less is better."""
        ...

    def best_of_others(self, cls: str, here: AbstractSet[str]) -> float:
        """The best rank of a worker that may do *cls* and is none of *here*; infinite where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Chosen:
    """Whose seats they are, best first; or for how many seconds a better one is waited for."""

    owners: list[Waiter]
    wait_s: float = 0.0


class Choosing:
    def __init__(self, chosen: Mapping[str, Choice], ranking: Ranking, now: Callable[[], float]) -> None:
        self.classes = chosen
        self._ranking = ranking
        self._now = now
        self._holds: dict[tuple[int, str], float] = {}
        """Until when a better worker is waited for."""
        self._waited_ms: dict[tuple[int, str], int] = {}
        """How long the last task of the class had waited when it was handed out: the next has waited about as long."""

    def choose(self, partition: int, cls: str, waiters: Sequence[Waiter], most: int) -> Chosen:
        choice, place = self.classes[cls], (partition, cls)
        free = [waiter for waiter in waiters if waiter.free_for(cls) > 0]
        if choice.policy == LEAST_LOADED:
            return Chosen(seats(sorted(free, key=lambda w: -w.free_for(cls)), most, cls))
        ranked = sorted(free, key=lambda w: (self._ranking.rank(cls, w.worker), w.number))
        if not choice.overflow_ms:
            return Chosen(_all_seats(ranked, most, cls))
        best = self._ranking.best_of_others(cls, {waiter.worker for waiter in free})
        good = [waiter for waiter in ranked if self._ranking.rank(cls, waiter.worker) <= best]
        if good:
            return Chosen(_all_seats(good, most, cls))
        until = self._holds.get(place)
        if until is None:
            left_ms = max(0, choice.overflow_ms - self._waited_ms.pop(place, 0))
            until = self._holds[place] = self._now() + left_ms / 1000
        wait_s = until - self._now()
        return Chosen([], wait_s) if wait_s > 0 else Chosen(_all_seats(ranked, most, cls))

    def is_held(self, partition: int, cls: str) -> bool:
        return self._holds.get((partition, cls), 0.0) > self._now()

    def served(self, partition: int, cls: str, waited_ms: int | None) -> None:
        """A claim came back; *waited_ms* of its newest task, None where nothing is left to hold back."""
        self._holds.pop((partition, cls), None)
        self._waited_ms.pop((partition, cls), None)
        if waited_ms is not None:
            self._waited_ms[partition, cls] = waited_ms


def _all_seats(waiters: Sequence[Waiter], most: int, cls: str) -> list[Waiter]:
    """All of the best one first."""
    return [waiter for waiter in waiters for _ in range(waiter.free_for(cls))][:most]
