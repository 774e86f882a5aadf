"""Who is connected to this process's WebSocket, and how much it was told."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final


class Clients:
    """Counts of this process since it started."""

    def __init__(self) -> None:
        self._numbered = 0
        self.connected = 0
        self.messages = 0

    @contextmanager
    def joined(self) -> Iterator[int]:
        """While it lasts one more is connected. Gives its number, from 1; none is given twice."""
        self._numbered += 1
        self.connected += 1
        try:
            yield self._numbered
        finally:
            self.connected -= 1


CLIENTS: Final = Clients()
