"""Several engines on one store in memory, without their loops, and jobs of one task each."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from muster import Blueprint, Job, Next, finished
from muster.blueprint.registry import Registry
from muster.engine.engine import Engine
from muster.engine.settings import EngineSettings
from muster.engine.views import JobOrder, Lease, ReportReply, TaskReport, WorkerDescription
from muster.observe.metrics import Metrics
from muster.store.memory import MemoryState, MemoryStore
from muster_worker.needs import Choose, Needs, Prefer

TENANT = "acme"


def placed() -> Blueprint[Any, Any]:
    """Runs tasks as its input says: `then` is the second one."""
    flow = Blueprint("placed")

    @flow.start
    async def first(job: Job) -> Next:
        return job.run(job.input.get("type", "render"), {}, ok=second, **_where(job.input.get("where", {})))

    @flow.state
    async def second(job: Job, result: dict[str, Any]) -> Next:
        if "then" not in job.input:
            return job.done(result)
        return job.run("render", {}, ok=finished, **_where(job.input["then"]))

    return flow


def _where(said: Mapping[str, Any]) -> Any:
    made = dict(said)
    if "needs" in made:
        made["needs"] = Needs(**made["needs"])
    if isinstance(made.get("prefer"), dict):
        made["prefer"] = Prefer(**made["prefer"])
    if isinstance(made.get("choose"), list):
        made["choose"] = Choose(*made["choose"])
    return made


@dataclass
class Fleet:
    """Workers of one test. `store.calls` counts commands."""

    state: MemoryState
    engines: list[Engine]
    stores: list["CountingStore"]
    polls: list[asyncio.Task[Any]] = field(default_factory=list[asyncio.Task[Any]])

    async def worker(
        self, name: str, engine: int = 0, *types: str, cost: float = 0.0, slots: int = 1, **facts: Any
    ) -> None:
        described = WorkerDescription(name, types or ("render",), slots, cost, protocol=1, facts=facts)
        await self.engines[engine].register(described)

    def poll(
        self, name: str, engine: int = 0, seconds: float = 5.0, most: int = 1
    ) -> "asyncio.Task[tuple[Lease, ...]]":
        waiting = self.engines[engine].poll(name, timeout_ms=round(seconds * 1000), max_tasks=most)
        task = asyncio.ensure_future(waiting)
        self.polls.append(task)
        return task

    async def start(self, engine: int = 0, **given: Any) -> str:
        order = JobOrder(TENANT, "placed", given)
        return (await self.engines[engine].submit(order)).job_id

    async def report(
        self, lease: Lease, name: str, engine: int = 0, status: str = "success", code: str = ""
    ) -> ReportReply:
        report = TaskReport(
            lease.job_id, lease.task_id, name, status, data={}, code=code, attempt=lease.attempt, fence=lease.fence
        )
        return await self.engines[engine].report(report, next_tasks=0)


class CountingStore(MemoryStore):
    """`claims` made, by class."""

    def __init__(self, state: MemoryState, **more: Any) -> None:
        super().__init__(state, **more)
        self.claims: list[tuple[str, ...]] = []

    async def claim(self, partition: int, claim: Any) -> Any:
        self.claims.append(claim.classes)
        return await super().claim(partition, claim)


@asynccontextmanager
async def fleet(replicas: int = 1, partitions: int = 1) -> AsyncIterator[Fleet]:
    state = MemoryState(partitions=partitions)
    made = Fleet(state, [], [])
    for number in range(replicas):
        engines: list[Engine] = []

        def hear(partition: int, text: str, engines: list[Engine] = engines) -> None:
            engines[0].on_message(partition, text)

        store = CountingStore(state, replica=f"r{number}", on_message=hear)
        registry = Registry()
        registry.add(placed())
        settings = EngineSettings(f"r{number}", heartbeat_ms=50, partitions=partitions)
        engine = Engine(store, registry, settings, Metrics(version="0"), "secret")
        engines.append(engine)
        await store.open()
        made.engines.append(engine)
        made.stores.append(store)
    try:
        yield made
    finally:
        for poll in made.polls:
            poll.cancel()
        await asyncio.gather(*made.polls, return_exceptions=True)
        for engine, store in zip(made.engines, made.stores, strict=True):
            await store.close()
            await engine.stop()
