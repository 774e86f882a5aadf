"""What `why` says of tasks behind limits: from facts, and of real jobs on every store."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from muster import Blueprint, Job, Next, finished
from muster.blueprint.registry import Registry
from muster.core.flow import Limit, Scope
from muster.core.ids import JobId, TaskId
from muster.core.status import TaskStatus
from muster.engine.engine import Engine
from muster.engine.reasons import Code, Facts, Reason
from muster.engine.settings import EngineSettings
from muster.engine.views import JobOrder, Lease, WorkerDescription
from muster.engine.why import reasons_of
from muster.observe.metrics import Metrics
from muster.store.standing import ShutGate, StandingTask

from tests.conftest import MakeDeployment
from tests.engine.test_why import RUN, at, facts, only, worker
from tests.support.deployment import Backend

TASK = TaskId("a.0")
HOUR_MS = 3_600_000


def behind(*gates: tuple[ShutGate, Limit | None], offered: bool = True) -> Facts:
    """A ready task that stands under *gates*, all shut."""
    names = tuple(gate.name for gate, _ in gates)
    task = StandingTask(0, TaskStatus.READY, "resize", 0, since=at(-12), before=3, shut=names)
    limits = {gate.name: limit for gate, limit in gates if limit is not None}
    found = facts(RUN, task, limits=limits, workers=(worker("w1", "resize"),) if offered else ())
    return replace(found, standing=replace(found.standing, gates=tuple(gate for gate, _ in gates)))


# From facts


def test_a_full_limit_tells_how_full_and_who_holds_it_where_that_is_no_secret() -> None:
    found = only(behind((ShutGate("t:x", 1, (TASK,), most=1), Limit(Scope.TENANT, "acme", max=1))))
    assert found.code is Code.LIMIT_FULL
    assert found.text == "the limit of tenant 'acme' is full: 1 of 1 run, held by a.0"
    assert (found.details["running"], found.details["max"], found.details["held_by"]) == (1, 1, ["a.0"])
    others = only(behind((ShutGate("*", 1, (TASK,), most=1), Limit(Scope.GLOBAL, "*", max=1))))
    assert others.text == "the limit of everything is full: 1 of 1 run"
    assert others.details["held_by"] is None


def test_a_share_of_a_limit_says_of_what_it_is_one() -> None:
    found = only(behind((ShutGate("*", 2, most=2), Limit(Scope.GLOBAL, "*", max=7))))
    assert found.text == "the limit of everything is full: 2 of 2 run, which is this partition's share of 7"
    assert (found.details["share"], found.details["max"]) == (2, 7)


def test_a_new_limit_is_being_counted() -> None:
    found = only(behind((ShutGate("*", most=7, counting=True), Limit(Scope.GLOBAL, "*", max=7))))
    assert (found.code, "is being counted" in found.text) == (Code.LIMIT_FULL, True)


def test_a_rate_says_when_the_next_one_may_start_as_a_moment_and_in_seconds() -> None:
    limit = Limit(Scope.KEY, "site:*", "acme", rate=1, per_ms=2000, burst=5)
    found = only(behind((ShutGate("k:a.b", opens_at=at(1.5)), limit)))
    assert (found.code, found.until) == (Code.LIMIT_RATE, at(1.5))
    assert found.text == (
        "the limit of each key 'site:*' lets the next task start in 1s: its rate of 1 per 2s is used up, "
        "and 3 tasks are in line before it"
    )
    assert found.details["opens_in_seconds"] == 1.5
    assert (found.details["rate"], found.details["per_seconds"], found.details["burst"]) == (1, 2.0, 5)


def test_a_rate_keeps_its_moment_where_the_task_fails_for_waiting_too_long() -> None:
    found = behind((ShutGate("*", opens_at=at(1)), Limit(Scope.GLOBAL, "*", rate=1, per_ms=2000)))
    task = replace(found.standing.tasks[0], fails_at=at(9))
    told = only(replace(found, standing=replace(found.standing, tasks=(task,))))
    assert told.until == at(1)
    assert "if nobody fetches it within 9s, it has failed" in told.text


def test_a_pause_says_what_is_paused_and_what_ends_it() -> None:
    shut = ShutGate("c:x", most=0)
    queue = only(behind((shut, Limit(Scope.TASK, "resize", max=3, paused=True))))
    assert (queue.code, queue.text) == (Code.LIMIT_PAUSED, "the task 'resize' waits: queue 'resize' is paused")
    assert queue.details["command"] == "muster queue resume resize"
    assert queue.details["resume"] == "POST /api/v1/queues/resize/resume"
    blueprint = only(behind((shut, Limit(Scope.BLUEPRINT, "orders", paused=True))))
    assert blueprint.details["command"] == "muster blueprint resume orders"
    assert blueprint.details["resume"] == "POST /api/v1/blueprints/orders/resume"
    nothing = only(behind((shut, Limit(Scope.KEY, "site:*", "acme", max=0))))
    assert nothing.text == "the task 'resize' waits: the limit of each key 'site:*' is 0, so nothing of it starts"
    assert nothing.details["command"] == "muster limit rm key 'site:*'"


def test_a_limit_that_was_lifted_in_between_is_told_all_the_same() -> None:
    for gate in (ShutGate("*", 1, most=1), ShutGate("*", most=0), ShutGate("*", opens_at=at(1))):
        assert "a limit that has just been lifted" in only(behind((gate, None))).text


def test_all_limits_that_are_in_the_way_are_told_pauses_first_and_then_that_nobody_offers_the_task() -> None:
    gates = [
        (ShutGate("w:job.1.2", 2, (TASK,), most=2), None),
        (ShutGate("*", opens_at=at(3)), Limit(Scope.GLOBAL, "*", rate=1, per_ms=1000)),
        (ShutGate("t:x", 1, (TASK,), most=1), Limit(Scope.TENANT, "acme", max=1)),
        (ShutGate("c:x", most=0), Limit(Scope.TASK, "resize", paused=True)),
    ]
    codes = [reason.code for reason in reasons_of(behind(*gates, offered=False))]
    assert codes == [Code.LIMIT_PAUSED, Code.LIMIT_FULL, Code.LIMIT_RATE, Code.FAN_FULL, Code.NO_WORKER]


# Of real jobs


@dataclass
class Site:
    engine: Engine

    async def start(self, count: int = 1, key: str = "", **plan: Any) -> JobId:
        order = JobOrder("acme", "shop", {"count": count, "key": key, **plan})
        return (await self.engine.submit(order)).job_id

    async def take(self, count: int = 1) -> list[Lease]:
        await self.engine.register(WorkerDescription("w1", ("pack",), protocol=1, max_concurrent_tasks=9))
        return list(await self.engine.poll("w1", timeout_ms=0, max_tasks=count))

    async def limit(self, scope: Scope, name: str, **values: Any) -> None:
        await self.engine.limits.put(Limit(scope, name, "acme" if scope is Scope.KEY else "", **values))

    async def why(self, job: JobId) -> list[Reason]:
        return list((await self.engine.why("acme", job)).reasons)

    async def waits(self, job: JobId) -> Reason:
        """Why its ready tasks are not running."""
        return next(reason for reason in await self.why(job) if reason.code is not Code.TASK_RUNNING)


def shop() -> Registry:
    made = Blueprint("shop", version=1)

    @made.start
    async def begin(job: Job) -> Next:
        plan: Any = job.input
        if plan["count"] == 1:
            return job.run("pack", {}, ok=finished, key=plan["key"])
        keys = plan.get("keys")
        key = (lambda number: str(keys[number])) if keys else ""
        return job.map("pack", list(range(plan["count"])), ok=finished, key=key, at_once=plan.get("at_once"))

    registry = Registry()
    registry.add(made)
    return registry


@pytest.fixture
async def site(deploy: MakeDeployment, backend: Backend) -> AsyncIterator[Site]:
    store = (await deploy(backend).replica("r1")).store
    engine = Engine(store, shop(), EngineSettings("r1"), Metrics(version="0"), "secret")
    yield Site(engine)
    await engine.stop()


@pytest.mark.parametrize(
    ("scope", "name"),
    [
        (Scope.GLOBAL, "*"),
        (Scope.TENANT, "acme"),
        (Scope.TASK, "pack"),
        (Scope.BLUEPRINT, "shop"),
        (Scope.KEY, "site:a"),
        (Scope.KEY, "site:*"),
    ],
)
async def test_the_limit_that_is_full_is_named_whatever_it_is_of(site: Site, scope: Scope, name: str) -> None:
    await site.limit(scope, name, max=1)
    runs, waits = await site.start(key="site:a"), await site.start(key="site:a")
    (lease,) = await site.take(2)
    assert lease.task_id.startswith(runs)
    found = await site.waits(waits)
    assert (found.code, found.details["scope"], found.details["name"]) == (Code.LIMIT_FULL, scope, name)
    assert (found.details["running"], found.details["max"]) == (1, 1)
    own = scope in {Scope.TENANT, Scope.KEY}
    assert found.details["held_by"] == ([lease.task_id] if own else None)
    await site.engine.limits.drop(Limit(scope, name, "acme" if scope is Scope.KEY else ""))
    assert (await site.waits(waits)).code is Code.WORKER_FREE


async def test_a_keys_own_limit_comes_before_that_of_its_group(site: Site) -> None:
    await site.limit(Scope.KEY, "site:*", max=9)
    await site.limit(Scope.KEY, "site:a", max=1)
    jobs = [await site.start(key="site:a") for _ in range(2)]
    await site.take(2)
    found = await site.waits(jobs[1])
    assert (found.details["name"], found.details["max"]) == ("site:a", 1)


async def test_of_a_rate_it_says_when_the_next_one_may_start_and_then_it_may(site: Site) -> None:
    await site.limit(Scope.KEY, "site:*", rate=2, per_ms=400)
    jobs = [await site.start(key="site:a") for _ in range(2)]
    await site.take(2)
    told = await site.engine.why("acme", jobs[1])
    (found,) = told.reasons
    assert (found.code, found.details["rate"], found.details["per_seconds"]) == (Code.LIMIT_RATE, 2, 0.4)
    assert found.until is not None
    assert 0 < found.until - told.at <= 201, "the clock is rounded down, the moment up"
    assert found.details["opens_in_seconds"] == (found.until - told.at) / 1000
    while (now := await site.engine.why("acme", jobs[1])).at < found.until:
        await asyncio.sleep(0.005)
    assert now.reasons[0].code is Code.WORKER_FREE


async def test_the_list_of_limits_says_when_a_rate_lets_the_next_one_start(site: Site) -> None:
    await site.limit(Scope.TASK, "pack", rate=1, per_ms=HOUR_MS)
    (view,) = await site.engine.limits.all()
    assert view.opens_at is None
    job = await site.start()
    await site.take()
    (view,) = await site.engine.limits.all()
    at_most = (await site.engine.why("acme", job)).at + HOUR_MS
    assert view.opens_at is not None
    assert at_most - 10_000 < view.opens_at <= at_most + 1, "the clock is rounded down, the moment up"


async def test_pauses_of_a_queue_and_of_a_blueprint_are_both_told_until_each_has_ended(site: Site) -> None:
    limits = site.engine.limits
    await limits.pause(Scope.TASK, "pack")
    await limits.pause(Scope.BLUEPRINT, "shop")
    job = await site.start()
    assert await site.take() == []
    found = {(reason.code, str(reason.details["scope"])) for reason in await site.why(job)}
    assert found == {(Code.LIMIT_PAUSED, "task"), (Code.LIMIT_PAUSED, "blueprint")}
    await limits.resume(Scope.TASK, "pack")
    assert (await site.waits(job)).details["command"] == "muster blueprint resume shop"
    await limits.resume(Scope.BLUEPRINT, "shop")
    assert (await site.waits(job)).code is Code.WORKER_FREE


async def test_a_paused_task_that_nobody_offers_has_both_reasons(site: Site) -> None:
    await site.engine.limits.pause(Scope.TASK, "pack")
    assert [reason.code for reason in await site.why(await site.start())] == [Code.LIMIT_PAUSED, Code.NO_WORKER]


async def test_a_fan_says_that_no_more_of_it_may_run_at_once(site: Site) -> None:
    job = await site.start(4, at_once=2)
    taken = await site.take(4)
    full, running = await site.why(job)
    assert (full.code, full.details["at_once"], full.details["running"]) == (Code.FAN_FULL, 2, 2)
    held: Any = full.details["held_by"]
    assert sorted(held) == sorted(lease.task_id for lease in taken)
    assert full.details["count"] == 2
    assert running.code is Code.TASK_RUNNING


async def test_tasks_of_a_fan_are_told_apart_by_the_limits_they_stand_behind(site: Site) -> None:
    await site.limit(Scope.KEY, "site:*", max=1)
    await site.limit(Scope.TASK, "pack", max=9)
    job = await site.start(7, keys=["site:a", "site:a", "site:b", "site:b", "site:b", "x:1", "x:1"])
    taken = await site.take(4)
    assert len(taken) == 4, "one of each site and both others"
    found = [(reason.code, reason.details["count"]) for reason in await site.why(job)]
    assert found == [(Code.LIMIT_FULL, 3), (Code.TASK_RUNNING, 4)]


async def test_on_several_partitions_the_share_that_is_full_is_told(deploy: MakeDeployment, backend: Backend) -> None:
    store = (await deploy(backend, partitions=2).replica("r1")).store
    site = Site(Engine(store, shop(), EngineSettings("r1", partitions=2), Metrics(version="0"), "secret"))
    await site.limit(Scope.TASK, "pack", max=2)
    jobs = [await site.start() for _ in range(12)]
    leases = await site.take(9)
    assert len(leases) in {1, 2}
    told = [(await site.why(job))[0] for job in jobs]
    full = [reason for reason in told if reason.code is Code.LIMIT_FULL]
    assert {(reason.details["share"], reason.details["max"]) for reason in full} == {(1, 2)}
    await site.engine.stop()
