"""A story is lived once for every write, each time without it at first."""

import pytest
from muster import Blueprint, Job, Next, finished
from muster.testing import KitError, TestMuster, lost
from muster_worker import Needs, Retry
from muster_worker.task_options import TaskOptions

from tests.testing.flows import Count, Text, count_words, counter, forgetful, parent, payer, sleeper, wide


async def test_no_crash_changes_what_becomes_of_jobs(muster: TestMuster) -> None:
    muster.add(payer)
    muster.on(count_words, lambda text: Count(total=text.words))

    async def story(muster: TestMuster) -> None:
        family = await muster.start(parent)
        await muster.run(sleeper)
        await family.children[0].signal("paid", {"cents": 5})
        await family.ends()
        await muster.run(wide, {"width": 5})
        cancelled = await muster.start(sleeper)
        await cancelled.cancel()

    lives = [crashed async for crashed in muster.crashes(story)]
    assert [life.number for life in lives] == list(range(1, lives[0].count + 1))
    assert {"submit", "commit", "send", "cancel", "claim", "complete", "tick"} <= {life.write for life in lives}


async def test_a_long_story_is_lived_as_often_as_the_test_can_afford(muster: TestMuster) -> None:
    muster.on(count_words, lambda text: Count(total=text.words))

    async def story(muster: TestMuster) -> None:
        await muster.run(wide, {"width": 150})

    numbers = [crashed.number async for crashed in muster.crashes(story, most=4)]
    assert len(numbers) == 4
    assert numbers[0] == 1
    assert numbers[-1] > 150


async def test_workers_that_fail_and_die_are_lived_through_as_well(muster: TestMuster) -> None:
    muster.on(count_words, [Retry("busy"), lost, Count(total=3)])

    async def story(muster: TestMuster) -> None:
        await muster.run(counter, Text(words=3))

    async for crashed in muster.crashes(story):
        assert crashed.kit.started[0].result == {"total": 3}, crashed


@pytest.mark.parametrize("options", [{"choose": "fastest"}, {"needs": Needs(labels={"region": "eu"})}])
async def test_a_replica_that_takes_over_hands_out_tasks_that_need_something(
    muster: TestMuster, options: TaskOptions
) -> None:
    muster.on("pick", {"n": 1})
    picky = Blueprint("picky")

    @picky.start
    async def begin(job: Job) -> Next:
        return job.run("pick", {}, ok=finished, **options)

    async def story(muster: TestMuster) -> None:
        await muster.run("picky")

    muster.add(picky)
    assert len([crashed async for crashed in muster.crashes(story)]) > 1


async def test_a_blueprint_that_remembers_in_its_process_is_found_out(muster: TestMuster) -> None:
    muster.add(forgetful())

    async def story(muster: TestMuster) -> None:
        await muster.run("forgetful")

    with pytest.raises(KitError, match=r"a crash before write \d of \d \(\w+\) changes how the story ends: result of"):
        _ = [crashed async for crashed in muster.crashes(story)]


async def test_what_a_story_finds_wrong_after_a_crash_names_the_crash(muster: TestMuster) -> None:
    async def story(muster: TestMuster) -> None:
        before = muster.now
        await muster.start(sleeper)
        assert muster.now == before, "time has passed"

    with pytest.raises(AssertionError, match="time has passed") as found:
        _ = [crashed async for crashed in muster.crashes(story)]
    assert found.value.__notes__ == ["with a crash before write 1 of 1 (submit)"]
