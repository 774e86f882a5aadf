"""What a test asks of a job and does to it."""

from typing import Any

import pytest
from muster import Blueprint, Job, Next, finished
from muster.errors import ErrorCode, MusterError
from muster.testing import KitError, Stuck, TestMuster
from pydantic import BaseModel

from tests.testing.flows import asker, late_waiter, parent, payer, sleeper


async def test_a_child_is_a_job_like_any_other(muster: TestMuster) -> None:
    muster.add(payer)
    job = await muster.start(parent)
    (child,) = job.children
    await child.signal("paid", {"cents": 5})
    assert child.result == {"cents": 5}
    await job.ends()
    assert job.status == "finished"
    assert [one.blueprint for one in muster.jobs()] == ["parent", "payer"]


async def test_a_job_that_waits_for_nobody_says_for_whom(muster: TestMuster) -> None:
    with pytest.raises(Stuck, match=r"a person is asked 'Go on\?'; await job.decide\('no'\) or job.decide\('yes'\)"):
        await muster.run(asker)
    with pytest.raises(Stuck, match=r"await job\.signal\('paid', "):
        await muster.run(payer)
    with pytest.raises(Stuck, match=r"job 'parent' .* job 'payer' .* for signal 'paid'"):
        await muster.run(parent)


async def test_a_state_that_is_never_reached_is_told_with_the_way_that_was_taken(muster: TestMuster) -> None:
    job = await muster.start(sleeper)
    with pytest.raises(KitError, match="did not come to state 'awake', it is finished; it went through fall_asleep > "):
        await job.reaches("awake")


async def test_a_decision_that_is_none_is_refused_as_by_the_server(muster: TestMuster) -> None:
    job = await muster.start(asker)
    with pytest.raises(MusterError) as refused:
        await job.decide("maybe")
    assert refused.value.code is ErrorCode.UNKNOWN_DECISION
    await job.decide("yes", by="ann", note="sure")
    assert job.status == "finished"
    assert "approval_received" in {event.event_type for event in job.history()}


async def test_a_blueprint_nobody_added_names_the_closest(muster: TestMuster) -> None:
    muster.add(sleeper)
    with pytest.raises(KitError, match="no blueprint 'sleepr'; the closest is 'sleeper'"):
        await muster.run("sleepr")


async def test_a_signal_that_comes_early_is_kept(muster: TestMuster) -> None:
    job = await muster.start(late_waiter)
    await job.signal("paid", {"cents": 5})
    assert not job.is_over
    await job.ends()
    assert job.result == {"cents": 5}


async def test_jobs_are_found_by_what_they_are(muster: TestMuster) -> None:
    job = await muster.start(asker, tags=("mine",))
    assert job.record.submission.tags == ("mine",)
    assert [one.id for one in muster.jobs("asker")] == [job.id]
    assert muster.started == (job,)


class Paid(BaseModel):
    cents: int


promises = Blueprint("promises", output=Paid)


@promises.start
async def pay(job: Job) -> Next:
    if "done" in job.input:
        return job.done(job.input["done"])
    return job.run("pay", {}, ok=finished)


async def test_a_result_that_is_not_what_the_blueprint_promises_puts_the_job_aside(muster: TestMuster) -> None:
    muster.add(promises)
    assert promises.output_schema()["required"] == ["cents"]
    assert sleeper.output_schema() == {}
    good = await muster.run("promises", {"done": {"cents": 5}})
    assert (good.status, good.result) == ("finished", {"cents": 5})
    muster.on("pay", {"cents": "many"})
    for bad in (await muster.run("promises", {"done": {"cent": 5}}), await muster.run("promises")):
        assert bad.status == "quarantined"
        assert bad.error is not None
        assert bad.error.startswith("the result does not fit what blueprint 'promises' promises: /cents: ")
        details: Any = bad.error_details or {}
        assert (details["code"], [one["pointer"] for one in details["errors"]]) == ("invalid_output", ["/cents"])
