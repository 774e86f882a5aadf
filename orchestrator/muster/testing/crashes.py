"""What a story leaves behind, and where two lives of it differ."""

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pydantic_core import to_jsonable_python

from muster.testing.jobs import TestJob

if TYPE_CHECKING:
    from muster.testing.kit import TestMuster

Story: TypeAlias = "Callable[[TestMuster], Awaitable[object]]"
_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Crashed:
    """One life of a story, in which a replica died.

    Attributes:
        number: which write it did not live to do, from 1; `count` is how many a life without a death has.
        write: the store's word for it: `submit`, `commit`, `step`, `complete`, `claim`…
        kit: as the story left it.
    """

    number: int
    count: int
    write: str
    kit: "TestMuster"

    def __str__(self) -> str:
        return f"a crash before write {self.number} of {self.count} ({self.write})"


def outcome_of(jobs: Sequence[TestJob]) -> list[dict[str, Any]]:
    """What is to be the same in every life. Ids are none of that."""
    members = ("blueprint", "status", "state", "result", "error", "data")
    found: list[dict[str, Any]] = without_ids([{name: getattr(job, name) for name in members} for job in jobs])
    return found


def without_ids(value: Any) -> Any:
    """As JSON, with each job's id named by the place where it comes first."""
    seen: dict[str, str] = {}

    def named(value: Any) -> Any:
        if isinstance(value, str):
            return _ID.sub(lambda found: seen.setdefault(found.group(), f"<id {len(seen) + 1}>"), value)
        if isinstance(value, dict):
            return {named(key): named(member) for key, member in value.items()}
        return [named(member) for member in value] if isinstance(value, list) else value

    return named(to_jsonable_python(value))


def differences(plain: Sequence[dict[str, Any]], crashed: Sequence[dict[str, Any]]) -> Iterator[str]:
    if len(plain) != len(crashed):
        yield f"there are {len(crashed)} jobs instead of {len(plain)}"
    for number, (before, after) in enumerate(zip(plain, crashed, strict=False), 1):
        for name in before:
            if before[name] != after[name]:
                yield f"{name} of job {number} ({before['blueprint']}) is {after[name]!r} instead of {before[name]!r}"


def spread(count: int, most: int) -> list[int]:
    """At most so many of the numbers below *count*, the first and the last among them.

    >>> spread(10, 4), spread(2, 4)
    ([0, 3, 6, 9], [0, 1])
    """
    if most < 2:
        raise ValueError(f"a story is lived through 2 crashes or more, not {most}")
    if count <= most:
        return list(range(count))
    return [round(number * (count - 1) / (most - 1)) for number in range(most)]
