"""Durations as people write them: `"90s"`, `"5m"`, `"2d"`, `"1h30m"`, `90`, `timedelta`, or ISO 8601 `"PT5M"`."""

import math
import re
from datetime import timedelta
from typing import Final

_MS_OF_UNIT: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*")
_ISO: Final = re.compile(
    r"P(?=.)(?:(?P<w>\d+(?:\.\d+)?)W)?(?:(?P<d>\d+(?:\.\d+)?)D)?"
    r"(?:T(?=.)(?:(?P<h>\d+(?:\.\d+)?)H)?(?:(?P<m>\d+(?:\.\d+)?)M)?(?:(?P<s>\d+(?:\.\d+)?)S)?)?"
)

DURATION_MS_MAX: Final = 315_576_000_000
"""Ten years."""

Duration = str | int | float | timedelta
"""Numbers are seconds."""


def parse_duration_ms(value: Duration) -> int:
    """Whole milliseconds, 0 to ten years. Raises ValueError naming the value and the forms that work."""
    if isinstance(value, timedelta):
        return _checked_ms(value.total_seconds() * 1000, value)
    if isinstance(value, str):
        return _checked_ms(_text_ms(value), value)
    if isinstance(value, bool):
        raise _refused(value)
    return _checked_ms(value * 1000, value)


def _text_ms(text: str) -> float:
    cleaned = text.strip()
    if iso := _ISO.fullmatch(cleaned.upper()):
        return sum(float(n) * _MS_OF_UNIT[unit] for unit, n in iso.groupdict().items() if n is not None)
    if re.fullmatch(r"\d+(\.\d+)?", cleaned):
        return float(cleaned) * 1000
    parts = _PART.findall(cleaned.lower())
    if not parts or _PART.sub("", cleaned.lower()):
        raise _refused(text)
    return sum(float(n) * _MS_OF_UNIT[unit] for n, unit in parts)


def _checked_ms(ms: float, given: object) -> int:
    if ms < 0 or (isinstance(ms, float) and not math.isfinite(ms)):
        raise _refused(given)
    if ms > DURATION_MS_MAX:
        raise ValueError(f"{given!r} is too long; a duration is at most ten years, '3652.5d'")
    return round(ms)


def _refused(given: object) -> ValueError:
    return ValueError(
        f"{given!r} is not a duration; write seconds as a number, or a text "
        "such as '90s', '5m', '1h30m', '2d' or 'PT5M'"
    )
