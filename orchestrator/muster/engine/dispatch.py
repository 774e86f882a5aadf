"""Who waits for work, and how work finds them: the wake-up protocol of docs/architecture.md.

A poll stands in memory and costs no Redis command. A class of work is *registered* once a claim found too little of
it: the store then wakes this replica when a task of that class becomes ready. Otherwise the class is *maybe*: the
next waiting poll claims. One claim serves many polls at once, so a cancelled request never owns a write.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from muster.core.limits import CLAIM_MAX
from muster.engine.nonces import nonce
from muster.store.base import Claim, Claimed, Seat, Store, StoreFull, StoreUnavailable

log = logging.getLogger("muster.dispatch")

REGISTRATION_S: Final = 600.0
"""A registration is renewed by a claim after this time, well before its key expires."""
RETRY_CLAIM_S: Final = 0.5
LAST_CLAIM_S: Final = 1.0
"""A poll whose time is over may still wait so long for the answer of a claim, so that a poll of 0 s finds work."""

Spawn = Callable[[Coroutine[Any, Any, None]], object]


@dataclass(slots=True, eq=False)
class Waiter:
    """One poll, or the free slots of a worker that reports a result. `instant` ones never stand in line."""

    worker: str
    classes: tuple[str, ...]
    wanted: int
    lease_ms: int
    patient: bool
    price: int = 0
    """Micros per second of the worker's time."""
    future: "asyncio.Future[None] | None" = None
    got: list[Claimed] = field(default_factory=list[Claimed])
    fences: list[str] = field(default_factory=list[str])
    held: int = 0
    """Seats in claims under way; counted, so that no seat is given out twice."""
    gone: bool = False
    late: bool = False
    """Its time is over: it goes home once no claim can bring it anything."""
    recalled: bool = False
    """Sent home before its time, because its worker may not be registered any more."""

    @property
    def free(self) -> int:
        return 0 if self.gone else self.wanted - len(self.got) - self.held


@dataclass(slots=True)
class Reservation:
    """Seats for a claim that travels with another script, and whose they are."""

    claim: Claim
    owners: list[Waiter]


