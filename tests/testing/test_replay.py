"""What a job was told is told to today's code, which decides as it did, or at one step does not."""

from typing import Any

import orjson
import pytest
from muster import Blueprint, Job, Next, finished
from muster.api.call import plain
from muster.api.wire import event_object, job_object
from muster.testing import KitError, TestJob, TestMuster, hangs, later, lost
from muster_worker import Permanent, Retry

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


# Histories of a real server


def told(job: TestJob) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """As the API gives them."""
    shown, history = job_object(job.record, None), [event_object(event) for event in job.history()]
    return orjson.loads(orjson.dumps(shown, default=plain)), orjson.loads(orjson.dumps(history, default=plain))


async def test_a_production_job_is_told_to_todays_code_with_its_failures_and_answers(muster: TestMuster) -> None:
    muster.on(count_words, [Retry("busy"), Permanent("no words")])
    failed = await muster.run(counter, Text(words=3))
    asked = await muster.start(asker)
    await asked.decide("yes", by="ann")
    paid = await muster.start(payer)
    await paid.signal("paid", {"cents": 5})
    cancelled = await muster.start(sleeper)
    await cancelled.cancel()
    for job in (failed, asked, paid, cancelled):
        assert await muster.replay_history(*told(job), signals={"paid": {"cents": 5}}) is None, job


async def test_what_a_task_returned_is_said_by_a_mock_and_a_change_is_found(muster: TestMuster) -> None:
    muster.on(count_words, [Retry("busy"), Count(total=3)])
    job, history = told(await muster.run(counter, Text(words=3)))
    async with TestMuster(counter) as today:
        with pytest.raises(KitError, match=r"does not hold what task 'text\.count' returned"):
            await today.replay_history(job, history)
        today.on(count_words, Count(total=3))
        assert await today.replay_history(job, history) is None
    async with TestMuster(changed()) as other:
        other.on(count_words, Count(total=3))
        difference = await other.replay_history(job, history)
    assert difference is not None
    assert difference.step == 3
    with pytest.raises(KitError, match="no job with its history"):
        await muster.replay_history({}, [])
