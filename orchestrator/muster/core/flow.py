"""Limits: how many tasks may run at once, how many may start in a time, and whose share is how large. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from muster_worker.durations import parse_duration_ms

from muster.core.limits import (
    BURST_MAX,
    LIMIT_NAME_CHARACTERS_MAX,
    LIMIT_TASKS_MAX,
    RATE_PERIOD_MAX_MS,
    TICKET_COST,
    WEIGHT_MAX,
    WEIGHT_MIN,
)

GROUP_END: Final = ":"
"""What is before it in a concurrency key is the key's group: `site:` of `site:example.org`."""
ANY: Final = "*"


class Scope(StrEnum):
    """What a limit is for."""

    GLOBAL = "global"
    TENANT = "tenant"
    TASK = "task"
    BLUEPRINT = "blueprint"
    KEY = "key"


class LimitRefused(ValueError):
    """A limit that cannot be; the text says why."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Of everything (`name` is empty then), a tenant, a task type, a blueprint, or a concurrency key of a tenant.

    `max` tasks run at once; 0 is a pause. `rate` tasks start in `per_ms` milliseconds, evenly, but `burst` of them may
    start together. `weight` is a tenant's share where several wait: 2 gets twice what 1 gets.
    Make it with `limit_of`, which checks it.
    """

    scope: Scope
    name: str = ""
    tenant: str = ""
    """Whose key; empty for the other scopes."""
    max: int | None = None
    rate: int | None = None
    per_ms: int | None = None
    burst: int | None = None
    weight: float | None = None
    paused: bool = False
    """Stands for `max` 0 until it is resumed; what else is set is kept for then."""

    @property
    def is_empty(self) -> bool:
        return self.max is None and self.rate is None and self.weight is None and not self.paused


@dataclass(frozen=True, slots=True)
class Policy:
    """A limit as one partition keeps it: whole numbers, microseconds."""

    most: int | None = None
    between_us: int | None = None
    """Time between two starts, where they come evenly."""
    ahead_us: int | None = None
    """How far a start may be ahead of that."""
    cost: int | None = None
    """Virtual time of one task of the tenant."""
    counting: bool = False
    """The tasks that run already are still being counted: nothing more starts meanwhile."""


def policy_of(limit: Limit, partitions: int) -> Policy:
    """The share of one of *partitions*: exact where there is one, else rounded up, and no partition gets none of it.

    >>> policy_of(Limit(Scope.GLOBAL, max=10, rate=60, per_ms=60_000, burst=5), 4)
    Policy(most=3, between_us=4000000, ahead_us=4000000, cost=None, counting=False)
    """
    between = ahead = None
    if limit.rate is not None and limit.per_ms is not None:
        between = _up(limit.per_ms * 1000 * partitions, limit.rate)
        ahead = between * (_up(limit.burst or 1, partitions) - 1)
    most = 0 if limit.paused else limit.max
    return Policy(
        most=None if most is None else _up(most, partitions),
        between_us=between,
        ahead_us=ahead,
        cost=None if limit.weight is None else max(1, round(TICKET_COST / limit.weight)),
    )


def _up(value: int, parts: int) -> int:
    return -(-value // parts)


def group_of(key: str) -> str:
    """The name of the limit that is every key's of this kind, where a key has none of its own.

    >>> group_of("site:example.org"), group_of("customer-42")
    ('site:*', '*')
    """
    head, found, _ = key.partition(GROUP_END)
    return f"{head}{GROUP_END}{ANY}" if found else ANY


def checked_key(key: str) -> str:
    """*key*, or none. Raises: ValueError, where it cannot be a concurrency key."""
    if not key:
        return key
    if not 1 <= len(key) <= LIMIT_NAME_CHARACTERS_MAX or not key.isprintable() or ANY in key:
        rule = f"1 to {LIMIT_NAME_CHARACTERS_MAX} printable characters without {ANY!r}"
        raise ValueError(f"a concurrency key is {rule}, not {key[:40]!r} ({len(key)} characters)")
    return key


def limit_of(scope: str, name: str, values: Mapping[str, Any], tenant: str = "") -> Limit:
    """A checked limit of `max`, `rate`, `per`, `burst` and `weight` as users write them.

    Raises:
        LimitRefused: what is wrong, with which value.
    """
    known = _scope(scope)
    unknown = sorted(set(values) - {"max", "rate", "per", "burst", "weight"})
    if unknown:
        raise LimitRefused(f"a limit has no {unknown[0]!r}; it has max, rate, per, burst and weight")
    limit = Limit(
        known,
        _name(known, name),
        tenant if known is Scope.KEY else "",
        max=_whole(values, "max", 0, LIMIT_TASKS_MAX),
        rate=_whole(values, "rate", 1, LIMIT_TASKS_MAX),
        per_ms=_period(values.get("per")),
        burst=_whole(values, "burst", 1, BURST_MAX),
        weight=_weight(known, values.get("weight")),
    )
    if (limit.rate is None) != (limit.per_ms is None):
        raise LimitRefused("a rate needs a period and a period a rate: rate=10 and per='1m' are 10 starts a minute")
    if limit.burst is not None and limit.rate is None:
        raise LimitRefused("burst goes with rate: so many of them may start together")
    if limit.is_empty:
        raise LimitRefused("a limit limits something: max, rate with per, or a tenant's weight")
    return limit


def _scope(word: str) -> Scope:
    try:
        return Scope(word)
    except ValueError:
        raise LimitRefused(f"there is no scope {word[:40]!r}; there are {', '.join(Scope)}") from None


def _name(scope: Scope, name: str) -> str:
    if scope is Scope.GLOBAL:
        if name not in {"", ANY}:
            raise LimitRefused(f"the global limit is called {ANY!r}, not {name[:40]!r}")
        return ANY
    if not 1 <= len(name) <= LIMIT_NAME_CHARACTERS_MAX or not name.isprintable():
        raise LimitRefused(f"a name has 1 to {LIMIT_NAME_CHARACTERS_MAX} printable characters, not {len(name)}")
    if scope is Scope.KEY and ANY in name and group_of(name) != name:
        raise LimitRefused(f"{ANY!r} stands for a whole group of keys, as in 'site:*', or for all: not {name[:40]!r}")
    return name


def _whole(values: Mapping[str, Any], word: str, low: int, high: int) -> int | None:
    value = values.get(word)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise LimitRefused(f"{word} is a whole number from {low} to {high}, not {value!r}"[:200])
    return value


def _period(value: Any) -> int | None:
    if value is None:
        return None
    try:
        period = parse_duration_ms(value)
    except (ValueError, TypeError) as error:
        raise LimitRefused(f"per is a duration such as '1s' or '1h': {error}") from None
    if not 1 <= period <= RATE_PERIOD_MAX_MS:
        raise LimitRefused(f"per is from 1 ms to 31 days, not {value!r}")
    return period


def _weight(scope: Scope, value: Any) -> float | None:
    if value is None:
        return None
    if scope is not Scope.TENANT:
        raise LimitRefused(f"only a tenant has a weight, not a {scope}")
    if not isinstance(value, int | float) or isinstance(value, bool) or not WEIGHT_MIN <= value <= WEIGHT_MAX:
        raise LimitRefused(f"weight is a number from {WEIGHT_MIN:g} to {WEIGHT_MAX:g}, not {value!r}"[:200])
    return float(value)
