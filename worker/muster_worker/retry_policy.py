"""How often, when and for which errors a task is tried again: a value that contracts and blueprints carry."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, cast

from muster_worker.codec import JsonValue
from muster_worker.durations import Duration, parse_duration_ms

NEVER: Final = "never"
"""For an error code: not tried again, the job must answer."""
AT_ONCE: Final = "at_once"
"""For an error code: tried again without a pause; counts like any other failure."""

Jitter = Literal["full", "none"]
CODES_MAX: Final = 32
FACTOR_MAX: Final = 100
PAUSE_MS_MAX: Final = 366 * 86_400_000
"""No pause and no limit of time is longer than a year."""
_MEMBERS: Final = frozenset({"retries", "first", "factor", "cap", "jitter", "budget", "on"})


@dataclass(frozen=True)
class RetryPolicy:
    """When a failed task is tried again.

    The pause before retry number n (from 0) is drawn from 0 to `min(cap, first * factor ** n)`, or is just that with
    `jitter="none"`. A worker's own `retry_after` wins over the pause, and over nothing else.

    Args:
        retries: further attempts after the first failure; None: the task's `retries`, then the server's default.
        first, cap: the first pause and the longest one.
        factor: how much longer each pause is than the one before, from 1 on.
        jitter: `full` spreads the retries of many tasks; `none` is for tests and partners that demand exact pauses.
        budget: counted from the first failure; a retry that would begin later is not made.
        on: by error code, or by the name of the Python exception where the worker gave no code of its own: `NEVER`,
            `AT_ONCE`, or a policy of its own, whose retries are counted for that code alone.

    Raises:
        ValueError: for what cannot be, naming the member.
    """

    retries: int | None = None
    first: Duration = field(default="1s", compare=False)
    factor: float = 2.0
    cap: Duration = field(default="1m", compare=False)
    jitter: Jitter = "full"
    budget: Duration | None = field(default=None, compare=False)
    on: "Mapping[str, Rule]" = field(default_factory=dict[str, "Rule"])
    first_ms: int = field(init=False, repr=False)
    cap_ms: int = field(init=False, repr=False)
    budget_ms: int | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.retries is not None and (isinstance(self.retries, bool) or self.retries < 0):
            raise ValueError(f"retry policy: retries must be 0 or more, not {self.retries!r}")
        if not (math.isfinite(self.factor) and 1 <= self.factor <= FACTOR_MAX):
            raise ValueError(f"retry policy: factor must be 1 to {FACTOR_MAX}, not {self.factor!r}")
        if self.jitter not in ("full", "none"):
            raise ValueError(f"retry policy: jitter is 'full' or 'none', not {self.jitter!r}")
        object.__setattr__(self, "first_ms", _duration_ms("first", self.first, least_ms=0))
        object.__setattr__(self, "cap_ms", _duration_ms("cap", self.cap, least_ms=0))
        if self.first_ms > self.cap_ms:
            raise ValueError(f"retry policy: first, {self.first!r}, is longer than cap, {self.cap!r}")
        budget_ms = None if self.budget is None else _duration_ms("budget", self.budget, least_ms=1)
        object.__setattr__(self, "budget_ms", budget_ms)
        _check_codes(self.on)
        object.__setattr__(self, "on", MappingProxyType(dict(self.on)))

    def __hash__(self) -> int:
        return hash((self.retries, self.first_ms, self.factor, self.cap_ms, self.jitter, self.budget_ms, len(self.on)))

    def rule_for(self, code: str, kind: str = "") -> "tuple[str, Rule | None]":
        """The name under which an error is listed, with its rule; `("", None)` for one that is not.

        *kind* is the name of the exception; it is looked for where the code is not listed.
        """
        for name in (code, kind):
            if name and name in self.on:
                return name, self.on[name]
        return "", None

    def to_json(self) -> dict[str, JsonValue]:
        """As `from_json` takes it; durations in seconds, what is as usual left out."""
        usual = _USUAL
        found: dict[str, Any] = {
            "retries": self.retries,
            "first": None if self.first_ms == usual.first_ms else self.first_ms / 1000,
            "factor": None if self.factor == usual.factor else self.factor,
            "cap": None if self.cap_ms == usual.cap_ms else self.cap_ms / 1000,
            "jitter": None if self.jitter == usual.jitter else self.jitter,
            "budget": None if self.budget_ms is None else self.budget_ms / 1000,
            "on": {code: rule if isinstance(rule, str) else rule.to_json() for code, rule in self.on.items()} or None,
        }
        return {name: value for name, value in found.items() if value is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "RetryPolicy":
        """A policy as data: the members of this class, durations as texts or numbers of seconds.

        Raises:
            ValueError: for an unknown member and for what cannot be.
        """
        if unknown := sorted(data.keys() - _MEMBERS):
            raise ValueError(f"retry policy: there is no {unknown[0]!r}; there are {', '.join(sorted(_MEMBERS))}")
        given = {name: value for name, value in data.items() if value is not None}
        on = given.get("on", {})
        if not isinstance(on, Mapping):
            raise ValueError(f"retry policy: on is an object of codes, not {on!r}")  # noqa: TRY004 - one kind of error
        rules = {code: cls.from_json(rule) if isinstance(rule, Mapping) else rule for code, rule in on.items()}
        return cls(**{**given, "on": rules})


Rule: TypeAlias = RetryPolicy | Literal["never", "at_once"]


def _duration_ms(member: str, value: Duration, *, least_ms: int) -> int:
    try:
        ms = parse_duration_ms(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"retry policy: {member}: {error}") from error
    if not least_ms <= ms <= PAUSE_MS_MAX:
        least = "more than 0" if least_ms else "0 or more"
        raise ValueError(f"retry policy: {member} must be {least} and at most a year, not {value!r}")
    return ms


def _check_codes(on: Mapping[str, object]) -> None:
    if len(on) > CODES_MAX:
        raise ValueError(f"retry policy: on has {len(on)} codes; at most {CODES_MAX} fit")
    for code, rule in on.items():
        if not isinstance(cast("object", code), str) or not 1 <= len(code) <= 200:
            raise ValueError(f"retry policy: on has {code!r}, which is no error code")
        if code in _FIXED:
            raise ValueError(f"retry policy: on[{code!r}]: {_FIXED[code]}")
        if isinstance(rule, RetryPolicy):
            if rule.on:
                raise ValueError(f"retry policy: on[{code!r}] has an `on` of its own; one level is enough")
        elif rule not in (NEVER, AT_ONCE):
            raise ValueError(f"retry policy: on[{code!r}] is NEVER, AT_ONCE or a RetryPolicy, not {rule!r}")


_FIXED: Final = {
    "SCHEDULE_TO_CLOSE_TIMEOUT": "the time for all attempts is over, so there is none to come",
    "POISON_TASK": "a task that has cost three workers is not handed out again",
    "TOO_MANY_REQUEUES": "a task that was put back so often is not handed out again",
}
_USUAL: Final = RetryPolicy()
