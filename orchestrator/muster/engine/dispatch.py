"""Who waits for work, and how work finds them: the wake-up protocol of docs/architecture.md.

A poll stands in memory and costs no Redis command. A class of work is *registered* once a claim found too little of
it: the store then wakes this replica when a task of that class becomes ready. Otherwise the class is *maybe*: the
next waiting poll claims. One claim serves many polls at once, so a cancelled request never owns a write: those of all
lines whose *maybe* classes are the same. A class whose workers are chosen is claimed by itself (`choosing`).
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from muster.core.limits import SEATS_PER_CALL_MAX
from muster.engine.choosing import Choosing
from muster.engine.lines import Classes, Lines, Room, Waiter, oldest_first, seats
from muster.engine.nonces import nonce
from muster.store.base import Claim, Claimed, Seat, Store, StoreFull, StoreUnavailable

log = logging.getLogger("muster.dispatch")

REGISTRATION_S: Final = 600.0
"""A registration is renewed by a claim after this time, well before its key expires."""
RETRY_CLAIM_S: Final = 0.5
LAST_CLAIM_S: Final = 1.0
"""A poll whose time is over may still wait so long for the answer of a claim, so that a poll of 0 s finds work."""
ALONG_MAX: Final = 16
"""One in so many reports of a worker brings no task along. Such tasks are of the report's partition, and one backlog
there would keep the worker from the others; it asks all of them then."""
WORKERS_COUNTED_MAX: Final = 10_000

Spawn = Callable[[Coroutine[Any, Any, None]], object]
ClassesOf = Callable[[str], Classes | None]
"""What a worker may take now; None where nothing is known of it."""


@dataclass(slots=True)
class Reservation:
    """Seats for a claim that travels with another script, and whose they are."""

    claim: Claim
    owners: list[Waiter]
    rooms: list[list[Room]]
    """Of each seat's owner, what its task may take from; empty where no owner has any."""


