"""Races, as whole jobs."""

from typing import Any

import pytest
from muster import Blueprint, Decision, Job, Next, TaskError, task
from muster.errors import ErrorCode, MusterError
from muster.testing import TestMuster, hangs, later
from muster_worker import Permanent
from pydantic import BaseModel


class Quote(BaseModel):
    cents: int


ask_price = task("quotes.ask", str, Quote, retries=0)
look_up = task("prices.look_up", str, Quote, retries=0)

hurry = Blueprint("hurry")


@hurry.start
async def begin(job: Job) -> Next:
    return job.race(
        job.run(ask_price, "tea", ok=bought, error=nobody_sells),
        job.run(look_up, "tea", ok=looked_up),
        job.wait_for("stop", ok=stopped),
        job.wait_for("pause", ok=stopped),
        job.sleep("5m", then=too_slow),
        cancelled=given_up,
    )


@hurry.state
async def bought(job: Job, quote: Quote) -> Next:
    return job.sleep("1s", then=told, argument=f"bought for {quote.cents}")


@hurry.state
async def looked_up(job: Job, quote: Quote) -> Next:
    return job.done(f"looked up: {quote.cents}")


@hurry.state
async def nobody_sells(job: Job, error: TaskError) -> Next:
    return job.done(error.message)


@hurry.state
async def stopped(job: Job, data: Any) -> Next:
    return job.done({"stopped": data})


@hurry.state
async def too_slow(job: Job) -> Next:
    return job.done("too slow")


@hurry.state
async def given_up(job: Job) -> Next:
    return job.done("given up")


@hurry.state
async def told(job: Job, what: str) -> Next:
    return job.done(what)


async def test_the_first_task_to_end_decides_and_the_other_is_cancelled_at_its_worker(muster: TestMuster) -> None:
    muster.on(ask_price, later("1m", Quote(cents=5)))
    muster.on(look_up, hangs)
    job = await muster.run(hurry)
    assert job.result == "bought for 5"
    dropped = [event.task_id for event in job.history() if event.event_type == "task_dropped"]
    assert dropped == [f"{job.id}.1"]


async def test_a_task_that_fails_for_good_has_ended_as_well(muster: TestMuster) -> None:
    muster.on(ask_price, Permanent("sold out"))
    muster.on(look_up, hangs)
    assert (await muster.run(hurry)).result == "sold out"


@pytest.mark.parametrize("name", ["stop", "pause"])
async def test_a_signal_wins_against_tasks(muster: TestMuster, name: str) -> None:
    muster.on(ask_price, hangs)
    muster.on(look_up, hangs)
    job = await muster.start(hurry)
    await job.signal(name, {"by": "ann"})
    await job.ends()
    assert job.result == {"stopped": {"by": "ann"}}


async def test_time_is_up_when_nothing_else_has_ended(muster: TestMuster) -> None:
    muster.on(ask_price, hangs)
    muster.on(look_up, hangs)
    before = muster.now
    job = await muster.run(hurry)
    assert job.result == "too slow"
    assert (muster.now - before).total_seconds() >= 300


async def test_a_raced_job_can_be_cancelled(muster: TestMuster) -> None:
    muster.nobody(ask_price)
    muster.nobody(look_up)
    job = await muster.start(hurry)
    assert job.waiting_for is not None
    assert job.waiting_for.kind == "race"
    await job.cancel()
    await job.ends()
    assert job.result == "given up"


async def test_a_signal_that_came_before_the_race_wins_it_at_once(muster: TestMuster) -> None:
    early = Blueprint("early")

    @early.state
    async def over(job: Job, data: Any = None) -> Next:
        return job.done(data)

    @early.state
    async def race(job: Job) -> Next:
        return job.race(job.wait_for("a", ok=over), job.wait_for("b", ok=over), job.sleep("1h", then=over))

    @early.start
    async def sleep(job: Job) -> Next:
        return job.sleep("1h", then=race)

    job = await muster.start(early)
    await job.signal("b", {"first": True})
    await job.signal("a", {"first": False})
    await job.ends()
    assert job.result == {"first": True}


async def test_no_crash_changes_who_wins(muster: TestMuster) -> None:
    muster.on(ask_price, later("1m", Quote(cents=5)))
    muster.on(look_up, hangs)

    async def story(muster: TestMuster) -> None:
        await muster.run(hurry)

    assert len([life async for life in muster.crashes(story)]) > 3


def test_each_branch_is_an_edge_of_its_own() -> None:
    edges = {(edge.label, edge.target) for edge in hurry.graph.edges if edge.source == "begin"}
    assert edges == {
        ("quotes.ask: success", "bought"),
        ("quotes.ask: failure", "nobody_sells"),
        ("prices.look_up: success", "looked_up"),
        ("stop: success", "stopped"),
        ("pause: success", "stopped"),
        ("timer: then", "too_slow"),
        ("cancelled", "given_up"),
    }


