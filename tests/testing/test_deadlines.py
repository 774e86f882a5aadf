"""A job that has not ended by its deadline is stopped like a cancelled one, and has failed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from muster import Blueprint, Job, Next, TaskError, finished, task
from muster.blueprint import BlueprintError
from muster.testing import TestJob, TestMuster, hangs, later
from muster_worker.contracts import TaskContract

from tests.testing.flows import sleeper

WORK: TaskContract[Any, Any] = task("work", timeout="1d")

hasty = Blueprint("hasty", deadline="1h")


@hasty.start
async def hurry(job: Job) -> Next:
    return job.run(WORK, {}, ok=finished)


tidy = Blueprint("tidy")


@tidy.start
async def make_a_mess(job: Job) -> Next:
    return job.run(WORK, {}, ok=finished, cancelled=clean_up)


@tidy.state
async def clean_up(job: Job) -> Next:
    return job.run("clean", {}, ok=finished)


mother = Blueprint("mother")


@mother.start
async def give_birth(job: Job) -> Next:
    return job.child(job.input["child"], {}, ok=finished, error=bereaved, spread=bool(job.input.get("spread")))


@mother.state
async def bereaved(job: Job, error: TaskError) -> Next:
    return job.done({"code": error.code})


def is_too_late(job: TestJob) -> bool:
    details = job.error_details or {}
    return (job.status, details.get("code")) == ("failed", "job_deadline")


async def test_a_job_fails_at_its_deadline_and_its_worker_is_told(muster: TestMuster) -> None:
    muster.on(WORK, hangs)
    before = muster.now
    job = await muster.run(hasty)
    assert is_too_late(job), job.error
    assert muster.now - before == timedelta(hours=1)
    assert [event.event_type for event in job.history()][-3:] == ["deadline_passed", "task_finished", "job_failed"]


async def test_the_order_wins_over_the_blueprint(muster: TestMuster) -> None:
    muster.on(WORK, later("90m", {}))
    assert (await muster.run(hasty, deadline="2h")).status == "finished"
    assert is_too_late(await muster.run(hasty, deadline="80m"))


async def test_a_job_that_ends_in_time_leaves_no_timer(muster: TestMuster) -> None:
    muster.on(WORK, {})
    job = await muster.run(hasty)
    assert job.status == "finished"
    assert job.record.deadline_at is not None
    (part,) = muster.machine.state.partitions
    assert not part.timers


async def test_a_job_that_sleeps_is_ended_too(muster: TestMuster) -> None:
    assert is_too_late(await muster.run(sleeper, deadline="2h"))
    assert muster.now == datetime(2030, 1, 1, 14, tzinfo=UTC)


async def test_a_job_may_clean_up_and_has_failed_all_the_same(muster: TestMuster) -> None:
    muster.on(WORK, hangs)
    muster.on("clean", later("5m", {"tidy": True}))
    job = await muster.run(tidy, deadline="1h")
    assert is_too_late(job), (job.status, job.error)
    assert job.path == ("make_a_mess", "clean_up")
    assert muster.now == datetime(2030, 1, 1, 13, 5, tzinfo=UTC)


async def test_a_worker_that_does_not_listen_has_its_grace_and_no_more(muster: TestMuster) -> None:
    muster.on(WORK, hangs)
    job = await muster.start(hasty)
    muster.machine.deaf = True
    await job.ends()
    assert is_too_late(job)
    assert muster.now == datetime(2030, 1, 1, 13, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize("spread", [False, True])
async def test_a_child_has_no_longer_than_its_parent(muster: TestMuster, *, spread: bool) -> None:
    muster.add(hasty)
    muster.on(WORK, hangs)
    job = await muster.run(mother, {"child": "hasty", "spread": spread}, deadline="20m")
    assert is_too_late(job)
    assert job.children[0].status in {"failed", "cancelled"}
    assert muster.now == datetime(2030, 1, 1, 12, 20, tzinfo=UTC)


async def test_a_childs_own_deadline_is_an_error_of_its_parents(muster: TestMuster) -> None:
    muster.add(hasty)
    muster.on(WORK, hangs)
    job = await muster.run(mother, {"child": "hasty"}, deadline="20h")
    assert job.result == {"code": "job_deadline"}
    assert is_too_late(job.children[0])


async def test_a_cancel_that_came_before_the_deadline_stays_one(muster: TestMuster) -> None:
    muster.on(WORK, hangs)
    job = await muster.start(hasty)
    muster.machine.deaf = True
    await muster.advance("59m50s")
    await job.cancel()
    await job.ends()
    assert job.status == "cancelled"


async def test_no_crash_changes_what_becomes_of_a_job_that_is_too_late(muster: TestMuster) -> None:
    muster.on(WORK, hangs)
    muster.on("clean", {"tidy": True})

    async def story(kit: TestMuster) -> None:
        await kit.run(tidy, deadline="1h")

    async for crashed in muster.crashes(story):
        assert all(is_too_late(job) for job in crashed.kit.started)


@pytest.mark.parametrize("deadline", ["0s", "-1h", "soon", "900d"])
def test_a_deadline_that_cannot_be_is_told_when_the_blueprint_is_loaded(deadline: str) -> None:
    wrong = Blueprint("wrong", deadline=deadline)

    @wrong.start
    async def begin(job: Job) -> Next:
        return job.done()

    with pytest.raises(BlueprintError, match=f"deadline='{deadline}' cannot be used"):
        TestMuster(wrong)