class Dispatcher:
    def __init__(
        self,
        store: Store,
        *,
        replica: str,
        partitions: int,
        spawn: Spawn,
        history: bool,
        choosing: Choosing | None = None,
        classes_of: ClassesOf = lambda _worker: None,
    ) -> None:
        self._store = store
        self._replica = replica
        self._partitions = partitions
        self._spawn = spawn
        self._history = history
        self._choosing = choosing
        self._chosen = {} if choosing is None else choosing.classes
        self._classes_of = classes_of
        self._lines = Lines()
        self._registered: list[dict[str, float]] = [{} for _ in range(partitions)]
        self._wakes: list[dict[str, int]] = [{} for _ in range(partitions)]
        self._claiming: set[tuple[int, Classes]] = set()
        self._turn_of_class = 0
        self._first_partition = 0
        self._along: dict[str, int] = {}
        """By worker: reports since it was sent to ask all partitions."""
        self._pumping = False
        self._closed = False

    # Waiting

    async def wait(self, waiter: Waiter, timeout_ms: int) -> list[Claimed]:
        """Stand in line until there is work, for at most *timeout_ms*; [] then. A cancelled wait loses no task."""
        loop = asyncio.get_running_loop()
        waiter.future = loop.create_future()
        if not self._closed:
            self._lines.join(waiter)
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
        if not any(self._may_find(classes) for classes in waiter.stands):
            waiter.go_home()
            return
        waiter.late = True
        asyncio.get_running_loop().call_later(LAST_CLAIM_S, waiter.go_home)

    def _may_find(self, classes: Classes) -> bool:
        """Whether a claim for *classes* is under way, or about to be made."""
        if any(not set(listed).isdisjoint(classes) for _, listed in self._claiming):
            return True
        partitions = range(self._partitions)
        return any(self._maybe(number, classes) or self._due(number, classes) for number in partitions)

    def _due(self, partition: int, classes: Classes) -> bool:
        """Whether one of *classes* whose workers are chosen is about to be claimed."""
        return self._choosing is not None and any(
            cls in self._chosen and self._is_maybe(partition, cls) and not self._choosing.is_held(partition, cls)
            for cls in classes
        )

    def _send_late_home(self, listed: Classes) -> None:
        """After a claim: nothing is left to be found for those whose time is over."""
        for classes, line in self._lines:
            late = [waiter for waiter in line if waiter.late and not waiter.held]
            if late and not set(listed).isdisjoint(classes) and not self._may_find(classes):
                for waiter in late:
                    if len(waiter.stands) == 1 or not any(self._may_find(others) for others in waiter.stands):
                        waiter.go_home()

    def _leave(self, waiter: Waiter) -> None:
        waiter.gone = True
        self._lines.leave(waiter)

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
        return self._lines.waiting

    def close(self) -> None:
        """Send every waiting poll home; new ones are not kept."""
        self._closed = True
        for waiter in self._lines.everybody():
            waiter.go_home()

    def recall(self, worker: str | None = None) -> None:
        """Send home the waiting polls of a worker that may take nothing more; after a flush those of all workers."""
        for waiter in self._lines.everybody():
            if worker in {None, waiter.worker}:
                waiter.recalled = True
                waiter.go_home()

    def reline(self, worker: str | None = None) -> None:
        """What workers may take has changed, of one or of all: let their waiting polls stand where they belong."""
        if self._lines.move(lambda name: self._classes_of(name) if worker in {None, name} else None):
            self._schedule()

    def limit_to(self, waiter: Waiter, limits: Mapping[str, int]) -> None:
        """A worker whose poll waits would take more, or fewer, tasks of some types, by plain class."""
        waiter.limit_to(limits)
        self._lines.settle(waiter)
        self._schedule()

    # Waking

    def woken(self, partition: int, cls: str) -> None:
        """The store says: a task of this class became ready, and the wake-up is ours."""
        self._registered[partition].pop(cls, None)
        self._wakes[partition][cls] = self._wakes[partition].get(cls, 0) + 1
        if self._lines.serve(cls):
            self._schedule()
        elif not self._closed:
            self._spawn(self._pass_on(partition, cls))

    async def _pass_on(self, partition: int, cls: str) -> None:
        """Nobody waits here any more, or nobody good enough: let the next registered replica have the wake-up."""
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

    def _is_maybe(self, partition: int, cls: str) -> bool:
        return self._registered[partition].get(cls, 0.0) <= asyncio.get_running_loop().time()

    def _maybe(self, partition: int, classes: Classes) -> Classes:
        """Those to be claimed for whoever stands first in line."""
        registered, now = self._registered[partition], asyncio.get_running_loop().time()
        if not self._chosen:
            return tuple(cls for cls in classes if registered.get(cls, 0.0) <= now)
        return tuple(cls for cls in classes if registered.get(cls, 0.0) <= now and cls not in self._chosen)

    # Claiming

    def _schedule(self) -> None:
        if not self._pumping and self._lines:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = False
        for classes, line in self._lines.in_turn():
            if any(waiter.free_for(classes[0]) > 0 for waiter in line):
                for partition in self._in_turn():
                    self._claim_soon(partition, self._maybe(partition, classes))
        if self._chosen:
            self._pump_chosen()

    def _in_turn(self) -> list[int]:
        """All partitions, from the one on that follows where something was found last."""
        return [*range(self._first_partition, self._partitions), *range(self._first_partition)]

    def _claim_soon(self, partition: int, listed: Classes) -> None:
        if listed and (partition, listed) not in self._claiming:
            self._claiming.add((partition, listed))
            self._spawn(self._claim(partition, listed))

    async def _claim(self, partition: int, listed: Classes) -> None:
        """For all lines that want the same."""
        lines = {classes: line for classes, line in self._lines if self._maybe(partition, classes) == listed}
        same = [*lines.values()]
        waiters = same[0] if len(same) == 1 else oldest_first([waiter for line in same for waiter in line])
        owners = seats(waiters, SEATS_PER_CALL_MAX, listed[0])
        self._lines.served([*lines], owners)
        try:
            if owners:
                await self._claim_for(partition, self._rotated(listed), owners)
        except (StoreUnavailable, StoreFull) as error:
            log.warning("claim_failed", extra={"error": str(error)})
            await asyncio.sleep(RETRY_CLAIM_S)
        finally:
            self._claiming.discard((partition, listed))
            self._send_late_home(listed)
            self._schedule()

    async def _claim_for(self, partition: int, listed: Classes, owners: list[Waiter]) -> Sequence[Claimed]:
        before = {cls: self._wakes[partition].get(cls, 0) for cls in listed}
        reservation = self._reserve(listed, owners, register=True)
        claimed: Sequence[Claimed] = ()
        try:
            claimed = await self._store.claim(partition, reservation.claim)
        finally:
            self.deliver(reservation, claimed)
        if claimed:
            self._first_partition = (partition + 1) % self._partitions
        if len(claimed) < len(owners):
            self._note_registered(partition, listed, before)
        return claimed

    def _note_registered(self, partition: int, classes: Iterable[str], before: dict[str, int]) -> None:
        """The claim registered us, unless a wake-up overtook its reply on the other connection."""
        until = asyncio.get_running_loop().time() + REGISTRATION_S
        for cls in classes:
            if self._wakes[partition].get(cls, 0) == before[cls]:
                self._registered[partition][cls] = until

    def _rotated(self, classes: Classes) -> Classes:
        """Start with another class each time, so that none starves behind a busy one."""
        if len(classes) < 2:
            return classes
        self._turn_of_class = (self._turn_of_class + 1) % len(classes)
        return classes[self._turn_of_class :] + classes[: self._turn_of_class]

    # Choosing

    def _pump_chosen(self) -> None:
        served = {cls for classes, _ in self._lines for cls in classes if cls in self._chosen}
        for cls in served:
            for partition in self._in_turn():
                if self._is_maybe(partition, cls) and (partition, (cls,)) not in self._claiming:
                    self._choose(partition, cls)

    def _choose(self, partition: int, cls: str) -> None:
        assert self._choosing is not None, cls
        held = self._choosing.is_held(partition, cls)
        lines = (line for classes, line in self._lines if cls in classes)
        waiters = [waiter for line in lines for waiter in line if waiter.free_for(cls) > 0]
        if not waiters:
            return
        chosen = self._choosing.choose(partition, cls, waiters, SEATS_PER_CALL_MAX)
        if chosen.owners:
            self._claiming.add((partition, (cls,)))
            self._spawn(self._claim_chosen(partition, cls, chosen.owners))
        elif not held:
            self._spawn(self._pass_on(partition, cls))
            asyncio.get_running_loop().call_later(chosen.wait_s, self._schedule)

    async def _claim_chosen(self, partition: int, cls: str, owners: list[Waiter]) -> None:
        assert self._choosing is not None, cls
        try:
            owners = _still_free(owners, cls)
            if owners:
                claimed = await self._claim_for(partition, (cls,), owners)
                newest = min((task.waited_ms for task in claimed), default=0)
                self._choosing.served(partition, cls, newest if len(claimed) == len(owners) else None)
        except (StoreUnavailable, StoreFull) as error:
            log.warning("claim_failed", extra={"error": str(error)})
            await asyncio.sleep(RETRY_CLAIM_S)
        finally:
            self._claiming.discard((partition, (cls,)))
            self._send_late_home((cls,))
            self._schedule()

    # Seats

    def _reserve(self, classes: Classes, owners: list[Waiter], *, register: bool) -> Reservation:
        taken = tuple(
            Seat(w.worker, nonce(), w.lease_ms, w.patient, w.price, w.asks(classes) if w.prices else ()) for w in owners
        )
        rooms = [owner.rooms_of(classes) for owner in owners] if any(owner.rooms for owner in owners) else []
        for owner in owners:
            owner.held += 1
        for room in (room for seat in rooms for room in seat):
            room.used += 1
        return Reservation(Claim(self._replica, classes, taken, register, self._history), owners, rooms)

    def reserve_for(self, classes: Classes, count: int, first: Waiter | None) -> Reservation | None:
        """Seats for tasks about to become ready in *classes*; None where nobody here could take them.

        They are those of *first*, who may take any class of its own, else of waiters standing in one line. Classes
        whose workers are chosen get none: they are woken for.
        """
        if first is not None and first.free > 0:
            if self._moves_on(first.worker):
                return None
            mine = min(first.free, max(count, 1), SEATS_PER_CALL_MAX)
            may = self._unchosen(self._classes_of(first.worker) or first.classes)
            if first.rooms:
                mine, may = _within(first, mine, classes, may)
            listed = self._rotated(tuple(dict.fromkeys((*(c for c in classes if c in may), *may))))
            return self._reserve(listed, [first] * mine, register=False) if listed else None
        classes = self._unchosen(classes)
        if count <= 0 or not classes:
            return None
        for line_classes, line in self._lines:
            served = tuple(cls for cls in classes if cls in line_classes)
            if served:
                owners = seats(line, min(count, SEATS_PER_CALL_MAX), served[0])
                if owners:
                    return self._reserve(served, owners, register=False)
        return None

    def _moves_on(self, worker: str) -> bool:
        """Whether a worker is to ask all partitions, instead of taking tasks along from one."""
        if self._partitions == 1:
            return False
        if len(self._along) > WORKERS_COUNTED_MAX:
            self._along.clear()
        count = self._along[worker] = (self._along.get(worker, 0) + 1) % ALONG_MAX
        return count == 0

    def _unchosen(self, classes: Classes) -> Classes:
        return tuple(cls for cls in classes if cls not in self._chosen) if self._chosen else classes

    def deliver(self, reservation: Reservation, claimed: Sequence[Claimed]) -> None:
        """Hand what a claim got to the seats' owners, or back where one has gone. Once for every reservation."""
        for owner in reservation.owners:
            owner.held -= 1
        if reservation.rooms:
            taken = {task.seat for task in claimed}
            for room in (room for i, seat in enumerate(reservation.rooms) if i not in taken for room in seat):
                room.used -= 1
        for task in claimed:
            owner, fence = reservation.owners[task.seat], reservation.claim.seats[task.seat].fence
            if owner.gone:
                self._spawn(self._release(task, fence))
                continue
            owner.got.append(task)
            owner.fences.append(fence)
            owner.go_home()


def _within(waiter: Waiter, most: int, wanted: Classes, may: Classes) -> tuple[int, Classes]:
    """How many of *most* seats, and for which of the classes: any of the seats may take a task of any of them."""
    rooms = [waiter.free_for(cls) for cls in wanted if cls in may and waiter.free_for(cls) > 0]
    count = min(most, max(rooms, default=most))
    return count, tuple(cls for cls in may if waiter.free_for(cls) >= count)


def _still_free(owners: Sequence[Waiter], cls: str) -> list[Waiter]:
    """Some may have got something else meanwhile."""
    given = Counter[Waiter]()
    kept: list[Waiter] = []
    for owner in owners:
        given[owner] += 1
        if given[owner] <= owner.free_for(cls):
            kept.append(owner)
    return kept
