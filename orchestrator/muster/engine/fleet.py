"""Workers as this replica knows them: registrations, signs of life, live sockets."""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Final

from muster.core.matching import Requirement, meets
from muster.core.metering import price_micros
from muster.engine.classes import Classes
from muster.engine.reputation import Reputation
from muster.engine.views import CommandSocket, WorkerDescription, WorkerPatch, WorkerView
from muster.engine.worker_fields import (
    DISCONNECT,
    DRAINING,
    fields_of,
    patch_fields,
    says_nothing_new,
    worker_view,
)
from muster.errors import ErrorCode, MusterError
from muster.store.base import Store, StoreFull, StoreUnavailable
from muster.store.keys import short_hash

log = logging.getLogger("muster.fleet")

TOUCH_EVERY_S: Final = 5.0
TOUCH_MAX: Final = 500
FACTS_EVERY_S: Final = 10.0
"""How often a busy worker's unchanged description is written again."""
RESUME: Final = "resume"
RESIZE: Final = "resize"
REMEMBERED: Final = "on:"
"""Begins the fields of a worker that name the replicas which remember it."""


@dataclass(slots=True)
class Known:
    """What a poll or heartbeat needs to know of a worker without asking the store."""

    view: WorkerView
    classes: tuple[str, ...]
    refreshed_at: float
    written_at: float
    price: int = 0
    """Micros per second."""
    prices: Mapping[str, int] = field(default_factory=dict[str, int])
    """The same by task type, as plain classes, where that is not `price`."""

    @property
    def patient(self) -> bool:
        """It knows only the documented routes."""
        return self.view.protocol == 0


