"""A worker of a deployment with many partitions is served from all of them, however much lies in one."""

from typing import Any

from muster.core.ids import JobId, partition_of
from muster.engine.dispatch import ALONG_MAX
from muster.engine.views import TaskReport

from tests.engine.fleet_hands import Fleet, fleet

PARTITIONS = 4


async def backlog(made: Fleet, each: int, **given: Any) -> None:
    """So many jobs in each partition at least."""
    while min(len(partition.jobs) for partition in made.state.partitions) < each:
        await made.start(**given)


def where(lease: Any) -> int:
    return partition_of(JobId(lease.job_id))


async def test_polls_take_from_one_partition_after_the_other() -> None:
    async with fleet(partitions=PARTITIONS) as made:
        await made.worker("w")
        await backlog(made, 4)
        seen = [where((await made.poll("w"))[0]) for _ in range(3 * PARTITIONS)]
        for first in range(0, len(seen), PARTITIONS):
            assert sorted(seen[first : first + PARTITIONS]) == [0, 1, 2, 3]


async def test_chosen_tasks_are_taken_from_one_partition_after_the_other() -> None:
    async with fleet(partitions=PARTITIONS) as made:
        await made.worker("w")
        await backlog(made, 3, where={"choose": "cheapest"})
        assert sorted([where((await made.poll("w"))[0]) for _ in range(PARTITIONS)]) == [0, 1, 2, 3]


async def test_a_worker_whose_next_task_always_comes_with_its_result_moves_on_to_other_partitions() -> None:
    async with fleet(partitions=PARTITIONS) as made:
        await made.worker("w")
        await backlog(made, 2 * ALONG_MAX)
        leases, visited, asked = await made.poll("w"), list[int](), 0
        while len(set(visited)) < PARTITIONS:
            visited.append(where(leases[0]))
            assert len(visited) <= (PARTITIONS + 1) * ALONG_MAX, "it stays where it is"
            t = leases[0]
            done = TaskReport(t.job_id, t.task_id, "w", "success", data={}, attempt=t.attempt, fence=t.fence)
            leases = (await made.engines[0].report(done, next_tasks=1)).tasks
            if not leases:
                asked += 1
                leases = await made.poll("w")
        assert len(visited) >= asked * (ALONG_MAX - 1), "most tasks come along"


async def test_with_one_partition_the_next_task_always_comes_along() -> None:
    async with fleet() as made:
        await made.worker("w")
        await backlog(made, 3 * ALONG_MAX)
        (t,) = await made.poll("w")
        for _ in range(2 * ALONG_MAX):
            done = TaskReport(t.job_id, t.task_id, "w", "success", data={}, attempt=t.attempt, fence=t.fence)
            (t,) = (await made.engines[0].report(done, next_tasks=1)).tasks
