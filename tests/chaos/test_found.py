"""What the sweep and the fuzzer found once, each by itself."""

from collections.abc import AsyncIterator

import pytest
from muster.engine.views import TaskReport, WorkerDescription

from tests.chaos.scenarios import SCENARIOS, end_of, submit
from tests.chaos.takeover import World, load_flows
from tests.support.servers import Servers

ONE = SCENARIOS[0]


@pytest.fixture
async def world(servers: Servers) -> AsyncIterator[World]:
    made = World(servers.get("valkey"), load_flows())
    await made.start()
    yield made
    await made.close()


async def test_a_result_counts_also_when_its_workers_registration_ran_out(world: World) -> None:
    engine = world.live.engine
    await engine.register(WorkerDescription("w1", ("work",), protocol=1))
    job = await submit(world, ONE)
    (lease,) = await engine.poll("w1", timeout_ms=1000, max_tasks=1)
    world.forget_worker("w1")
    report = TaskReport(job, lease.task_id, "w1", "success", {"x": 1}, attempt=lease.attempt, fence=lease.fence)
    reply = await engine.report(report, next_tasks=1)
    assert (reply.outcome, reply.tasks) == ("success", ())
    assert (await end_of(world, job)).result == {"x": 1}


async def test_a_note_for_a_worker_that_never_comes_back_expires(world: World) -> None:
    await world.live.store.ask_cancel("w1", ("some-task",))
    used = set(world.live.store.calls) - {"tick", "lead", "hgetall"}  # of the loops: what is due, whose schedules
    assert used == {"note_cancel"}, "two commands may be torn apart"
    assert world.violations() == []
