"""What a test says of unique keys and debounce, in the words of the API."""

from collections.abc import Mapping
from typing import Any, Final, get_args

from muster_worker.durations import parse_duration_ms

from muster.core.admission import Debounce, OnConflict, Unique
from muster.testing.failures import KitError

LIVE: Final = "live"
TIMES: Final = 10
"""So many times its pause a debounced job may be put off where the test does not say."""


def unique_of(given: Mapping[str, Any] | None) -> Unique | None:
    """Of `key`, and `while` (`live` or seconds) and `on_conflict`. Raises KitError for other members or values."""
    if given is None:
        return None
    members = _members("unique", given, {"key", "while", "on_conflict"})
    seconds = members.get("while", LIVE)
    conflict = members.get("on_conflict", "return")
    if conflict not in get_args(OnConflict):
        raise KitError(f"unique: on_conflict is one of {', '.join(get_args(OnConflict))}, not {conflict!r}")
    if seconds != LIVE and (not isinstance(seconds, int) or seconds < 1):
        raise KitError(f"unique: while is {LIVE!r} or seconds from 1, not {seconds!r}")
    return Unique(members["key"], None if seconds == LIVE else seconds, conflict)


def debounce_of(given: Mapping[str, Any] | None) -> Debounce | None:
    """Of `key`, `seconds` and `max_seconds`. Raises KitError for other members."""
    if given is None:
        return None
    members = _members("debounce", given, {"key", "seconds", "max_seconds"})
    if "seconds" not in members:
        raise KitError("debounce: after how many seconds without a further start does it begin? Say seconds=…")
    delay_ms = parse_duration_ms(members["seconds"])
    most = members.get("max_seconds")
    return Debounce(members["key"], delay_ms, delay_ms * TIMES if most is None else parse_duration_ms(most))


def _members(what: str, given: Mapping[str, Any], known: set[str]) -> Mapping[str, Any]:
    if unknown := sorted(given.keys() - known):
        raise KitError(f"{what} has no {unknown[0]!r}; it has {', '.join(sorted(known))}")
    if not given.get("key"):
        raise KitError(f"{what} is by a key: say key=…")
    return given