@pytest.mark.parametrize(
    ("branches", "words"),
    [
        (lambda job, end: [], "of 0 branches; it takes 2 to 20"),
        (lambda job, end: [job.sleep(1, then=end)], "of 1 branches; it takes 2 to 20"),
        (lambda job, end: [job.sleep(1, then=end), job.sleep(2, then=end)], "only the shortest could win"),
        (lambda job, end: [job.wait_for("a", ok=end), job.wait_for("a", ok=end)], "one signal twice"),
        (lambda job, end: [job.wait_for("a", ok=end, within=5), job.sleep(1, then=end)], "as a branch instead"),
        (lambda job, end: [job.run("a", 1, ok=end, undo="b"), job.sleep(1, then=end)], "undo= in a race"),
        (lambda job, end: [job.child("x", {}, ok=end, undo="b"), job.sleep(1, then=end)], "undo= in a race"),
        (lambda job, end: [job.child("x", {}, ok=end)] * 11, "more than 10 children"),
        (lambda job, end: [job.ask("?", a=end), job.ask("!", a=end)], "more than one job.ask"),
        (lambda job, end: [job.ask("?", a=end, within=5), job.sleep(1, then=end)], "as a branch instead"),
        (lambda job, end: [job.ask("?", a=end, cancelled=end), job.sleep(1, then=end)], "give cancelled= to job.race"),
        (lambda job, end: [job.go(end), job.sleep(1, then=end)], "not Go"),
        (lambda job, end: [job.sleep(-1, then=end), job.wait_for("a", ok=end)], "-1 is not a duration"),
    ],
)
async def test_a_race_that_cannot_be_is_refused_when_it_is_decided(
    muster: TestMuster, branches: Any, words: str
) -> None:
    wrong = Blueprint("wrong")

    @wrong.state
    async def end(job: Job) -> Next:
        return job.done()

    @wrong.start(to=["end"])
    async def start(job: Job) -> Next:
        return job.race(*branches(job, end))

    job = await muster.run(wrong)
    assert job.status == "quarantined"
    assert words in str(job.error)


purchase = Blueprint("purchase")


@purchase.start
async def ask_and_look(job: Job) -> Next:
    return job.race(
        job.run(look_up, "tea", ok=looked_up_alone, error=nobody_sells_it),
        job.ask("Buy it at any price?", approvers=["ann", "bob"], quorum=2, yes=agreed, no=refused),
        job.sleep("4m", then=nobody_said),
    )


@purchase.state
async def looked_up_alone(job: Job, quote: Quote) -> Next:
    return job.done({"cents": quote.cents})


@purchase.state
async def nobody_sells_it(job: Job, error: TaskError) -> Next:
    return job.done(error.message)


@purchase.state
async def agreed(job: Job, answer: Decision) -> Next:
    return job.sleep("1s", then=noted, argument=f"agreed: {[one.by for one in answer.answers]}")


@purchase.state
async def noted(job: Job, what: str) -> Next:
    return job.done(what)


@purchase.state
async def refused(job: Job, answer: Decision) -> Next:
    return job.done("refused")


@purchase.state
async def nobody_said(job: Job) -> Next:
    return job.done("nobody said")


async def test_people_win_a_race_against_a_task_which_is_cancelled(muster: TestMuster) -> None:
    muster.on(look_up, hangs)
    job = await muster.start(purchase)
    assert job.status == "waiting_for_human"
    assert job.waiting_for is not None
    assert (job.waiting_for.kind, job.waiting_for.message) == ("race", "Buy it at any price?")
    assert (job.waiting_for.decisions, job.waiting_for.missing) == (("no", "yes"), ("ann", "bob"))
    await job.decide("yes", by="ann")
    assert job.status == "waiting_for_human"
    await job.decide("yes", by="bob")
    await job.ends()
    assert job.result == "agreed: ['ann', 'bob']"
    assert [event.task_id for event in job.history() if event.event_type == "task_dropped"] == [f"{job.id}.0"]


async def test_a_task_wins_a_race_against_people_and_their_question_is_closed(muster: TestMuster) -> None:
    muster.on(look_up, later("2m", Quote(cents=7)))
    job = await muster.start(purchase)
    await job.decide("yes", by="ann")
    await muster.advance("2m")
    await job.ends()
    assert job.result == {"cents": 7}
    with pytest.raises(MusterError) as late:
        await job.decide("yes", by="bob")
    assert late.value.code is ErrorCode.NOT_WAITING_FOR_DECISION


async def test_time_wins_a_race_against_people(muster: TestMuster) -> None:
    muster.on(look_up, hangs)
    job = await muster.start(purchase)
    await muster.advance("4m")
    await job.ends()
    assert job.result == "nobody said"


async def test_no_crash_changes_how_a_race_with_people_ends(muster: TestMuster) -> None:
    muster.on(look_up, hangs)

    async def story(muster: TestMuster) -> None:
        job = await muster.start(purchase)
        await job.decide("yes", by="ann")
        await job.decide("yes", by="bob")
        await job.ends()

    assert len([crashed async for crashed in muster.crashes(story)]) > 3


def test_the_edges_of_a_question_in_a_race_say_so() -> None:
    edges = {(edge.label, edge.target) for edge in purchase.graph.edges if edge.source == "ask_and_look"}
    assert {("question: yes", "agreed"), ("question: no", "refused"), ("timer: then", "nobody_said")} <= edges
