"""Children in other partitions, and children that race: the same stories as users tell them."""

from typing import Any

import pytest
from muster.blueprint import Blueprint, Job, Next, finished
from muster.blueprint.answers import TaskError
from muster.testing import TestMuster, hangs, later

kid = Blueprint("kid")


@kid.start
async def work(job: Job) -> Next:
    if job.input.get("waits"):
        return job.wait_for("go", ok=worked)
    return job.run("work", {"n": job.input.get("n", 1)}, ok=worked)


@kid.state
async def worked(job: Job, given: Any) -> Next:
    return job.done(given)


far = Blueprint("far")


@far.start
async def send_out(job: Job) -> Next:
    return job.child(job.input.get("child", "kid"), dict(job.input.get("given", {})), ok=came_back, spread=True)


@far.state
async def came_back(job: Job, result: Any) -> Next:
    return job.done({"child": result})


tidy = Blueprint("tidy")


@tidy.start
async def send_out_and_tidy(job: Job) -> Next:
    return job.child("kid", {"waits": True}, ok=finished, error=bereaved, cancelled=tidied, spread=True)


@tidy.state
async def bereaved(job: Job, error: TaskError) -> Next:
    return job.done({"code": error.code})


@tidy.state
async def tidied(job: Job) -> Next:
    return job.done({"tidied": True})


racer = Blueprint("racer")


@racer.start
async def race(job: Job) -> Next:
    spread = bool(job.input.get("spread"))
    return job.race(
        job.child(kid, {"waits": True}, ok=came_first, error=lost_it, spread=spread),
        job.child("kid", {"n": 2}, ok=came_second, spread=spread),
        job.run("slow", {}, ok=task_won),
        job.sleep("1h", then=too_late),
    )


@racer.state
async def came_first(job: Job, result: Any) -> Next:
    return job.done({"first": result})


@racer.state
async def lost_it(job: Job, error: TaskError) -> Next:
    return job.done({"lost": error.code})


@racer.state
async def came_second(job: Job, result: Any) -> Next:
    return job.done({"second": result})


@racer.state
async def task_won(job: Job, result: Any) -> Next:
    return job.done({"task": result})


@racer.state
async def too_late(job: Job) -> Next:
    return job.done({"late": True})


@pytest.fixture(autouse=True)
def _known(muster: TestMuster) -> None:
    for blueprint in (kid, far, tidy, racer):
        muster.add(blueprint)


async def test_a_spread_child_is_like_any_other_to_its_parent(muster: TestMuster) -> None:
    muster.on("work", lambda params: {"did": params["n"]})
    job = await muster.run("far", {"given": {"n": 7}})
    assert (job.status, job.result) == ("finished", {"child": {"did": 7}})
    (child,) = job.children
    assert (child.status, child.result) == ("finished", {"did": 7})
    assert child.record.parent is not None
    assert child.record.parent.spread


async def test_a_spread_child_that_cannot_be_started_fails_its_parent_as_another_would(muster: TestMuster) -> None:
    job = await muster.run("far", {"child": "nowhere"})
    assert (job.status, job.error) == ("failed", "there is no blueprint 'nowhere'")
    assert job.children == ()


async def test_a_cancelled_parent_tidies_up_after_its_spread_child_has_ended(muster: TestMuster) -> None:
    job = await muster.start("tidy")
    (child,) = job.children
    assert (child.status, job.status) == ("waiting", "waiting")
    await job.cancel()
    await job.ends()
    assert (child.status, job.status, job.result) == ("cancelled", "finished", {"tidied": True})


async def test_a_family_of_spread_jobs_is_cancelled_down_to_the_last(muster: TestMuster) -> None:
    job = await muster.start("far", {"child": "far", "given": {"given": {"waits": True}}})
    await job.cancel()
    await job.ends()
    assert [one.status for one in job.family] == ["cancelled"] * 3


