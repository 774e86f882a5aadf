"""Who stands in line for work, in the memory of one replica."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Final

from muster.store.base import Claimed

Classes = tuple[str, ...]
SERVED_MAX: Final = 1_000
"""Lines whose last turn is remembered."""


@dataclass(slots=True, eq=False)
class Room:
    """For tasks of one type at one worker: how many it would take, and how many are claimed or may be by now."""

    limit: int
    used: int = 0

    @property
    def left(self) -> int:
        return self.limit - self.used


@dataclass(slots=True, eq=False)
class Waiter:
    """One poll, or the free slots of a worker that reports a result. `instant` ones never stand in line."""

    worker: str
    classes: Classes
    wanted: int
    lease_ms: int
    patient: bool
    price: int = 0
    """Micros per second of the worker's time."""
    prices: Mapping[str, int] = field(default_factory=dict[str, int])
    """The same by task type, as plain classes, where the worker asks something else."""
    rooms: dict[str, Room] = field(default_factory=dict[str, Room])
    """By task type, as plain classes, where the worker said how many it would take."""
    plain: Callable[[str], str] = lambda cls: cls
    """The plain class of the same task type."""
    stands: tuple[Classes, ...] = ()
    """The lines it stands in: one, or more where a type has less room than there are free slots."""
    future: "asyncio.Future[None] | None" = None
    got: list[Claimed] = field(default_factory=list[Claimed])
    fences: list[str] = field(default_factory=list[str])
    held: int = 0
    """Seats in claims under way; counted, so that no seat is given out twice."""
    gone: bool = False
    late: bool = False
    """Its time is over: it goes home once no claim can bring it anything."""
    recalled: bool = False
    """Sent home before its time, because its worker may not be registered any more, or may take nothing more."""
    number: int = 0
    """Grows with every poll that comes: whose is smaller waits longer."""

    @property
    def free(self) -> int:
        return 0 if self.gone else self.wanted - len(self.got) - self.held

    def free_for(self, cls: str) -> int:
        """How many tasks of class *cls* it may still be given, as far as it is alone."""
        room = self.rooms.get(self.plain(cls)) if self.rooms else None
        return self.free if room is None else min(self.free, room.left)

    def rooms_of(self, classes: Classes) -> list[Room]:
        """What a claim of *classes* may take from, each once."""
        return [self.rooms[kind] for kind in {self.plain(cls) for cls in classes} if kind in self.rooms]

    def asks(self, classes: Classes) -> tuple[tuple[str, int], ...]:
        """Its prices for tasks of *classes*, where these are not its one price."""
        prices = ((cls, self.prices.get(self.plain(cls), self.price)) for cls in classes)
        return tuple((cls, price) for cls, price in prices if price != self.price)

    def limit_to(self, limits: Mapping[str, int]) -> None:
        """How many of each type it would take changes, by plain class; of others as many as it wants.

        What is claimed for it at this moment counts against a limit that is new: it may be of that type.
        """
        for kind, room in self.rooms.items():
            room.limit = limits.get(kind, self.wanted)
        for kind in limits.keys() - self.rooms.keys():
            self.rooms[kind] = Room(limits[kind], self.held)

    def groups(self) -> tuple[Classes, ...]:
        """Its classes as they may be claimed together: a seat of a claim takes a task of any of the claim's classes.

        So a type that has less room than the worker wants tasks is claimed by itself, and one that has none is not.
        """
        if not self.rooms:
            return (self.classes,)
        open_, bound = list[str](), dict[str, list[str]]()
        for cls in self.classes:
            kind = self.plain(cls)
            room = self.rooms.get(kind)
            if room is None or room.limit >= self.wanted:
                open_.append(cls)
            elif room.limit > 0:
                bound.setdefault(kind, []).append(cls)
        return tuple(tuple(group) for group in (open_, *bound.values()) if group)

    def go_home(self) -> None:
        if self.future is not None and not self.future.done():
            self.future.set_result(None)


