"""Batches in the test kit, and what a crash does to them: nothing."""

import orjson
from muster import Blueprint, Job, Next, finished
from muster.testing import TestMuster

double = Blueprint("double")


@double.start
async def begin(job: Job) -> Next:
    return job.run("double", job.input, ok=finished)


async def batch_of_three(muster: TestMuster) -> None:
    muster.on("double", lambda given: {"n": 2 * given["n"]})
    await muster.load_batch(double, [{"n": n} for n in range(3)], webhook_url="https://a.example")


async def test_a_batch_is_worked_off_and_its_end_is_told_with_the_counts() -> None:
    async with TestMuster(double) as muster:
        await batch_of_three(muster)
        found = await muster.batch()
        assert found is not None
        assert (found.total, found.live, found.counts) == (3, 0, {"finished": 3})
        assert [job.result for job in muster.jobs("double")] == [{"n": 0}, {"n": 2}, {"n": 4}]
        (part,) = muster.machine.state.partitions
        (told,) = part.outbox.values()
        assert orjson.loads(told.body)["p"]["counts"] == {"finished": 3}


async def test_no_crash_makes_a_job_of_a_batch_twice_or_forgets_its_end() -> None:
    async with TestMuster(double) as muster:
        lived = 0
        async for crashed in muster.crashes(batch_of_three):
            lived += 1
            found = await crashed.kit.batch()
            assert found is not None, crashed
            assert (found.total, found.counts) == (3, {"finished": 3}), crashed
            assert len(crashed.kit.machine.state.partitions[0].outbox) == 1
        assert lived > 10