class Dispatcher:
    def __init__(self, store: Store, *, replica: str, partitions: int, spawn: Spawn, history: bool) -> None:
        self._store = store
        self._replica = replica
        self._partitions = partitions
        self._spawn = spawn
        self._history = history
        self._lines: dict[tuple[str, ...], deque[Waiter]] = {}
        self._registered: list[dict[str, float]] = [{} for _ in range(partitions)]
        self._wakes: list[dict[str, int]] = [{} for _ in range(partitions)]
        self._claiming: set[tuple[int, tuple[str, ...]]] = set()
        self._turn_of_class = 0
        self._pumping = False
        self._closed = False

    # Waiting

    async def wait(self, waiter: Waiter, timeout_ms: int) -> list[Claimed]:
        """Stand in line until there is work, for at most *timeout_ms*; [] then. A cancelled wait loses no task."""
        loop = asyncio.get_running_loop()
        waiter.future = loop.create_future()
        if not self._closed:
            self._lines.setdefault(waiter.classes, deque()).append(waiter)
            self._schedule()
            timer = loop.call_later(timeout_ms / 1000, self._out_of_time, waiter)
            try:
                await waiter.future
            except asyncio.CancelledError:
                self._leave(waiter)
                self.give_back(waiter)
                raise
            finally:
                timer.cancel()
        self._leave(waiter)
        return waiter.got

    def _out_of_time(self, waiter: Waiter) -> None:
        assert waiter.future is not None, waiter.worker
        if not self._may_find(waiter.classes):
            _resolve(waiter.future)
            return
        waiter.late = True
        asyncio.get_running_loop().call_later(LAST_CLAIM_S, _resolve, waiter.future)

    def _may_find(self, classes: tuple[str, ...]) -> bool:
        """Whether a claim for *classes* is under way, or about to be made."""
        partitions = range(self._partitions)
        return any((number, classes) in self._claiming or self._maybe(number, classes) for number in partitions)

    def _send_late_home(self, classes: tuple[str, ...]) -> None:
        """After a claim: nothing is left to be found for those whose time is over."""
        late = [waiter for waiter in self._lines.get(classes, ()) if waiter.late and not waiter.held]
        if late and not self._may_find(classes):
            for waiter in late:
                if waiter.future is not None:
                    _resolve(waiter.future)

    def _leave(self, waiter: Waiter) -> None:
        waiter.gone = True
        line = self._lines.get(waiter.classes)
        if line is not None:
            if waiter in line:
                line.remove(waiter)
            if not line:
                del self._lines[waiter.classes]

    def give_back(self, waiter: Waiter) -> None:
        """Put tasks back that nobody will fetch."""
        for task, fence in zip(waiter.got, waiter.fences, strict=True):
            self._spawn(self._release(task, fence))
        waiter.got, waiter.fences = [], []

    async def _release(self, task: Claimed, fence: str) -> None:
        try:
            await self._store.release(task.task, task.attempt, fence)
        except StoreUnavailable as error:
            log.warning("release_failed", extra={"task_id": task.task, "error": str(error)})

    @property
    def waiting(self) -> int:
        return sum(len(line) for line in self._lines.values())

    def close(self) -> None:
        """Send every waiting poll home; new ones are not kept."""
        self._closed = True
        for line in list(self._lines.values()):
            for waiter in line:
                if waiter.future is not None:
                    _resolve(waiter.future)

    def recall(self) -> None:
        """After a flush: send every waiting poll home, so that its worker learns that it must register again."""
        for line in self._lines.values():
            for waiter in line:
                waiter.recalled = True
                if waiter.future is not None:
                    _resolve(waiter.future)

    # Waking

    def woken(self, partition: int, cls: str) -> None:
        """The store says: a task of this class became ready, and the wake-up is ours."""
        self._registered[partition].pop(cls, None)
        self._wakes[partition][cls] = self._wakes[partition].get(cls, 0) + 1
        if any(cls in classes for classes in self._lines):
            self._schedule()
        elif not self._closed:
            self._spawn(self._pass_on(partition, cls))

    async def _pass_on(self, partition: int, cls: str) -> None:
        """Nobody waits here any more: let the next registered replica have the wake-up."""
        try:
            await self._store.claim(partition, Claim(self._replica, (cls,), (), register=True, history=self._history))
        except (StoreUnavailable, StoreFull):
            self.forget_registrations()

    def forget_registrations(self) -> None:
        """After a lost connection no registration can be trusted: everything is *maybe* again."""
        for registered in self._registered:
            registered.clear()
        self._schedule()

    def seen_ready(self, partition: int, classes: Iterable[str]) -> None:
        """The sweep saw ready tasks: wake-ups for them may have been lost."""
        for cls in classes:
            self._registered[partition].pop(cls, None)
        self._schedule()

    def _maybe(self, partition: int, classes: Sequence[str]) -> tuple[str, ...]:
        registered, now = self._registered[partition], asyncio.get_running_loop().time()
        return tuple(cls for cls in classes if registered.get(cls, 0.0) <= now)

    # Claiming

    def _schedule(self) -> None:
        if not self._pumping and self._lines:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = False
        for classes, line in self._lines.items():
            for partition in range(self._partitions):
                key = (partition, classes)
                if key in self._claiming or not any(waiter.free > 0 for waiter in line):
                    continue
                if self._maybe(partition, classes):
                    self._claiming.add(key)
                    self._spawn(self._claim(partition, classes))

    async def _claim(self, partition: int, classes: tuple[str, ...]) -> None:
        listed = self._rotated(self._maybe(partition, classes))
        owners = self._seat_owners(classes, CLAIM_MAX)
        try:
            if owners and listed:
                await self._claim_for(partition, listed, owners)
        except (StoreUnavailable, StoreFull) as error:
            log.warning("claim_failed", extra={"error": str(error)})
            await asyncio.sleep(RETRY_CLAIM_S)
        finally:
            self._claiming.discard((partition, classes))
            self._send_late_home(classes)
            self._schedule()

    async def _claim_for(self, partition: int, listed: tuple[str, ...], owners: list[Waiter]) -> None:
        before = {cls: self._wakes[partition].get(cls, 0) for cls in listed}
        reservation = self._reserve(listed, owners, register=True)
        claimed: Sequence[Claimed] = ()
        try:
            claimed = await self._store.claim(partition, reservation.claim)
        finally:
            self.deliver(reservation, claimed)
        if len(claimed) < len(owners):
            self._note_registered(partition, listed, before)

    def _note_registered(self, partition: int, classes: Iterable[str], before: dict[str, int]) -> None:
        """The claim registered us, unless a wake-up overtook its reply on the other connection."""
        until = asyncio.get_running_loop().time() + REGISTRATION_S
        for cls in classes:
            if self._wakes[partition].get(cls, 0) == before[cls]:
                self._registered[partition][cls] = until

    def _rotated(self, classes: tuple[str, ...]) -> tuple[str, ...]:
        """Start with another class each time, so that none starves behind a busy one."""
        if len(classes) < 2:
            return classes
        self._turn_of_class = (self._turn_of_class + 1) % len(classes)
        return classes[self._turn_of_class :] + classes[: self._turn_of_class]

    def _seat_owners(self, classes: tuple[str, ...], count: int) -> list[Waiter]:
        """One seat each for the oldest waiters, then second seats, up to *count*."""
        waiters = [w for w in self._lines.get(classes, ()) if w.free > 0][:count]
        owners, left = list(waiters), count - len(waiters)
        for round_ in range(1, max((w.free for w in waiters), default=0)):
            more = [w for w in waiters if w.free > round_][: max(left, 0)]
            owners += more
            left -= len(more)
        return owners

    def _reserve(self, classes: tuple[str, ...], owners: list[Waiter], *, register: bool) -> Reservation:
        seats = tuple(Seat(w.worker, nonce(), w.lease_ms, w.patient, w.price) for w in owners)
        for owner in owners:
            owner.held += 1
        return Reservation(Claim(self._replica, classes, seats, register, self._history), owners)

    def reserve_for(self, classes: tuple[str, ...], count: int, first: Waiter | None) -> Reservation | None:
        """Seats for tasks about to become ready in *classes*; None where nobody here could take them.

        They are those of *first*, who may take any class of its own, else of waiters standing in one line.
        """
        if first is not None and first.free > 0:
            mine = min(first.free, max(count, 1), CLAIM_MAX)
            listed = self._rotated(tuple(dict.fromkeys((*(c for c in classes if c in first.classes), *first.classes))))
            return self._reserve(listed, [first] * mine, register=False)
        if count <= 0 or not classes:
            return None
        for line in self._lines:
            served = tuple(cls for cls in classes if cls in line)
            if served:
                owners = self._seat_owners(line, min(count, CLAIM_MAX))
                if owners:
                    return self._reserve(served, owners, register=False)
        return None

    def deliver(self, reservation: Reservation, claimed: Sequence[Claimed]) -> None:
        """Hand what a claim got to the seats' owners, or back where one has gone. Once for every reservation."""
        for owner in reservation.owners:
            owner.held -= 1
        for task in claimed:
            owner, fence = reservation.owners[task.seat], reservation.claim.seats[task.seat].fence
            if owner.gone:
                self._spawn(self._release(task, fence))
                continue
            owner.got.append(task)
            owner.fences.append(fence)
            if owner.future is not None:
                _resolve(owner.future)


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