class Lines:
    """A line for each set of classes; a poll stands in the one of its worker's, or in one for each of its groups."""

    def __init__(self) -> None:
        self._lines: dict[Classes, deque[Waiter]] = {}
        self._everybody: dict[Waiter, None] = {}
        self._numbers = count(1)
        self._served: dict[Classes, int] = {}
        """When lines that share polls with others had a claim last."""
        self._turns = count(1)

    def __iter__(self) -> Iterator[tuple[Classes, deque[Waiter]]]:
        return iter(self._lines.items())

    def in_turn(self) -> list[tuple[Classes, deque[Waiter]]]:
        """Those first that had no claim for longest: where a poll stands in several, none may always come first."""
        if not self._served:
            return list(self._lines.items())
        return sorted(self._lines.items(), key=lambda line: self._served.get(line[0], 0))

    def served(self, lines: Sequence[Classes], owners: Sequence[Waiter]) -> None:
        """A claim for these is made."""
        if any(len(owner.stands) > 1 for owner in owners):
            if len(self._served) > SERVED_MAX:
                self._served.clear()
            self._served |= dict.fromkeys(lines, next(self._turns))

    def __bool__(self) -> bool:
        return bool(self._lines)

    @property
    def waiting(self) -> int:
        return len(self._everybody)

    def everybody(self) -> list[Waiter]:
        return list(self._everybody)

    def serve(self, cls: str) -> bool:
        """Whether anybody waits for *cls*."""
        return any(cls in classes for classes in self._lines)

    def join(self, waiter: Waiter) -> None:
        waiter.number = next(self._numbers)
        self._everybody[waiter] = None
        waiter.stands = waiter.groups()
        for classes in waiter.stands:
            self._lines.setdefault(classes, deque()).append(waiter)

    def leave(self, waiter: Waiter) -> None:
        self._everybody.pop(waiter, None)
        for classes in waiter.stands:
            line = self._lines.get(classes)
            if line is not None:
                if waiter in line:
                    line.remove(waiter)
                if not line:
                    del self._lines[classes]

    def move(self, classes_of: Callable[[str], Classes | None]) -> bool:
        """Let each stand where it belongs by now, not behind who came later. None: it stays. Whether any moved."""
        wishes = [(waiter, classes_of(waiter.worker)) for waiter in self._everybody]
        moved = {waiter: new for waiter, new in wishes if new is not None and new != waiter.classes}
        for waiter, new in moved.items():
            waiter.classes = new
        self._settle(moved.keys())
        return bool(moved)

    def settle(self, waiter: Waiter) -> None:
        """Its rooms have changed."""
        if waiter in self._everybody and waiter.groups() != waiter.stands:
            self._settle({waiter})

    def _settle(self, moved: AbstractSet[Waiter]) -> None:
        for classes in {classes for waiter in moved for classes in waiter.stands}:
            self._stand(classes, [waiter for waiter in self._lines[classes] if waiter not in moved])
        newcomers_of: dict[Classes, list[Waiter]] = {}
        for waiter in moved:
            waiter.stands = waiter.groups()
            for classes in waiter.stands:
                newcomers_of.setdefault(classes, []).append(waiter)
        for classes, newcomers in newcomers_of.items():
            self._stand(classes, oldest_first([*self._lines.get(classes, ()), *newcomers]))

    def _stand(self, classes: Classes, waiters: list[Waiter]) -> None:
        if waiters:
            self._lines[classes] = deque(waiters)
        else:
            self._lines.pop(classes, None)


def seats(waiters: Sequence[Waiter], most: int, cls: str = "") -> list[Waiter]:
    """Whose seats for tasks of *cls* they are: one each for the first *most*, then second ones, and so on."""
    free = list(islice((waiter for waiter in waiters if waiter.free_for(cls) > 0), most))
    owners, left = list(free), most - len(free)
    for round_ in range(1, max((waiter.free_for(cls) for waiter in free), default=0)):
        more = [waiter for waiter in free if waiter.free_for(cls) > round_][: max(left, 0)]
        owners += more
        left -= len(more)
    return owners


def oldest_first(waiters: Sequence[Waiter]) -> list[Waiter]:
    return sorted(waiters, key=_age)


def _age(waiter: Waiter) -> int:
    return waiter.number
