"""What a worker has at hand, such as a model in memory: tasks may prefer whoever has it, under the label `hot`."""

import threading
from collections.abc import Callable, Iterable
from typing import Final

from muster_worker.needs import VALUES_MAX

NAME_LENGTH_MAX: Final = 256


class HotCache:
    """Names, oldest first. Safe to use from any thread; the oldest goes where there would be more than 32."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names: dict[str, None] = {}
        self._lock = threading.Lock()
        self.on_change: Callable[[], None] = lambda: None
        self.told: list[str] = []
        """What an orchestrator was last told, by whichever thread."""
        for name in names:
            self.add(name)

    def names(self) -> list[str]:
        with self._lock:
            return list(self._names)

    def add(self, name: str) -> None:
        """Raises ValueError for what is no name of 1 to 256 characters."""
        if not isinstance(name, str) or not 1 <= len(name) <= NAME_LENGTH_MAX:
            raise ValueError(f"what is hot is a name of 1 to {NAME_LENGTH_MAX} characters, not {name!r:.300}")
        with self._lock:
            is_new = name not in self._names
            self._names.pop(name, None)
            self._names[name] = None
            while len(self._names) > VALUES_MAX:
                del self._names[next(iter(self._names))]
        if is_new:
            self.on_change()

    def remove(self, name: str) -> None:
        with self._lock:
            was_there = name in self._names
            self._names.pop(name, None)
        if was_there:
            self.on_change()
