"""Workers as this replica knows them: registrations, signs of life, live sockets."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from muster.core.ids import UnixMs
from muster.core.metering import price_micros
from muster.engine.views import CommandSocket, WorkerDescription, WorkerPatch, WorkerView
from muster.errors import ErrorCode, MusterError
from muster.store.base import Store, StoreFull, StoreUnavailable
from muster.store.keys import short_hash

log = logging.getLogger("muster.fleet")

TOUCH_EVERY_S: Final = 5.0
TOUCH_MAX: Final = 500
FACTS_EVERY_S: Final = 10.0
"""How often a busy worker's unchanged description is written again."""
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

    @property
    def patient(self) -> bool:
        """It knows only the documented routes."""
        return self.view.protocol == 0


class Fleet:
    def __init__(self, store: Store, *, replica: str, ttl_ms: int) -> None:
        self._store = store
        self._replica = replica
        self._ttl_ms = ttl_ms
        self._known: dict[str, Known] = {}
        self._seen: set[str] = set()
        self._sockets: dict[str, CommandSocket] = {}
        self._here = {REMEMBERED + replica: "1"}

    # Registrations

    async def register(self, worker: WorkerDescription) -> None:
        fields = {
            "worker_id": worker.worker_id,
            "supported_tasks": _json(list(worker.supported_tasks)),
            "max_concurrent_tasks": str(worker.max_concurrent_tasks),
            "cost_per_second": str(worker.cost_per_second),
            "protocol": str(worker.protocol),
            "facts": _json(dict(worker.facts)),
            "status": "idle",
            "load": "0",
            "current_tasks": "[]",
            **self._here,
        }
        before = await self._store.worker(worker.worker_id)
        await self._store.register(worker.worker_id, self._ttl_ms, fields)
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
        view = worker_view(fields)
        known = Known(
            view,
            tuple(sorted(short_hash(task) for task in view.supported_tasks)),
            now,
            now,
            price_micros(view.cost_per_second),
        )
        self._known[worker_id] = known
        return known

    async def beat(self, worker_id: str, patch: WorkerPatch) -> tuple[Known, tuple[str, ...]]:
        """A heartbeat: the worker as it is now, and the tasks it should cancel.

        An SDK worker's heartbeat that says nothing new is answered from memory most of the time.
        """
        known = self._known.get(worker_id)
        now = asyncio.get_running_loop().time()
        fresh = known is not None and now - known.written_at < FACTS_EVERY_S
        if known is not None and fresh and not known.patient and _says_nothing_new(known.view, patch):
            self._seen.add(worker_id)
            return known, ()
        answer = await self._store.beat(worker_id, self._ttl_ms, {**_patch_fields(patch), **self._here})
        if answer is None:
            self._known.pop(worker_id, None)
            raise worker_not_found(worker_id)
        if known is None or not _says_nothing_new(known.view, patch):
            await self._tell_others(worker_id, answer[0])
        return self._remember(worker_id, answer[0]), answer[1]

    async def _tell_others(self, worker_id: str, fields: Mapping[str, str]) -> None:
        """Replicas that remember the worker must not give it work by its old description."""
        replicas = {name.removeprefix(REMEMBERED) for name in fields if name.startswith(REMEMBERED)}
        for replica in replicas - {self._replica}:
            await self._store.publish(replica, f"w|{worker_id}")

    def changed_elsewhere(self, worker_id: str) -> None:
        """Another replica was told something new about the worker."""
        self._known.pop(worker_id, None)

    async def workers(self) -> list[WorkerView]:
        return [worker_view(fields) for fields in await self._store.workers()]

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
            except (StoreUnavailable, StoreFull) as error:
                log.warning("touch_failed", extra={"error": str(error)})

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

    # Sockets

    async def attach(self, worker_id: str, socket: CommandSocket) -> None:
        await self.known(worker_id)
        previous = self._sockets.get(worker_id)
        self._sockets[worker_id] = socket
        if previous is not None:
            await previous.close_replaced()
        await self._store.beat(worker_id, self._ttl_ms, {"socket": self._replica})
        for task in await self._store.cancels(worker_id):
            await socket.send_cancel(task.partition(".")[0], task)

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


def worker_view(fields: Mapping[str, str]) -> WorkerView:
    facts: dict[str, Any] = orjson.loads(fields.get("facts", "{}"))
    return WorkerView(
        worker_id=fields["worker_id"],
        worker_type=facts.get("worker_type"),
        supported_tasks=tuple(orjson.loads(fields["supported_tasks"])),
        status=fields["status"],
        load=float(fields["load"]),
        current_tasks=tuple(orjson.loads(fields["current_tasks"])),
        max_concurrent_tasks=int(fields["max_concurrent_tasks"]),
        cost_per_second=float(fields["cost_per_second"]),
        resources=orjson.loads(fields["resources"]) if "resources" in fields else facts.get("resources", {}),
        capabilities=facts.get("capabilities", {}),
        registered_at=UnixMs(int(fields.get("registered_at", 0))),
        last_seen_at=UnixMs(int(fields.get("last_seen_at", 0))),
        protocol=int(fields["protocol"]),
        runtimes=tuple(facts.get("runtimes", ())),
    )


def _patch_fields(patch: WorkerPatch) -> dict[str, str]:
    fields: dict[str, str] = {}
    if patch.status is not None:
        fields["status"] = patch.status
    for name in ("load", "max_concurrent_tasks", "cost_per_second"):
        value = getattr(patch, name)
        if value is not None:
            fields[name] = str(value)
    for name in ("supported_tasks", "current_tasks", "resources"):
        value = getattr(patch, name)
        if value is not None:
            fields[name] = _json(value if isinstance(value, Mapping) else list(value))
    return fields


def _says_nothing_new(view: WorkerView, patch: WorkerPatch) -> bool:
    """Apart from the list of running tasks, which changes all the time and may be some seconds old."""
    names = ("status", "supported_tasks", "max_concurrent_tasks", "cost_per_second", "resources")
    return all(getattr(patch, name) in (None, getattr(view, name)) for name in names)


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
