"""Jobs that are over, started again: in place or as a new job, with what was recorded or with what somebody gave."""

import pytest
from muster.core.limits import TRANSITIONS_MAX
from muster.core.status import JobStatus
from muster.engine.retrying import Given, RetryOrder
from muster.testing import TestMuster, lost
from muster_worker import Client, ClientError, Conflict

from tests.operations.conftest import Site
from tests.operations.flows import packer, worker


async def ended(client: Client, size: int) -> str:
    job = await client.start("packer", {"size": size})
    await client.wait(job, timeout_s=10)
    return job


async def test_a_failed_job_runs_again_from_the_state_it_entered_last_with_an_edited_argument(site: Site) -> None:
    job = await ended(site.client, 3)
    again = await site.client.retry(job, argument={"size": 12}, by="ann")
    state = await site.client.wait(job, timeout_s=5)
    assert again.id == job
    assert (state.status, state.error_message) == ("finished", None)
    assert state.result == {"size": 12, "tries": 1, "packed": 12}
    (event,) = [event for event in await site.client.history(job) if event["event_type"] == "job_retried"]
    assert (event["state"], event["details"]) == ("pack", {"by": "ann", "edited": True})


async def test_without_anything_given_it_runs_with_what_was_recorded(site: Site) -> None:
    job = await ended(site.client, 3)
    await site.client.retry(job)
    state = await site.client.wait(job, timeout_s=5)
    assert (state.status, state.error_message) == ("failed", "box 3 is too small")
    await site.client.retry(job, state="prepare")
    await site.client.wait(job, timeout_s=5)
    entered = [event["state"] for event in await site.client.history(job) if event["event_type"] == "state_entered"]
    assert entered == ["prepare", "pack", "pack", "prepare", "pack"]


async def test_a_new_job_is_linked_both_ways_and_the_old_one_stays(site: Site) -> None:
    job = await ended(site.client, 3)
    new = await site.client.retry(job, new=True, argument={"size": 11})
    assert new.id != job
    assert new.retried_from == job
    assert (await site.client.wait(new.id, timeout_s=5)).status == "finished"
    old = await site.client.job(job)
    assert (old.status, old.retried_as) == ("failed", [new.id])


async def test_an_argument_that_does_not_fit_is_refused_and_nothing_is_written(site: Site) -> None:
    job = await ended(site.client, 3)
    before = await site.client.job(job)
    for body, code in (
        ({"argument": {"size": "wide"}}, "invalid_argument"),
        ({"argument": 5}, "invalid_argument"),
        ({"state": "prepare", "argument": 5}, "invalid_argument"),
        ({"state": "pakc"}, "unknown_state"),
        ({"data": 5}, "invalid_argument"),
        ({"version": "older"}, "invalid_body"),
    ):
        status, problem = await site.ask("POST", f"/api/v1/jobs/{job}/retry", body)
        assert (status, problem["code"]) == (400, code), problem
    assert problem
    assert await site.client.job(job) == before


async def test_a_live_job_is_not_started_again_and_a_finished_one_only_as_another(site: Site) -> None:
    live = await site.client.start("asker")
    with pytest.raises(Conflict, match="is not over"):
        await site.client.retry(live)
    done = await ended(site.client, 20)
    with pytest.raises(ClientError, match="has finished"):
        await site.client.retry(done)
    assert (await site.client.retry(done, new=True)).retried_from == done


async def test_a_job_put_aside_by_a_failing_state_is_inspected_mended_and_goes_on(muster: TestMuster) -> None:
    job = await muster.run(packer, {"size": -1})
    assert job.status is JobStatus.QUARANTINED
    assert job.state == "pack"
    assert job.error_details is not None
    assert "ValueError: a box of -1" in str(job.error_details["traceback"])
    again = await job.retry(RetryOrder(argument=Given({"size": 10})))
    assert again.status is JobStatus.FINISHED
    assert again.result == {"size": 10, "tries": 1, "packed": 10}


async def test_a_job_put_aside_for_a_poisonous_task_hands_it_out_again(muster: TestMuster) -> None:
    muster.on("tidy", {})
    mock = muster.on("work", [lost, lost, lost, {"n": 1}])
    job = await muster.run(worker)
    assert job.status is JobStatus.QUARANTINED
    again = await (await job.retry()).ends()
    assert (again.id, again.status) == (job.id, JobStatus.FINISHED)
    assert mock is not None


async def test_a_job_that_went_round_without_end_begins_to_count_anew(muster: TestMuster) -> None:
    from muster.blueprint import Blueprint, Job

    round_about = Blueprint("round_about")

    @round_about.start
    def turn(job: Job):  # type: ignore[no-untyped-def]
        return job.done("out") if job.data.get("out") else job.go(turn)

    job = await muster.run(round_about)
    assert (job.status, job.record.context.transitions) == (JobStatus.QUARANTINED, TRANSITIONS_MAX)
    again = await job.retry(RetryOrder(data=Given({"out": True})))
    await again.ends()
    assert again.result == "out"
