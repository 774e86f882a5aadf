"""What a worker's report means for its job: whole jobs on the kit, whose clock makes every back-off exact."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from muster.blueprint.builtin.sequence import sequence
from muster.testing import TestMuster, hangs
from muster_worker import Failed, Outcome, Permanent, Retry

from tests.system.flows import careful, fan, one

ORDER = {"type": "shop.work"}


async def test_a_passing_error_is_tried_again_with_back_off_and_put_aside_after_the_last_retry(
    muster: TestMuster,
) -> None:
    """Three retries, of which two by the server's own back-off: 0.5 to 1 s, then 1 to 2 s."""
    tried = []

    def busy(params: object) -> object:
        tried.append(muster.now)
        return Retry("no connection") if len(tried) < 3 else Retry("busy", after="0s")

    muster.on("shop.work", busy)
    job = await muster.run(one, ORDER)
    first, second, third = (later - earlier for earlier, later in pairwise(tried))
    assert timedelta(0) <= first <= timedelta(seconds=1)
    assert timedelta(0) <= second <= timedelta(seconds=2)
    assert third == timedelta(0)
    assert (job.status, job.record.retries, job.error) == ("quarantined", 3, "busy")
    assert [event.event_type for event in job.history()].count("task_retried") == 3


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Permanent("no such customer"), "quarantined"),
        (Failed("no such customer", code="INVALID_INPUT_ERROR"), "failed"),
        (Failed("no such customer", code="COMMAND_FAILED"), "failed"),
    ],
)
async def test_an_error_that_cannot_pass_ends_the_job_at_once(
    muster: TestMuster, error: Exception, status: str
) -> None:
    muster.on("shop.work", error)
    job = await muster.run(one, ORDER)
    assert (job.status, job.error, job.record.retries) == (status, "no such customer", 0)
    assert len(muster.calls("shop.work")) == 1


async def test_a_declared_way_for_failures_is_taken(muster: TestMuster) -> None:
    muster.on("shop.work", Failed("no stock", code="OUT_OF_STOCK"))
    job = await muster.run(careful, ORDER)
    assert (job.status, job.result) == ("finished", {"handled": "OUT_OF_STOCK", "message": "no stock"})


async def test_an_outcome_that_the_state_declares_leads_to_its_state(muster: TestMuster) -> None:
    muster.on("shop.work", Outcome("needs_review", {"doubt": True}))
    job = await muster.start(careful, ORDER)
    assert job.waiting_for is not None
    assert job.waiting_for.decisions == ("approved", "rejected")
    assert job.record.context.results == {"doubt": True}


async def test_an_outcome_that_nobody_declared_fails_the_job_and_names_those_that_are(muster: TestMuster) -> None:
    muster.on("shop.work", Outcome("needs_coffee", {"x": 1}))
    job = await muster.run(careful, ORDER)
    assert job.status == "failed"
    assert "needs_coffee" in (job.error or "")
    assert "needs_review" in (job.error or "")


async def test_a_failed_branch_fails_its_fan_and_the_others_are_dropped(muster: TestMuster) -> None:
    muster.on("shop.work", lambda n: Permanent("branch broke") if n == 1 else hangs)
    job = await muster.run(fan, {**ORDER, "count": 5})
    assert (job.status, job.error) == ("quarantined", "branch broke")


# The blueprint `sequence`


def member(name: str, task: str = "shop.work") -> dict[str, Any]:
    return {"name": name, "blueprint": "one", "input": {"type": task, "retries": 0}}


async def test_a_cancelled_sequence_cancels_the_member_that_runs_and_starts_no_other(muster: TestMuster) -> None:
    muster.add(one)
    muster.on("shop.work", hangs)
    job = await muster.start(sequence, {"members": [member("first"), member("second")]})
    await job.cancel()
    await job.ends()
    assert [one.status for one in job.family] == ["cancelled", "cancelled"]


async def test_a_member_that_is_cancelled_by_itself_does_not_stop_the_next(muster: TestMuster) -> None:
    muster.add(one)
    muster.on("shop.work", {"done": True})
    muster.nobody("nobody.does")
    job = await muster.start(sequence, {"members": [member("first", "nobody.does"), member("second")]})
    await job.children[0].cancel()
    await job.ends()
    assert job.status == "finished"
    assert isinstance(job.result, dict)
    assert job.result["failed"] == {"first": "CHILD_CANCELLED: cancelled"}
