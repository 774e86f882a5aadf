"""Who stands in line for work, in the memory of one replica."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from muster.store.base import Claimed

Classes = tuple[str, ...]


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

    def go_home(self) -> None:
        if self.future is not None and not self.future.done():
            self.future.set_result(None)


class Lines:
    """A line for each set of classes; a poll stands in the one of its worker's."""

    def __init__(self) -> None:
        self._lines: dict[Classes, deque[Waiter]] = {}
        self._numbers = count(1)

    def __iter__(self) -> Iterator[tuple[Classes, deque[Waiter]]]:
        return iter(self._lines.items())

    def __bool__(self) -> bool:
        return bool(self._lines)

    @property
    def waiting(self) -> int:
        return sum(len(line) for line in self._lines.values())

    def everybody(self) -> list[Waiter]:
        return [waiter for line in self._lines.values() for waiter in line]

    def serve(self, cls: str) -> bool:
        """Whether anybody waits for *cls*."""
        return any(cls in classes for classes in self._lines)

    def join(self, waiter: Waiter) -> None:
        waiter.number = next(self._numbers)
        self._lines.setdefault(waiter.classes, deque()).append(waiter)

    def leave(self, waiter: Waiter) -> None:
        line = self._lines.get(waiter.classes)
        if line is not None:
            if waiter in line:
                line.remove(waiter)
            if not line:
                del self._lines[waiter.classes]

    def move(self, classes_of: Callable[[str], Classes | None]) -> bool:
        """Let each stand where it belongs by now, not behind who came later. None: it stays. Whether any moved."""
        wishes = [(waiter, classes_of(waiter.worker)) for waiter in self.everybody()]
        moved = {waiter: new for waiter, new in wishes if new is not None and new != waiter.classes}
        for classes in {waiter.classes for waiter in moved}:
            self._stand(classes, [waiter for waiter in self._lines[classes] if waiter not in moved])
        newcomers_of: dict[Classes, list[Waiter]] = {}
        for waiter, new in moved.items():
            newcomers_of.setdefault(new, []).append(waiter)
        for classes, newcomers in newcomers_of.items():
            self._stand(classes, oldest_first([*self._lines.get(classes, ()), *newcomers]))
        for waiter, new in moved.items():
            waiter.classes = new
        return bool(moved)

    def _stand(self, classes: Classes, waiters: list[Waiter]) -> None:
        if waiters:
            self._lines[classes] = deque(waiters)
        else:
            self._lines.pop(classes, None)


def seats(waiters: Sequence[Waiter], most: int) -> list[Waiter]:
    """Whose seats they are: one each for the first *most*, then second ones, and so on."""
    free = [waiter for waiter in waiters if waiter.free > 0][:most]
    owners, left = list(free), most - len(free)
    for round_ in range(1, max((waiter.free for waiter in free), default=0)):
        more = [waiter for waiter in free if waiter.free > round_][: max(left, 0)]
        owners += more
        left -= len(more)
    return owners


def oldest_first(waiters: Sequence[Waiter]) -> list[Waiter]:
    return sorted(waiters, key=_age)


def _age(waiter: Waiter) -> int:
    return waiter.number
