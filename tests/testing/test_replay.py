"""What a job was told is told to today's code, which decides as it did, or at one step does not."""

from typing import Any

import orjson
import pytest
from muster import Blueprint, Job, Next, finished
from muster.testing import KitError, TestMuster, hangs, later, lost
from muster_worker import Retry

from tests.testing.flows import Count, Text, asker, count_words, counter, parent, payer, sleeper, wide


async def recorded_family(muster: TestMuster) -> dict[str, Any]:
    muster.add(payer)
    job = await muster.start(parent)
    await job.children[0].signal("paid", {"cents": 5})
    await job.ends()
    found: dict[str, Any] = orjson.loads(orjson.dumps(muster.recording(job)))
    return found


async def test_the_same_code_decides_the_same(muster: TestMuster) -> None:
    muster.on(count_words, [Retry("busy"), later("1m", Count(total=3))])
    counted = muster.recording(await muster.run(counter, Text(words=3)))
    muster.on(count_words, [lost, hangs, Count(total=3)])
    unlucky = muster.recording(await muster.run(counter, Text(words=3)))
    muster.on(count_words, lambda text: Count(total=text.words))
    added = muster.recording(await muster.run(wide, {"width": 70}))
    slept = muster.recording(await muster.run(sleeper))
    family = await recorded_family(muster)
    for recording in (counted, unlucky, added, slept, family):
        assert await muster.replay(recording) is None


async def test_a_job_that_is_not_over_is_replayed_as_far_as_it_came(muster: TestMuster) -> None:
    job = await muster.start(asker)
    assert await muster.replay(muster.recording(job)) is None
    cancelled = await muster.start(sleeper)
    await cancelled.cancel()
    assert await muster.replay(muster.recording(cancelled)) is None


async def test_the_first_step_that_is_another_one_is_named(muster: TestMuster) -> None:
    muster.on(count_words, Count(total=3))
    recording = muster.recording(await muster.run(counter, Text(words=3)))
    async with TestMuster(changed()) as today:
        difference = await today.replay(recording)
    assert str(difference) == (
        "step 2 of 'counter' was {'runs': 'text.count', 'inputs': [{'words': 3}]}, "
        "and is now {'runs': 'text.count', 'inputs': [{'words': 4}]}"
    )


async def test_what_a_child_decides_is_compared_as_well(muster: TestMuster) -> None:
    recording = await recorded_family(muster)
    recording["jobs"][1]["steps"][-1]["result"] = {"cents": 6}
    difference = await muster.replay(recording)
    assert difference is not None
    assert (difference.blueprint, difference.now) == (
        "payer",
        {"ends": "finished", "result": {"cents": 5}, "error": None},
    )


async def test_a_job_that_cannot_be_started_any_more_says_why(muster: TestMuster) -> None:
    muster.on(count_words, Count(total=3))
    recording = muster.recording(await muster.run(counter, Text(words=3)))
    with pytest.raises(KitError, match="cannot be started any more: initial_data does not fit"):
        await muster.replay({**recording, "input": {}})


def changed() -> Blueprint[Any, Any]:
    """Today's counter, which counts one word more."""
    blueprint = Blueprint("counter", input=Text)

    @blueprint.start
    async def count(job: Job[Text]) -> Next:
        return job.run(count_words, Text(words=job.input.words + 1), ok=finished)

    return blueprint
