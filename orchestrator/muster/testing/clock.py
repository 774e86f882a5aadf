"""A clock that stands still until it is moved."""

from datetime import UTC, datetime
from typing import Final

from muster.core.ids import UnixMs

NOON: Final = datetime(2030, 1, 1, 12, tzinfo=UTC)
"""When every test begins, unless it says otherwise: results do not depend on the day they are made on."""


class VirtualClock:
    def __init__(self, start: datetime = NOON) -> None:
        if start.tzinfo is None:
            raise ValueError(f"{start!r} has no time zone; give it tzinfo=UTC")
        self.start = start
        self._now_ms = UnixMs(round(start.timestamp() * 1000))

    def __call__(self) -> UnixMs:
        return self._now_ms

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self._now_ms / 1000, UTC)

    def move_to(self, moment: UnixMs) -> None:
        """Never back."""
        self._now_ms = max(self._now_ms, moment)
