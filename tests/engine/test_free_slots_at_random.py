"""Workers that poll, report and take along at random never hold more of a type than they said, and all work is done."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest
from muster.engine.views import FreeSlots, Lease, TaskReport

from tests.engine.fleet_hands import TENANT, Fleet, fleet

TYPES = ("render", "plain", "mail")
JOBS = 60


class Hand:
    """A worker of four slots, some of its types with slots of their own; it says what is free when it asks."""

    def __init__(self, made: Fleet, name: str, chance: random.Random) -> None:
        self.made, self.name, self.chance = made, name, chance
        self.limits = {kind: chance.randint(1, 3) for kind in TYPES if chance.random() < 0.7}
        self.engine = chance.randrange(len(made.engines))
        self.held: dict[str, Lease] = {}
        self.done = 0

    def free(self, ending: tuple[Lease, ...] = ()) -> FreeSlots:
        kinds = Counter(lease.body["type"] for lease in self.held.values())
        kinds.subtract(lease.body["type"] for lease in ending)
        return FreeSlots({kind: limit - kinds[kind] for kind, limit in self.limits.items()})

    def take(self, leases: tuple[Lease, ...]) -> None:
        self.held |= {lease.task_id: lease for lease in leases}
        kinds = Counter(lease.body["type"] for lease in self.held.values())
        assert all(kinds[kind] <= limit for kind, limit in self.limits.items()), (self.name, kinds, self.limits)
        assert len(self.held) <= 4

    async def work(self) -> None:
        engine = self.made.engines[self.engine]
        while True:
            if len(self.held) < 4 and (not self.held or self.chance.random() < 0.5):
                ask = engine.poll(
                    self.name, timeout_ms=self.chance.choice((0, 5, 30)), max_tasks=4 - len(self.held), free=self.free()
                )
                self.take(await ask)
                continue
            ending = tuple(self.chance.sample([*self.held.values()], self.chance.randint(1, len(self.held))))
            reports = [
                TaskReport(t.job_id, t.task_id, self.name, "success", data={}, attempt=t.attempt, fence=t.fence)
                for t in ending
            ]
            free, most = self.free(ending), 4 - len(self.held) + len(ending)
            _, leases = await engine.report_all(reports, next_tasks=self.chance.randint(0, most), free=free)
            for lease in ending:
                del self.held[lease.task_id]
            self.done += len(ending)
            self.take(leases)


async def a_run(seed: int) -> None:
    chance = random.Random(seed)
    async with fleet(chance.choice((1, 2)), chance.choice((1, 3))) as made:
        hands = [Hand(made, f"w{number}", chance) for number in range(3)]
        for hand in hands:
            await made.worker(hand.name, hand.engine, *TYPES, slots=4, slots_per_task=hand.limits)
        working = [asyncio.create_task(hand.work()) for hand in hands]
        try:
            jobs: list[Any] = []
            for _ in range(JOBS):
                where = chance.choice(({}, {}, {"choose": "least_loaded"}))
                jobs.append(await made.start(type=chance.choice(TYPES), where=where, then={}))
            async with asyncio.timeout(20):
                while sum(hand.done for hand in hands) < 2 * JOBS:
                    for engine in made.engines:
                        await engine.tick()
                    await asyncio.sleep(0)
                    if ended := [task for task in working if task.done()]:
                        ended[0].result()
            await asyncio.gather(*(engine.settled() for engine in made.engines))
            states = [(await made.engines[0].job(TENANT, job)).status for job in jobs]
        finally:
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)
    assert {str(status) for status in states} == {"finished"}


@pytest.mark.parametrize("seed", range(6))
async def test_no_worker_ever_holds_more_of_a_type_than_it_said_and_all_work_is_done(seed: int) -> None:
    await a_run(seed)
