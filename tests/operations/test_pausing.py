"""Jobs that somebody holds, from the outside: what they say, what still works, and what is refused."""

import pytest
from muster.testing import Stuck, TestMuster
from muster_worker import Conflict

from tests.operations.conftest import Site
from tests.operations.flows import above, asker, worker


async def test_a_paused_job_says_who_holds_it_and_why_in_the_job_why_and_history(site: Site) -> None:
    job = await site.client.start("asker")
    state = await site.client.pause(job, reason="the printer burns", by="ann")
    assert state.status == "paused"
    assert state.paused is not None
    assert (state.paused.by, state.paused.reason) == ("ann", "the printer burns")
    assert state.paused.status == "waiting_for_human"
    first, second = (await site.client.why(job)).reasons
    assert first.code == "paused"
    assert "ann paused it: the printer burns" in first.text
    assert first.details["resume"] == f"POST /api/v1/jobs/{job}/resume"
    assert second.code == "person"
    (event,) = [event for event in await site.client.history(job) if event["event_type"] == "job_paused"]
    assert event["details"] == {"by": "ann", "reason": "the printer burns"}


async def test_an_answer_to_a_paused_job_counts_when_it_is_resumed(site: Site) -> None:
    job = await site.client.start("asker")
    await site.client.pause(job)
    await site.client.decide(job, "yes")
    with pytest.raises(Conflict):
        await site.client.decide(job, "no")
    assert (await site.client.job(job)).status == "paused"
    assert (await site.client.resume(job)).paused is None
    assert (await site.client.wait(job, timeout_s=5)).result == {"decision": "yes"}


async def test_pausing_twice_keeps_the_first_words_and_resuming_twice_is_refused(site: Site) -> None:
    job = await site.client.start("asker")
    await site.client.pause(job, reason="one")
    again = await site.client.pause(job, reason="two")
    assert again.paused is not None
    assert again.paused.reason == "one"
    await site.client.resume(job)
    status, problem = await site.ask("POST", f"/api/v1/jobs/{job}/resume")
    assert (status, problem["code"]) == (409, "job_not_paused")


async def test_what_is_over_and_what_is_anothers_cannot_be_paused(site: Site) -> None:
    job = await site.client.start("asker")
    status, problem = await site.ask("POST", f"/api/v1/jobs/{job}/pause", by={"X-Client-Token": "bob-token"})
    assert (status, problem["code"]) == (404, "job_not_found")
    await site.client.decide(job, "yes")
    status, problem = await site.ask("POST", f"/api/v1/jobs/{job}/pause")
    assert (status, problem["code"]) == (409, "job_final")
    status, problem = await site.ask("POST", f"/api/v1/jobs/{job}/pause", {"reason": 5})
    assert (status, problem["code"]) == (400, "invalid_body")


async def test_no_task_of_a_paused_job_is_handed_out_and_a_running_one_may_end(muster: TestMuster) -> None:
    muster.nobody("work")
    job = await muster.start(worker)
    await job.pause()
    muster.on("work", {"n": 1})
    muster.on("tidy", {"tidy": True})
    with pytest.raises(Stuck, match="it is paused"):
        await job.ends()
    assert job.status == "paused"
    await job.resume()
    await job.ends()
    assert job.status == "finished"


async def test_the_pause_of_a_job_holds_its_child_and_a_cancel_reaches_both(muster: TestMuster) -> None:
    muster.add(asker)
    job = await muster.start(above)
    (child,) = job.children
    await job.pause("hold on")
    assert child.status == "paused"
    await child.decide("yes")
    await job.resume()
    assert (child.status, job.status) == ("finished", "finished")

    other = await muster.start(above)
    await other.pause()
    await other.cancel()
    assert (other.status, other.children[0].status) == ("cancelled", "cancelled")
