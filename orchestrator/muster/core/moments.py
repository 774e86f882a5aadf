"""Moments as text."""

from datetime import UTC, datetime

from muster.core.ids import UnixMs


def time_text(moment: UnixMs | None) -> str | None:
    """RFC 3339 in UTC with milliseconds.

    >>> time_text(UnixMs(1_705_314_600_000))
    '2024-01-15T10:30:00.000Z'
    """
    if moment is None:
        return None
    text = datetime.fromtimestamp(moment / 1000, UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"
