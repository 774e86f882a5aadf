"""Which worker may do which task: a requirement holds against what a worker offers, or it tells what is lacking."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from muster_worker.needs import Rule

_DIGITS: Final = re.compile(r"v?(\d+(?:\.\d+)*)")
_NOUNS: Final = {"cost": "its price per second", "gpu_model": "its GPU", "worker": "its id"}


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of several workers is to be taken, and how long a better one is waited for."""

    policy: str
    overflow_ms: int = 0


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a class of tasks asks for; the plainest has only a type. Rules are canonical: sorted, each once."""

    type: str
    rules: tuple[Rule, ...] = ()
    choice: Choice | None = None

    @property
    def is_plain(self) -> bool:
        return not self.rules and self.choice is None

    @property
    def worker(self) -> str | None:
        """The only one who may, where it names one."""
        return next((values[0] for subject, op, values in self.rules if (subject, op) == ("worker", "in")), None)

    def also(self, rules: Sequence[Rule]) -> "Requirement":
        return Requirement(self.type, tuple(sorted({*self.rules, *rules})), self.choice)


@dataclass(frozen=True, slots=True)
class Offer:
    """What a worker has, by the subjects of rules. `amounts` are bytes for sizes, EUR per second for `cost`."""

    types: frozenset[str]
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    amounts: Mapping[str, float] = field(default_factory=dict[str, float])
    does_all: bool = False
    """Of a test's stand-in for all workers: it meets every rule."""
    prices: Mapping[str, float] = field(default_factory=dict[str, float])
    """EUR per second of a task type, where that is not `amounts["cost"]`."""

    def price_of(self, kind: str) -> float:
        """What a second of a task of type *kind* costs here, in EUR.

        >>> Offer(frozenset({"a", "b"}), amounts={"cost": 0.2}, prices={"a": 0.5}).price_of("a")
        0.5
        """
        return self.prices.get(kind, self.amounts.get("cost", 0.0))

    def amount(self, subject: str, kind: str) -> float | None:
        """Of a task of type *kind*; None for what is no amount, or not said."""
        if subject == "cost" and kind in self.prices:
            return self.prices[kind]
        return self.amounts.get(subject)


NOTHING: Final = Offer(frozenset())


@dataclass(frozen=True, slots=True)
class Unmet:
    """One rule that does not hold, and what the worker has instead."""

    rule: Rule
    has: str | None

    @property
    def text(self) -> str:
        """What is said of it.

        >>> Unmet(("label:gpu", "in", ("a100",)), "t4").text
        "label gpu is 't4', not 'a100'"
        """
        subject, op, values = self.rule
        kind, _, name = subject.partition(":")
        noun = f"{kind} {name}" if name else _NOUNS.get(kind, kind)
        if op == "lacks":
            return f"{noun} is there, and must not be"
        if self.has is None:
            return f"{noun} is not there"
        wanted = " or ".join(repr(value) for value in values)
        word = {"ge": "not at least", "le": "more than", "like": "not like"}.get(op, "not")
        return (
            f"{noun} is {self.has!r}, which must not be" if op == "not" else f"{noun} is {self.has!r}, {word} {wanted}"
        )


def unmet(requirement: Requirement, offer: Offer) -> tuple[Unmet, ...]:
    """The rules that do not hold; the type is not looked at."""
    kind = requirement.type
    return tuple(
        Unmet(rule, _shown(rule[0], kind, offer)) for rule in requirement.rules if not _holds(rule, kind, offer)
    )


def meets(requirement: Requirement, offer: Offer) -> bool:
    if requirement.type not in offer.types:
        return False
    return offer.does_all or all(_holds(rule, requirement.type, offer) for rule in requirement.rules)


def _holds(rule: Rule, kind: str, offer: Offer) -> bool:
    subject, op, wanted = rule
    if (amount := offer.amount(subject, kind)) is not None:
        return _compares(op, amount, float(wanted[0]))
    has = offer.values.get(subject, ())
    match op:
        case "has":
            return bool(has)
        case "lacks":
            return not has
        case "in":
            return any(value in wanted for value in has)
        case "not":
            return bool(has) and not any(value in wanted for value in has)
        case "ge":
            return any(_is_at_least(value, wanted[0]) for value in has)
        case "like":
            return any(wanted[0] in value.lower() for value in has)
        case _:
            return False  # a newer server's comparator: this one must not guess


def _compares(op: str, has: float, wanted: float) -> bool:
    return has >= wanted if op == "ge" else has <= wanted if op == "le" else False


@lru_cache(maxsize=4096)
def version_key(text: str) -> tuple[int, ...] | None:
    """The numbers a version begins with, without trailing zeros; None where there are none.

    >>> version_key("v6.10.0-ubuntu"), version_key("latest")
    ((6, 10), None)
    """
    found = _DIGITS.match(text)
    if found is None:
        return None
    numbers = [int(part) for part in found[1].split(".")]
    while len(numbers) > 1 and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def _is_at_least(has: str, wanted: str) -> bool:
    mine, theirs = version_key(has), version_key(wanted)
    return mine is not None and theirs is not None and mine >= theirs


def _shown(subject: str, kind: str, offer: Offer) -> str | None:
    if (amount := offer.amount(subject, kind)) is not None:
        return f"{amount / 1024**3:.3g} GB" if subject in {"memory", "vram"} else f"{amount:g}"
    values = offer.values.get(subject)
    return ", ".join(values) if values else None


def requirement_json(requirement: Requirement) -> dict[str, Any]:
    """The stored form; equal requirements give equal ones."""
    rules = [[subject, op, list(values)] for subject, op, values in requirement.rules]
    choice = requirement.choice
    return {"t": requirement.type, "r": rules, **({} if choice is None else {"c": [choice.policy, choice.overflow_ms]})}


def requirement_of(raw: Mapping[str, Any]) -> Requirement:
    rules = tuple((subject, op, tuple(values)) for subject, op, values in raw["r"])
    choice = raw.get("c")
    return Requirement(raw["t"], rules, None if choice is None else Choice(choice[0], choice[1]))
