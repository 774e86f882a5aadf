"""What a client may submit, and when two wishes are one: quotas, unique keys, debounce. Values alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

OnConflict: TypeAlias = Literal["return", "refuse", "replace"]
QUOTA_KEYS: Final = ("max_live_jobs", "max_queued_jobs", "submits_per_second", "submit_burst")
NUMBER_MAX: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Quota:
    """Of one client. None: no limit. A burst is how many submits may come at once after a quiet time."""

    client: str
    live_max: int | None = None
    queued_max: int | None = None
    per_second: float | None = None
    burst: int = 1


@dataclass(frozen=True, slots=True)
class Unique:
    """At most one job of the blueprint with this key lives; with `seconds` one is made in so long, living or not."""

    key: str
    seconds: int | None = None
    on_conflict: OnConflict = "return"


@dataclass(frozen=True, slots=True)
class Debounce:
    """The job begins when no further wish with the key came for `delay_ms`, `most_ms` after the first at the latest."""

    key: str
    delay_ms: int
    most_ms: int


def read_quota(client: str, entry: Mapping[str, Any]) -> Quota | None:
    """From the client's table in the file; None where it has no limits.

    Raises:
        ValueError: with the member that cannot be used, and why.
    """
    given = {key: entry[key] for key in QUOTA_KEYS if key in entry}
    if not given:
        return None
    for key, value in given.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 < value <= NUMBER_MAX or (key != "submits_per_second" and not isinstance(value, int)):
            kind = "a number above 0" if key == "submits_per_second" else "a whole number from 1"
            raise ValueError(f"{key} = {value!r} is not {kind}")
    rate = given.get("submits_per_second")
    if "submit_burst" in given and rate is None:
        raise ValueError("submit_burst belongs to submits_per_second, and there is none")
    burst = given.get("submit_burst", 1 if rate is None else max(1, round(rate)))
    return Quota(client, given.get("max_live_jobs"), given.get("max_queued_jobs"), rate, burst)
