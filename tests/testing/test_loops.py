"""Loops are states that go back."""

from muster import Blueprint, Job, Next, task
from muster.core.limits import TRANSITIONS_MAX
from muster.testing import TestMuster

look = task("shop.look", int, bool)
poll = Blueprint("poll")


@poll.start
async def ask(job: Job) -> Next:
    job.data["tries"] = job.data.get("tries", 0) + 1
    return job.run(look, job.data["tries"], ok=answered)


@poll.state
async def answered(job: Job, is_open: bool) -> Next:
    return job.done({"tries": job.data["tries"]}) if is_open else job.sleep("1m", then=ask)


async def test_a_loop_goes_round_until_it_is_done(muster: TestMuster) -> None:
    muster.on(look, lambda tries: tries == 5)
    before = muster.now
    job = await muster.run(poll)
    assert job.result == {"tries": 5}
    assert (muster.now - before).total_seconds() >= 240


async def test_a_loop_without_an_end_is_stopped(muster: TestMuster) -> None:
    endless = Blueprint("endless")

    @endless.start(to=["again", "finished"])
    async def again(job: Job) -> Next:
        return job.go(endless.states["again"])

    job = await muster.run(endless)
    assert job.status == "quarantined"
    assert job.record.context.transitions == TRANSITIONS_MAX
    assert (job.record.details or {})["code"] == "too_many_transitions"
