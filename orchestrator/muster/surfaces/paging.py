"""How much a list answers at once. A count alone is no bound: each job may hold as much as a body may."""

from typing import Any, Final

import orjson

PAGE_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of the objects of one answer together, as JSON; the first object is always there."""


class Page:
    """Objects for one answer, as many as fit. `is_full`: the last one offered did not, and no further one will."""

    def __init__(self, bytes_max: int = PAGE_BYTES_MAX) -> None:
        self.items: list[dict[str, Any]] = []
        self.is_full = False
        self._left = bytes_max

    def add(self, shown: dict[str, Any]) -> bool:
        """Whether it fitted."""
        self._left -= len(orjson.dumps(shown))
        self.is_full = self.is_full or (self._left < 0 and bool(self.items))
        if not self.is_full:
            self.items.append(shown)
        return not self.is_full
