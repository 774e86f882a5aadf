"""A deployment in one process: a replica that may die, and those that take over from it."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from unittest.mock import patch

import orjson
from muster.blueprint.registry import Registry
from muster.core import retry
from muster.engine import guard, ticker
from muster.engine.engine import Engine
from muster.engine.settings import EngineSettings
from muster.engine.views import Lease
from muster.errors import ErrorCode, MusterError
from muster.observe.metrics import Metrics
from muster.store import redis as redis_store
from muster.store.base import StoreUnavailable
from muster.store.keys import global_tag, partition_tags

from tests.chaos.crashing import CrashingStore, Point
from tests.support.dump import Dump, read_all
from tests.support.invariants import violations
from tests.support.servers import Server

FLOWS: Final = (Path(__file__).parents[1] / "system" / "flows.py", Path(__file__).with_name("flows.py"))
TENANT: Final = "acme"
QUICK: Final[dict[str, Any]] = {
    "registration_ttl_ms": 5_000,
    "lease_ms": 300,
    "delivery_lease_ms": 200,
    "cancel_grace_ms": 300,
    "task_timeout_ms": 5_000,
}
IN_FLIGHT_S: Final = 0.02
"""Commands that left before the death arrive within this time."""
T = TypeVar("T")


@contextmanager
def quick_leases() -> Iterator[None]:
    """Every wait of the engine as short as a sweep wants it."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(redis_store, "TURN_LEASE_MS", 250))
        stack.enter_context(patch.object(redis_store, "TICK_HOLD_MS", 200))
        stack.enter_context(patch.object(ticker, "TICK_EVERY_S", 0.05))
        stack.enter_context(patch.object(ticker, "SWEEP_EVERY_S", 0.2))
        stack.enter_context(patch.object(ticker, "AFTER_FAULT_S", 0.02))
        stack.enter_context(patch.object(retry, "_pause_ms", lambda *_: 60))
        stack.enter_context(patch.object(guard, "BLOCKED_MAX_S", 1e9))
        yield


def load_flows() -> Registry:
    registry = Registry()
    for place in FLOWS:
        registry.load(place)
    return registry


class Replica:
    def __init__(self, store: CrashingStore, engine: Engine) -> None:
        self.store = store
        self.engine = engine

    @property
    def died(self) -> asyncio.Event:
        return self.store.died

    async def close(self) -> None:
        """End it without a word: what its code awaits is cancelled, and nothing of that reaches the store."""
        self.died.set()
        await self.silence()
        await self.engine.stop()
        await self.store.close()

    async def silence(self) -> None:
        """Callers that give up may still start something, which hangs at the dead store."""
        while left := [t for t in asyncio.all_tasks() if _belongs_to(t, self.engine)]:
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)


def _belongs_to(task: "asyncio.Task[Any]", engine: Engine) -> bool:
    background = engine._background
    return task in background._tasks or task in background._loops


class World:
    """One namespace of its own on *server*. `ask` talks to whichever replica lives.

    The first replicas die at *points*, one each.
    """

    def __init__(self, server: Server, flows: Registry, points: Sequence[Point] = ()) -> None:
        self._server = server
        self._flows = flows
        self._points = points
        self._takeover = asyncio.Lock()
        self.namespace = "c" + secrets.token_hex(4)
        self.replicas: list[Replica] = []
        self.webhooks: list[tuple[str, dict[str, Any]]] = []
        self.set_aside: list[Lease] = []
        """Leases a worker let run out, to report on them all the same."""
        self.found: list[str] = []
        """What contradicts itself in the store, and when."""

    @property
    def live(self) -> Replica:
        return self.replicas[-1]

    @property
    def first(self) -> CrashingStore:
        return self.replicas[0].store

    async def start(self) -> Replica:
        name, holder = f"r{len(self.replicas) + 1}-{secrets.token_hex(2)}", list[Engine]()

        def on_message(partition: int, text: str) -> None:
            for engine in holder:
                engine.on_message(partition, text)

        number = len(self.replicas)
        point = self._points[number] if number < len(self._points) else None
        store = CrashingStore(
            self._server.url, point=point, namespace=self.namespace, replica=name, on_message=on_message
        )
        await store.open()
        store.armed = True
        settings = EngineSettings(replica=name, **QUICK)
        engine = Engine(store, self._flows, settings, Metrics(version="0"), "secret")
        engine._webhooks._post = self._take_webhook  # type: ignore[method-assign]
        holder.append(engine)
        engine.start()
        replica = Replica(store, engine)
        self.replicas.append(replica)
        return replica

    async def _take_webhook(self, message_id: str, envelope: dict[str, Any]) -> bool:
        self.webhooks.append((message_id, envelope["p"]))
        return True

    async def ask(self, request: Callable[[Engine], Awaitable[T]]) -> T:
        """The answer of a living replica; asked again where it died or its store was away, as every client does."""
        while True:
            replica = self.live
            answer, death = asyncio.ensure_future(request(replica.engine)), asyncio.ensure_future(replica.died.wait())
            try:
                await asyncio.wait({answer, death}, return_when=asyncio.FIRST_COMPLETED)
                if answer.done():
                    return answer.result()
                await _cancelled(answer)
                await self._replace(replica)
            except StoreUnavailable:
                await asyncio.sleep(0.005)
            except MusterError as error:
                if error.code is not ErrorCode.SHUTTING_DOWN:
                    raise
                await asyncio.sleep(0.005)
            finally:
                await _cancelled(answer, death)

    async def _replace(self, dead: Replica) -> None:
        async with self._takeover:
            if self.live is not dead:
                return
            await asyncio.sleep(IN_FLIGHT_S)
            self.found += [f"at the crash: {text}" for text in self.violations()]
            await dead.close()
            await self.start()

    def forget_worker(self, worker: str) -> None:
        """As if its registration had run out."""
        self._server.client.unlink(f"{global_tag(self.namespace)}w:{worker}")
        self.live.engine._fleet.forget()

    def dump(self) -> Dump:
        return Dump(
            {
                key: entry
                for tag in self._all_tags
                for key, entry in read_all(self._server.client, f"{tag}*").entries.items()
            }
        )

    def violations(self) -> list[str]:
        dump = self.dump()
        return [text for tag in self._all_tags for text in violations(dump.under(tag))]

    @property
    def tag(self) -> str:
        return partition_tags(self.namespace, 1)[0]

    @property
    def _all_tags(self) -> tuple[str, ...]:
        return (self.tag, global_tag(self.namespace))

    async def close(self) -> None:
        await self.live.close()
        for replica in self.replicas:
            await replica.silence()
        keys = [key for tag in self._all_tags for key in self._server.client.keys(f"{tag}*")]
        if keys:
            self._server.client.unlink(*keys)


async def _cancelled(*tasks: "asyncio.Future[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def event_of(entry: str) -> dict[str, Any]:
    """An entry of a stored history: `<ms>:<duration>|<blob>`."""
    found: dict[str, Any] = orjson.loads(entry.partition("|")[2])
    return found
