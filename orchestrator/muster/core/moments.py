"""Moments as text."""

from datetime import UTC, datetime
from typing import Final

from muster.core.ids import UnixMs

LAST_MS: Final = UnixMs(253_402_300_799_999)
"""The last moment of year 9999: RFC 3339 knows none after it."""


def time_text(moment: UnixMs | None) -> str | None:
    """RFC 3339 in UTC with milliseconds.

    >>> time_text(UnixMs(1_705_314_600_000))
    '2024-01-15T10:30:00.000Z'

    What is later than year 9999 is its last moment.
    """
    if moment is None:
        return None
    text = datetime.fromtimestamp(min(moment, LAST_MS) / 1000, UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"
