"""`why` on whole engines: what only a look at several servers, or at one that sleeps, can show."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from muster import Blueprint, Job, Next, finished
from muster.blueprint.registry import Registry
from muster.core.ids import JobId
from muster.engine.engine import Engine
from muster.engine.reasons import Code, Reason
from muster.engine.settings import EngineSettings
from muster.engine.views import JobOrder, Lease, TaskReport, WorkerDescription
from muster.errors import MusterError
from muster.observe.metrics import Metrics
from muster.store.base import Completed, Completion, Mode, Store

from tests.conftest import MakeDeployment
from tests.support.deployment import Backend
from tests.support.samples import fresh, item_of
from tests.support.waiting import eventually

TENANT, WORKER = "acme", "w1"
Start = Callable[..., Awaitable[Engine]]


def shop(version: int) -> Registry:
    made = Blueprint("shop", version=version)

    @made.start
    async def begin(job: Job) -> Next:
        return job.run("pack", {}, ok=send)

    @made.state
    async def send(job: Job) -> Next:
        return job.run("ship", {}, ok=finished)

    registry = Registry()
    registry.add(made)
    return registry


@pytest.fixture
async def stores(deploy: MakeDeployment, backend: Backend) -> tuple[Store, Store]:
    deployment = deploy(backend, partitions=2)
    return (await deployment.replica("r1")).store, (await deployment.replica("r2")).store


@pytest.fixture
async def start(stores: tuple[Store, Store]) -> AsyncIterator[Start]:
    """`start(number=0, version=1, delivery_lease_ms=5_000)`: an engine whose time stands still: it never ticks."""
    made: list[Engine] = []

    async def start_one(number: int = 0, version: int = 1, delivery_lease_ms: int = 5_000) -> Engine:
        chosen = EngineSettings(f"r{number + 1}", partitions=2, delivery_lease_ms=delivery_lease_ms)
        made.append(Engine(stores[number], shop(version), chosen, Metrics(version="0"), "secret"))
        return made[-1]

    yield start_one
    for engine in made:
        await engine.stop()


async def submit(engine: Engine) -> JobId:
    return (await engine.submit(JobOrder(TENANT, "shop", {}))).job_id


async def take(engine: Engine) -> Lease:
    await engine.register(WorkerDescription(WORKER, ("pack", "ship"), protocol=1))
    (lease,) = await engine.poll(WORKER, timeout_ms=5_000, max_tasks=1)
    return lease


async def only(engine: Engine, job: str) -> Reason:
    (reason,) = (await engine.why(TENANT, job)).reasons
    return reason


async def test_a_server_without_the_jobs_version_says_so_and_one_with_it_that_it_is_due(start: Start) -> None:
    old, new = await start(), await start(1, version=2)
    job = await submit(old)
    lease = await take(new)
    await new.report(TaskReport(job, lease.task_id, WORKER, "success", {}, attempt=1, fence=lease.fence), next_tasks=0)

    async def is_put_off() -> bool:
        return (await only(new, job)).code is Code.VERSION_MISSING

    await eventually(is_put_off)
    missing, due = await only(new, job), await only(old, job)
    (here,) = new.blueprints.versions("shop")
    assert here.startswith("2")
    assert missing.details["versions_here"] == [here]
    assert str(missing.details["version"]).startswith("1")
    assert due.code is Code.TURN_DUE
    assert due.until == missing.until is not None


async def test_a_turn_that_was_given_back_is_due_while_nobody_ticks(start: Start, stores: tuple[Store, Store]) -> None:
    engine = await start()
    job = await submit(engine)
    lease = await take(engine)
    end = Completion(job, 0, WORKER, Mode.DELIVER, item_of(0), "", fresh(), attempt=1, fence=lease.fence)
    reply = await stores[0].complete(end)
    assert isinstance(reply, Completed)
    running = await only(engine, job)
    assert (running.code, running.details) == (Code.TURN_RUNNING, {"failures": 0})
    await stores[0].defer(job, end.token, 0, failed=False)
    due = await only(engine, job)
    assert (due.code, due.until) == (Code.TURN_DUE, None)
    assert due.since is not None
    assert (await engine.why(TENANT, job)).at >= due.since


async def test_a_lease_that_ended_is_said_to_have(start: Start) -> None:
    engine = await start(delivery_lease_ms=1)
    job = await submit(engine)
    await take(engine)

    async def has_ended() -> bool:
        return "its lease ended" in (await only(engine, job)).text

    await eventually(has_ended)
    assert (await only(engine, job)).code is Code.TASK_RUNNING


async def test_all_partitions_are_one_line_and_one_fleet(start: Start) -> None:
    engine = await start()
    jobs = [await submit(engine) for _ in range(12)]
    await take(engine)
    reasons = [await only(engine, job) for job in jobs]
    assert sorted(reason.code for reason in reasons) == [Code.TASK_RUNNING, *[Code.WORKERS_BUSY] * 11]
    assert {reason.details["queued"] for reason in reasons if reason.code is Code.WORKERS_BUSY} == {11}
    (pack, ship) = await engine.wanted()
    assert (pack.task, pack.queued, pack.running, pack.slots, pack.wanted_workers) == ("pack", 11, 1, 1, 12)
    assert (ship.task, ship.queued, ship.running, ship.workers, ship.wanted_workers) == ("ship", 0, 0, 1, 0)


async def test_anothers_job_is_not_told_of(start: Start) -> None:
    engine = await start()
    job = await submit(engine)
    for tenant, asked in (("umbrella", job), (TENANT, "no id")):
        with pytest.raises(MusterError, match="Job not found"):
            await engine.why(tenant, asked)