class Fleet:
    def __init__(
        self, store: Store, classes: Classes, *, replica: str, ttl_ms: int, slowed: Callable[[], None] = lambda: None
    ) -> None:
        self._store = store
        self._classes = classes
        self.reputation = Reputation(self._change, slowed)
        self.on_change: Callable[[str | None], None] = lambda _worker: None
        """A worker, or any, may take other classes than before."""
        self.on_recall: Callable[[str], None] = lambda _worker: None
        """What is known of a worker has to be read again."""
        self._around: list[WorkerView] = []
        """The fleet as last looked at."""
        self._replica = replica
        self._ttl_ms = ttl_ms
        self._known: dict[str, Known] = {}
        self._seen: set[str] = set()
        self._sockets: dict[str, CommandSocket] = {}
        self._here = {REMEMBERED + replica: "1"}

    def _change(self, worker_id: str) -> None:
        self.on_change(worker_id)

    # Registrations

    async def register(self, worker: WorkerDescription) -> None:
        fields = {**fields_of(worker), **self._here}
        before = await self._store.worker(worker.worker_id)
        await self._store.register(worker.worker_id, self._ttl_ms, fields)
        if (before or {}).get("order") == DISCONNECT:  # it came back
            await self._store.fleet.instruct(worker.worker_id, {"order": ""})
        await self._tell_others(worker.worker_id, before or {})
        stored = await self._store.worker(worker.worker_id)
        self._remember(worker.worker_id, stored or fields)

    async def known(self, worker_id: str) -> Known:
        """Raises: MusterError WORKER_NOT_FOUND for one that never registered, or whose registration ran out."""
        known = self._known.get(worker_id)
        now = asyncio.get_running_loop().time()
        if known is None or now - known.refreshed_at > self._ttl_ms / 2000:
            answer = await self._store.beat(worker_id, self._ttl_ms, self._here)
            if answer is None:
                self._known.pop(worker_id, None)
                raise worker_not_found(worker_id)
            known = self._remember(worker_id, answer[0])
        elif now - known.refreshed_at > self._ttl_ms / 4000:
            self._seen.add(worker_id)
        return known

    def _remember(self, worker_id: str, fields: Mapping[str, str]) -> Known:
        now = asyncio.get_running_loop().time()
        view, before = worker_view(fields), self._known.get(worker_id)
        if before is not None and before.view.offer == view.offer:
            classes = before.classes  # kept up to date as classes come and go: a match is not made at every beat
        else:
            classes = self._classes.of(view.offer, worker_id)
        price = price_micros(view.cost_per_second)
        asked = {short_hash(kind): price_micros(eur) for kind, eur in view.offer.prices.items()}
        prices = {cls: micros for cls, micros in asked.items() if micros != price}
        known = Known(view, classes, now, now, price, prices)
        self._known[worker_id] = known
        if view.slowed:
            self.reputation.hear(worker_id, fields["record"])
        if before is not None and (before.view.status == DRAINING) != (view.status == DRAINING):
            self.on_recall(worker_id)
        elif before is not None and before.classes != known.classes:
            self.on_change(worker_id)
        return known

    def open_classes(self, worker_id: str) -> tuple[str, ...] | None:
        """What the worker may take now: all of its classes, without those it is slowed at. None: it is not known."""
        known = self._known.get(worker_id)
        if known is None or known.view.status == DRAINING:
            return None
        closed = self.reputation.closed(worker_id)
        if not closed:
            return known.classes
        return tuple(cls for cls in known.classes if self.type_of(known, cls) not in closed)

    def type_of(self, known: Known, cls: str) -> str:
        requirement = self._classes.requirement(cls)
        if requirement is not None:
            return requirement.type
        return next((kind for kind in known.view.supported_tasks if short_hash(kind) == cls), "")

    def add_class(self, cls: str, requirement: Requirement) -> None:
        """A class is new here: workers who may do it stand in its line from now on."""
        names = self._known if requirement.worker is None else {requirement.worker} & self._known.keys()
        for name in list(names):
            known = self._known[name]
            if cls not in known.classes and meets(requirement, known.view.offer):
                known.classes = tuple(sorted((*known.classes, cls)))
                if requirement.worker is not None:
                    self.on_change(name)
        if requirement.worker is None:
            self.on_change(None)

    def sort_again(self) -> None:
        """Classes are gone."""
        for name, known in self._known.items():
            known.classes = self._classes.of(known.view.offer, name)
        self.on_change(None)

    async def look_up(self, worker_id: str) -> WorkerView | None:
        """A registered worker, known here or not."""
        if (known := self._known.get(worker_id)) is not None:
            return known.view
        fields = await self._store.worker(worker_id)
        return None if fields is None or "worker_id" not in fields else worker_view(fields)

    async def beat(self, worker_id: str, patch: WorkerPatch) -> tuple[Known, tuple[str, ...]]:
        """A heartbeat: the worker as it is now, and the tasks it should cancel.

        An SDK worker's heartbeat that says nothing new is answered from memory most of the time.
        """
        known = self._known.get(worker_id)
        now = asyncio.get_running_loop().time()
        fresh = known is not None and now - known.written_at < FACTS_EVERY_S
        if known is not None and fresh and not known.patient and says_nothing_new(known.view, patch):
            self._seen.add(worker_id)
            return known, ()
        answer = await self._store.beat(worker_id, self._ttl_ms, {**patch_fields(patch), **self._here})
        if answer is None:
            self._known.pop(worker_id, None)
            raise worker_not_found(worker_id)
        if known is None or not says_nothing_new(known.view, patch):
            await self._tell_others(worker_id, answer[0])
        return self._remember(worker_id, answer[0]), answer[1]

    async def _tell_others(self, worker_id: str, fields: Mapping[str, str]) -> None:
        """Replicas that remember the worker must not give it work by its old description."""
        replicas = {name.removeprefix(REMEMBERED) for name in fields if name.startswith(REMEMBERED)}
        for replica in replicas - {self._replica}:
            await self._store.publish(replica, f"w|{worker_id}")

    def changed_elsewhere(self, worker_id: str) -> None:
        """Another replica was told something new about the worker. Its polls must go by that."""
        if self._known.pop(worker_id, None) is not None:
            self.on_recall(worker_id)

    async def workers(self) -> list[WorkerView]:
        """All that are registered; how they did here is newer than what the store knows."""
        views = [worker_view(fields) for fields in await self._store.workers() if "worker_id" in fields]
        own = {view.worker_id: self.reputation.strikes(view.worker_id) for view in views}
        return [replace(view, slowed=own[view.worker_id]) if own[view.worker_id] else view for view in views]

    def forget(self) -> None:
        """After a flush: nobody is registered any more."""
        self._known.clear()
        self._seen.clear()

    async def run(self) -> None:
        """Write the signs of life that polls gave, many at a time."""
        while True:
            await asyncio.sleep(min(TOUCH_EVERY_S, self._ttl_ms / 8000))  # well within the shortest life
            try:
                await self.touch_seen()
                await self._tell_reputation()
                if self._classes.chosen:
                    await self.look_around()
            except (StoreUnavailable, StoreFull) as error:
                log.warning("touch_failed", extra={"error": str(error)})

    async def _tell_reputation(self) -> None:
        told, self.reputation.to_tell = self.reputation.to_tell, set()
        for worker_id in told:
            await self._store.fleet.instruct(worker_id, {"record": self.reputation.record(worker_id)})

    async def look_around(self) -> None:
        """The whole fleet, for choosing among it."""
        self._around = await self.workers()

    async def touch_seen(self) -> None:
        seen, self._seen = sorted(self._seen), set()
        now = asyncio.get_running_loop().time()
        for start in range(0, len(seen), TOUCH_MAX):
            chunk = seen[start : start + TOUCH_MAX]
            unknown = set(await self._store.touch(self._ttl_ms, chunk))
            for worker_id in chunk:
                if worker_id in unknown:
                    self._known.pop(worker_id, None)
                elif worker_id in self._known:
                    self._known[worker_id].refreshed_at = now

    # Orders

    async def order(self, worker_id: str, order: str, slots: int | None = None) -> WorkerView:
        """`drain`, `resume`, `disconnect` or `resize` to *slots*: kept, and sent to where its socket is.

        Raises: MusterError WORKER_NOT_FOUND.
        """
        change = {"order_slots": str(slots)} if order == RESIZE else {"order": "" if order == RESUME else order}
        fields = await self._store.fleet.instruct(worker_id, change)
        if fields is None or "worker_id" not in fields:
            raise worker_not_found(worker_id)
        if worker_id in self._known:
            self._remember(worker_id, fields)
            self.on_recall(worker_id)
        await self._tell_others(worker_id, fields)
        if not await self.send_order_here(worker_id, order, slots):
            replica = fields.get("socket", "")
            if replica and replica != self._replica:
                await self._store.publish(replica, f"o|{worker_id}|{order}|{slots or ''}")
        return worker_view(fields)

    async def send_order_here(self, worker_id: str, order: str, slots: int | None) -> bool:
        socket = self._sockets.get(worker_id)
        return socket is not None and await socket.send_order(order, slots)

    # Choosing

    def rank(self, cls: str, worker: str) -> float:
        """Less is better."""
        known = self._known.get(worker)
        return math.inf if known is None else self._rank_of(cls, known.view)

    def best_of_others(self, cls: str, here: AbstractSet[str]) -> float:
        requirement = self._classes.requirement(cls)
        if requirement is None:
            return math.inf
        views = {view.worker_id: view for view in self._around}
        views |= {name: known.view for name, known in self._known.items()}
        fit = (v for name, v in views.items() if name not in here and v.status != DRAINING and not v.slowed)
        return min((self._rank_of(cls, view) for view in fit if meets(requirement, view.offer)), default=math.inf)

    def _rank_of(self, cls: str, view: WorkerView) -> float:
        requirement = self._classes.requirement(cls)
        if requirement is None or requirement.choice is None:
            return 0.0
        usual_ms = self.reputation.usual_ms(view.worker_id, requirement.type)
        price = view.offer.price_of(requirement.type)
        match requirement.choice.policy:
            case "cheapest":
                return price
            case "fastest":
                return 0.0 if usual_ms is None else usual_ms  # one of whom nothing is known gets its chance
            case "best_value":
                return price * (0.0 if usual_ms is None else usual_ms)
            case _:
                return 0.0

    # Sockets

    async def attach(self, worker_id: str, socket: CommandSocket) -> None:
        known = await self.known(worker_id)
        previous = self._sockets.get(worker_id)
        self._sockets[worker_id] = socket
        if previous is not None:
            await previous.close_replaced()
        await self._store.beat(worker_id, self._ttl_ms, {"socket": self._replica})
        for task in await self._store.cancels(worker_id):
            await socket.send_cancel(task.partition(".")[0], task)
        view = known.view
        if view.order:
            await socket.send_order(view.order, None)
        if view.ordered_slots not in {None, view.max_concurrent_tasks}:
            await socket.send_order(RESIZE, view.ordered_slots)

    async def detach(self, worker_id: str, socket: CommandSocket) -> None:
        if self._sockets.get(worker_id) is socket:
            del self._sockets[worker_id]
            await self._store.beat(worker_id, self._ttl_ms, {"socket": ""})

    async def send_cancel(self, worker_id: str, task_id: str) -> bool:
        """Tell the worker, wherever its socket is. The note for its next heartbeat is left in any case."""
        await self._store.ask_cancel(worker_id, (task_id,))
        if await self.send_cancel_here(worker_id, task_id):
            return True
        fields = await self._store.worker(worker_id)
        replica = (fields or {}).get("socket", "")
        if not replica or replica == self._replica:
            return False
        return await self._store.publish(replica, f"x|{worker_id}|{task_id}")

    async def send_cancel_here(self, worker_id: str, task_id: str) -> bool:
        socket = self._sockets.get(worker_id)
        return socket is not None and await socket.send_cancel(task_id.partition(".")[0], task_id)


def worker_not_found(worker_id: str) -> MusterError:
    return MusterError(
        ErrorCode.WORKER_NOT_FOUND,
        f"worker {worker_id!r} is not registered",
        hint="POST /_worker/workers/register first; registrations end when no heartbeat or poll refreshes them",
    )