async def test_a_pause_reaches_a_spread_child_and_a_resume_lets_it_go_on(muster: TestMuster) -> None:
    job = await muster.start("far", {"child": "far", "given": {"given": {"waits": True}}})
    await job.pause("look at it")
    await muster.advance("1s")
    assert [one.status for one in job.family] == ["paused"] * 3
    assert [one.record.pause.above if one.record.pause else None for one in job.family] == ["", job.id, job.id]
    last = job.family[-1]
    await last.signal("go", {"n": 1})
    await job.resume()
    await job.ends()
    assert [one.status for one in job.family] == ["finished"] * 3
    assert job.result == {"child": {"child": {"n": 1}}}


async def test_a_failed_spread_child_fails_its_parent_with_its_own_words(muster: TestMuster) -> None:
    muster.on("work", ValueError("no"))
    job = await muster.run("far")
    assert job.status == "failed"
    assert job.error is not None
    assert job.error.startswith(f"job {job.children[0].id}, which this one started: ")


@pytest.mark.parametrize("spread", [False, True])
async def test_the_first_child_of_a_race_decides_and_the_others_are_cancelled(
    muster: TestMuster, *, spread: bool
) -> None:
    muster.on("work", lambda params: {"n": params["n"]})
    muster.nobody("slow")
    job = await muster.run("racer", {"spread": spread})
    assert (job.status, job.result) == ("finished", {"second": {"n": 2}})
    await muster.advance("1s")
    assert sorted(child.status for child in job.children) == ["cancelled", "finished"]


@pytest.mark.parametrize("spread", [False, True])
async def test_a_race_that_time_wins_cancels_all_its_children(muster: TestMuster, *, spread: bool) -> None:
    muster.nobody("slow")
    muster.nobody("work")
    job = await muster.start("racer", {"spread": spread})
    assert job.waiting_for is not None
    assert set(job.waiting_for.child.split(",")) == {child.id for child in job.children}
    await muster.advance("1h")
    await job.ends()
    assert job.result == {"late": True}
    await muster.advance("1s")
    assert [child.status for child in job.children] == ["cancelled"] * 2


@pytest.mark.parametrize("spread", [False, True])
async def test_a_cancelled_race_is_over_after_all_its_children(muster: TestMuster, *, spread: bool) -> None:
    muster.nobody("slow")
    muster.nobody("work")
    job = await muster.start("racer", {"spread": spread})
    await job.cancel()
    await job.ends()
    assert [one.status for one in job.family] == ["cancelled"] * 3


@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("task", ["hangs", "takes long"])
async def test_a_race_with_a_task_that_runs_is_cancelled_once_after_its_worker_and_its_children(
    muster: TestMuster, *, spread: bool, task: str
) -> None:
    muster.on("slow", hangs if task == "hangs" else later("2m", {}))
    muster.nobody("work")
    job = await muster.start("racer", {"spread": spread})
    await job.cancel()
    await job.ends()
    assert [one.status for one in job.family] == ["cancelled"] * 3
    ends = [event.event_type for event in job.history() if event.event_type == "job_cancelled"]
    assert len(ends) == 1
    await muster.advance("10m")
    assert [one.status for one in job.family] == ["cancelled"] * 3


@pytest.mark.parametrize("spread", [False, True])
async def test_a_child_of_a_race_that_fails_decides_as_it_would_alone(muster: TestMuster, *, spread: bool) -> None:
    muster.nobody("slow")
    muster.nobody("work")
    job = await muster.start("racer", {"spread": spread})
    first = next(child for child in job.children if child.status == "waiting")  # for its signal
    await first.cancel()
    await job.ends()
    assert job.result == {"lost": "CHILD_CANCELLED"}


async def test_no_crash_changes_what_becomes_of_spread_children_and_races(muster: TestMuster) -> None:
    muster.on("work", lambda params: {"n": params["n"]})
    muster.nobody("slow")

    async def story(muster: TestMuster) -> None:
        await muster.run("far", {"given": {"n": 1}})
        cancelled = await muster.start("tidy")
        await cancelled.cancel()
        await cancelled.ends()
        await muster.run("racer", {"spread": True})
        held = await muster.start("far", {"given": {"waits": True}})
        await held.pause()
        await muster.advance("10s")
        await held.resume()
        await held.children[0].signal("go", {"n": 1})
        await held.ends()

    lives = [crashed async for crashed in muster.crashes(story)]
    assert {"children.begin", "children.ended", "children.hold", "cancel", "settle"} <= {life.write for life in lives}
