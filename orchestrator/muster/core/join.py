"""Join policies: which ends of a fan's tasks the job waits for, and what it makes of them. Pure data."""

from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never


@dataclass(frozen=True, slots=True)
class JoinAll:
    """Every task must succeed; the first failure decides."""


@dataclass(frozen=True, slots=True)
class JoinAny:
    """The first success decides; only where all have failed the fan has."""


@dataclass(frozen=True, slots=True)
class JoinFirst:
    """The first *count* successes decide; the fan has failed as soon as so many can no longer be."""

    count: int

    def __post_init__(self) -> None:
        if type(self.count) is not int or self.count < 1:
            raise ValueError(f"Join.first({self.count!r}) waits for nothing; it takes a whole number, 1 or more")


@dataclass(frozen=True, slots=True)
class JoinSettled:
    """All must have ended, however they did; where more than *failures_max* failed, the fan has. None: never."""

    failures_max: int | None = None

    def __post_init__(self) -> None:
        if self.failures_max is not None and (type(self.failures_max) is not int or self.failures_max < 0):
            raise ValueError(
                f"Join.tolerate({self.failures_max!r}) is no number of failures; it takes a whole number, 0 or more"
            )


JoinPolicy: TypeAlias = JoinAll | JoinAny | JoinFirst | JoinSettled


class Join:
    """How a fan is joined: `job.map(quote, shops, ok=compare, join=Join.first(3))`.

    `all`: every task must succeed, the first failure decides (what holds where nothing is said). `any`: the first
    success decides. `first(k)`: the first k successes do. `settled`: all have ended, failures stand in their places.
    `tolerate(n)`: likewise, but more than n failures fail the fan. Tasks that are not waited for are cancelled.
    """

    @staticmethod
    def all() -> JoinAll:
        return JoinAll()

    @staticmethod
    def any() -> JoinAny:
        return JoinAny()

    @staticmethod
    def first(count: int) -> JoinFirst:
        """Raises ValueError for less than 1; a fan of fewer tasks is refused when it is decided."""
        return JoinFirst(count)

    @staticmethod
    def settled() -> JoinSettled:
        return JoinSettled()

    @staticmethod
    def tolerate(failures: int) -> JoinSettled:
        """Raises ValueError for less than 0."""
        return JoinSettled(failures)


ALL: Final = JoinAll()


@dataclass(frozen=True, slots=True)
class Counting:
    """A join as the store counts it, in a step for each end.

    `need` ends are waited for. Only successes are counted where `of_successes`. A failure when `failures_left` is 0
    makes the turn due at once; None: failures never do.
    """

    need: int
    failures_left: int | None
    of_successes: bool = False


def fits(join: JoinPolicy, width: int) -> bool:
    """Whether a fan of *width* tasks can ever succeed."""
    return width >= successes(join)


def successes(join: JoinPolicy) -> int:
    """So many tasks there must be at least."""
    match join:
        case JoinFirst():
            return join.count
        case JoinAny():
            return 1
        case JoinAll() | JoinSettled():
            return 0
        case _:
            assert_never(join)


def counting(join: JoinPolicy, width: int) -> Counting:
    match join:
        case JoinAll():
            return Counting(width, 0)
        case JoinAny() | JoinFirst():
            enough = successes(join)
            return Counting(enough, width - enough, of_successes=True)
        case JoinSettled():
            return Counting(width, join.failures_max)
        case _:
            assert_never(join)


def dump_join(join: JoinPolicy) -> str:
    """As stored: `all`, `any`, `first:3`, `settled`, `settled:2`."""
    match join:
        case JoinAll():
            return "all"
        case JoinAny():
            return "any"
        case JoinFirst():
            return f"first:{join.count}"
        case JoinSettled():
            return "settled" if join.failures_max is None else f"settled:{join.failures_max}"
        case _:
            assert_never(join)


def load_join(stored: str) -> JoinPolicy:
    """Raises ValueError for anything that `dump_join` does not write."""
    word, _, number = stored.partition(":")
    match word:
        case "all":
            return ALL
        case "any":
            return JoinAny()
        case "first":
            return JoinFirst(int(number))
        case "settled":
            return JoinSettled(int(number) if number else None)
        case _:
            raise ValueError(f"{stored!r} is no join")
