"""What a run costs where a worker asks different prices: frozen by its task's type, whichever way it is handed out."""

from typing import Any

import pytest
from muster.core.ids import TaskId
from muster.engine.views import Lease, TaskReport

from tests.engine.fleet_hands import Fleet, fleet
from tests.support.waiting import until

GPU = {"needs": {"labels": {"gpu": "a100"}}}
PRICES = {"render": 0.5, "free": 0, "else": 7}


def frozen(made: Fleet, lease: Lease) -> int:
    """Micros per second."""
    return made.state.partitions[0].tasks[TaskId(lease.task_id)].price


async def both(made: Fleet) -> None:
    await made.worker("w", 0, "render", "plain", "free", cost=2.0, cost_per_task=PRICES, labels={"gpu": "a100"})


@pytest.mark.parametrize(
    ("kind", "where", "price"),
    [("render", {}, 500_000), ("render", GPU, 500_000), ("plain", {}, 2_000_000), ("free", GPU, 0)],
)
async def test_a_poll_that_stood_in_line_pays_by_the_type_of_what_it_gets(kind: str, where: Any, price: int) -> None:
    async with fleet() as made:
        await both(made)
        poll = made.poll("w")
        await until(lambda: bool(made.stores[0].claims))
        await made.start(type=kind, where=where)
        (lease,) = await poll
        assert frozen(made, lease) == price


async def test_one_claim_for_several_types_freezes_each_price() -> None:
    async with fleet() as made:
        await both(made)
        for kind in ("render", "plain", "free"):
            await made.start(type=kind)
        leases = await made.poll("w", most=3)
        assert {lease.body["type"]: frozen(made, lease) for lease in leases} == {
            "render": 500_000,
            "plain": 2_000_000,
            "free": 0,
        }


async def test_the_next_task_that_comes_with_a_result_has_the_price_of_its_own_type() -> None:
    async with fleet() as made:
        await both(made)
        await made.start(type="plain", then=GPU)
        (first,) = await made.poll("w")
        assert frozen(made, first) == 2_000_000
        done = TaskReport(
            first.job_id, first.task_id, "w", "success", data={}, attempt=first.attempt, fence=first.fence
        )
        reply = await made.engines[0].report(done, next_tasks=1)
        (second,) = reply.tasks or await made.poll("w")
        assert frozen(made, second) == 500_000


async def test_a_worker_that_names_a_price_for_one_type_only_asks_nothing_for_others() -> None:
    async with fleet() as made:
        await made.worker("w", 0, "render", "plain", cost_per_task={"render": 0.5})
        for kind in ("render", "plain"):
            await made.start(type=kind)
        leases = await made.poll("w", most=2)
        assert sorted(frozen(made, lease) for lease in leases) == [0, 500_000]
