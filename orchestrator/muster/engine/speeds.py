"""How long tasks of a type took here: for estimates, and for nothing else. Lost with the process."""

from collections import OrderedDict, deque
from statistics import median
from typing import Final

UNDER_WAY_MAX: Final = 10_000
"""Tasks handed out here whose end is still to come; the oldest go first."""
TYPES_MAX: Final = 1_000
RUNS_KEPT: Final = 50
"""Newest runs of a type."""


class Speeds:
    """A task that is handed out by one replica and reported at another is not measured."""

    def __init__(self) -> None:
        self._types: OrderedDict[str, str] = OrderedDict()
        self._runs: OrderedDict[str, deque[int]] = OrderedDict()

    def handed_out(self, task: str, kind: str) -> None:
        self._types[task] = kind
        if len(self._types) > UNDER_WAY_MAX:
            self._types.popitem(last=False)

    def ended(self, task: str, ran_ms: int) -> str | None:
        """The task's type, where it was handed out here."""
        kind = self._types.pop(task, None)
        if kind is None:
            return None
        runs = self._runs.get(kind)
        if runs is None:
            runs = self._runs[kind] = deque(maxlen=RUNS_KEPT)
            if len(self._runs) > TYPES_MAX:
                self._runs.popitem(last=False)
        runs.append(ran_ms)
        return kind

    def typical_ms(self, kind: str) -> int | None:
        """The median of the last runs; None where none was measured."""
        runs = self._runs.get(kind)
        return round(median(runs)) if runs else None
