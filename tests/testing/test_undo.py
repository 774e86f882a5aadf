"""Undoing what a job did, as whole jobs."""

import json
from typing import Any

import pytest
from muster import Blueprint, Job, Join, Next, TaskError, failed, finished, task
from muster.blueprint import BlueprintError, dot, mermaid
from muster.blueprint.specs import undo_of
from muster.engine.retrying import Given, RetryOrder
from muster.store.undo_codec import dump_spec, load_spec
from muster.testing import TestMuster, hangs
from muster_worker import Permanent, Retry
from muster_worker.needs import Needs
from pydantic import BaseModel


class Wish(BaseModel):
    what: str


class Booked(BaseModel):
    ref: str


class Refused(BaseModel):
    why: str


book = task("book", Wish, Booked, retries=0)
cancel_booking = task("book.cancel", Booked, retries=2)
pay = task("pay", Wish, Booked, retries=0)
refund = task("pay.refund", Booked, retries=0)

trip = Blueprint("trip")


@trip.start
async def begin(job: Job) -> Next:
    return job.run(pay, Wish(what="all"), ok=paid, undo=refund)


@trip.state
async def paid(job: Job, receipt: Booked) -> Next:
    return job.map(book, [Wish(what=w) for w in "ab"], ok=booked, undo=cancel_booking)


@trip.state
async def booked(job: Job, found: list[Booked]) -> Next:
    match job.input["end"]:
        case "done":
            return job.done({"refs": [one.ref for one in found]})
        case "fail":
            return job.fail("it rains")
        case "failed":
            return job.go(failed, "it snows")
        case "put aside":
            return job.quarantine("look at it")
        case "raise":
            raise RuntimeError("a mistake")
        case _:
            return job.sleep("1h", then=finished)


def all_work(muster: TestMuster) -> None:
    muster.on(pay, lambda wish: Booked(ref="money"))
    muster.on(book, lambda wish: Booked(ref=wish.what))
    muster.on(cancel_booking, None)
    muster.on(refund, None)


def undone(muster: TestMuster) -> list[str]:
    return [one.ref for one in [*muster.calls(cancel_booking), *muster.calls(refund)]]


async def test_a_job_that_ends_well_undoes_nothing(muster: TestMuster) -> None:
    all_work(muster)
    job = await muster.run(trip, {"end": "done"})
    assert job.result == {"refs": ["a", "b"]}
    assert undone(muster) == []


@pytest.mark.parametrize(("end", "error"), [("fail", "it rains"), ("failed", "it snows")])
async def test_a_job_that_fails_undoes_what_it_did_newest_first_and_ends_as_it_would_have(
    muster: TestMuster, end: str, error: str
) -> None:
    all_work(muster)
    job = await muster.run(trip, {"end": end})
    assert (job.status, job.error) == ("failed", error)
    assert undone(muster) == ["b", "a", "money"]
    told = [event.details for event in job.history() if event.event_type == "undo_started"]
    assert told == [
        {"type": "book.cancel", "undoes": 2, "left": 2},
        {"type": "book.cancel", "undoes": 1, "left": 1},
        {"type": "pay.refund", "undoes": 0, "left": 0},
    ]


async def test_what_succeeded_beside_a_failure_is_undone_as_well(muster: TestMuster) -> None:
    all_work(muster)
    muster.on(book, lambda wish: Booked(ref="a") if wish.what == "a" else Permanent("full"))
    job = await muster.run(trip, {"end": "done"})
    assert (job.status, job.error) == ("quarantined", "full")
    assert undone(muster) == ["a", "money"]


async def test_a_cancelled_job_undoes_what_it_did_and_is_cancelled_then(muster: TestMuster) -> None:
    all_work(muster)
    job = await muster.start(trip, {"end": "sleep"})
    await job.reaches("booked")
    await job.cancel()
    await job.ends()
    assert (job.status, undone(muster)) == ("cancelled", ["b", "a", "money"])


async def test_what_a_worker_finished_in_spite_of_the_cancellation_is_undone(muster: TestMuster) -> None:
    all_work(muster)
    job = await muster.start(trip, {"end": "sleep"})
    muster.on(pay, hangs)
    second = await muster.start(trip, {"end": "sleep"})
    await job.cancel()
    await second.cancel()
    await second.ends()
    assert second.status == "cancelled"


async def test_an_undo_has_retries_of_its_own(muster: TestMuster) -> None:
    all_work(muster)
    muster.on(cancel_booking, [Retry("busy"), Retry("busy"), None, None])
    job = await muster.run(trip, {"end": "fail"})
    assert job.status == "failed"
    assert len(muster.calls(cancel_booking)) == 4


async def test_an_undo_that_fails_for_good_puts_the_job_aside_and_says_what_is_left(muster: TestMuster) -> None:
    all_work(muster)
    muster.on(cancel_booking, [None, Permanent("gone")])
    job = await muster.run(trip, {"end": "fail"})
    assert job.status == "quarantined"
    details: Any = job.record.details
    assert details["code"] == "undo_failed"
    assert details["undone"] == [{"task": 2, "undo": "book.cancel"}]
    assert details["not_undone"] == [{"task": 1, "undo": "book.cancel"}, {"task": 0, "undo": "pay.refund"}]
    assert details["instead_of"] == {"status": "failed", "error": "it rains"}
    assert details["undo_error"]["message"] == "gone"
    assert [undo.of for undo in job.record.context.undo] == [0, 1], "a person may let it go on from here"


async def test_a_second_cancel_does_not_cut_the_undoing_short(muster: TestMuster) -> None:
    all_work(muster)
    muster.nobody(cancel_booking)
    job = await muster.start(trip, {"end": "sleep"})
    await job.reaches("booked")
    await job.cancel()
    assert job.status == "waiting_for_worker"
    await job.cancel()
    assert job.status == "waiting_for_worker"
    muster.on(cancel_booking, None)
    await job.ends()
    assert (job.status, undone(muster)) == ("cancelled", ["b", "a", "money"])


@pytest.mark.parametrize("end", ["put aside", "raise"])
async def test_a_job_that_is_put_aside_for_a_person_keeps_what_it_did(muster: TestMuster, end: str) -> None:
    all_work(muster)
    job = await muster.run(trip, {"end": end})
    assert job.status == "quarantined"
    assert undone(muster) == []
    assert len(job.record.context.undo) == 3


async def test_no_crash_repeats_an_undo_wrongly(muster: TestMuster) -> None:
    all_work(muster)

    async def story(muster: TestMuster) -> None:
        await muster.run(trip, {"end": "fail"})

    async for life in muster.crashes(story):
        done = [event for event in life.kit.started[0].history() if event.event_type == "undo_started"]
        assert [event.details["undoes"] for event in done] == [2, 1, 0], life


async def test_the_result_of_a_child_can_be_undone(muster: TestMuster) -> None:
    family, kid = Blueprint("family"), Blueprint("kid")

    @kid.start
    async def work(job: Job) -> Next:
        return job.done({"ref": "of the child"})

    @family.state
    async def stop(job: Job, result: dict[str, Any]) -> Next:
        return job.fail("no")

    @family.start
    async def give_birth(job: Job) -> Next:
        return job.child("kid", {}, ok=stop, undo=refund)

    all_work(muster)
    muster.add(kid)
    job = await muster.run(family)
    assert (job.status, undone(muster)) == ("failed", ["of the child"])


def test_an_undo_is_drawn_with_a_dashed_line_to_its_task() -> None:
    assert '"begin" -> "undo pay.refund" [label=undo, style=dashed];' in dot(trip.graph)
    assert "-.->|undo|" in mermaid(trip.graph)


async def test_an_undo_that_does_not_fit_is_told_when_the_blueprint_is_loaded(muster: TestMuster) -> None:
    takes_other: Any = task("other", Refused)
    wrong = Blueprint("wrong")

    @wrong.start
    async def begin_wrong(job: Job) -> Next:
        return job.run(book, Wish(what="x"), ok=finished, undo=takes_other)

    with pytest.raises(BlueprintError, match="undo='other' takes Refused, and 'book' returns Booked"):
        muster.add(wrong)


async def test_more_undos_than_are_kept_are_refused_before_the_tasks_begin(muster: TestMuster) -> None:
    many = Blueprint("many")

    @many.start
    async def spread(job: Job) -> Next:
        return job.map(book, [Wish(what="x")] * 1_001, ok=finished, undo=cancel_booking)

    all_work(muster)
    job = await muster.run(many)
    assert job.status == "quarantined"
    assert muster.calls(book) == []
    assert (job.record.details or {})["code"] == "too_many_undos"


async def test_an_undo_goes_with_no_join_that_has_losers(muster: TestMuster) -> None:
    lost = Blueprint("lost")

    @lost.state
    async def never(job: Job, found: Any) -> Next:
        return job.done()

    @lost.state
    async def error(job: Job, error: TaskError) -> Next:
        return job.done()

    @lost.start
    async def spread(job: Job) -> Next:
        join: Any = Join.first(1)
        return job.map(book, [Wish(what="x")] * 2, ok=never, error=error, undo=cancel_booking, join=join)

    job = await muster.run(lost)
    assert "undo= does not go with join=first:1" in str(job.error)


def test_where_an_undo_may_run_is_kept_with_the_job() -> None:
    limits: Any = {"needs": Needs(labels={"zone": "a"})}
    spec = undo_of(book, task("book.cancel_there", Booked, timeout="5s", retries=4, **limits))
    assert spec is not None
    assert spec.placement is not None
    assert load_spec(json.loads(json.dumps(dump_spec(spec)))) == spec


@pytest.mark.parametrize(("new", "undone_then"), [(False, ["money"]), (True, [])])
async def test_a_job_that_goes_on_after_it_was_put_aside_still_undoes_what_it_did(
    muster: TestMuster, *, new: bool, undone_then: list[str]
) -> None:
    """Started again in place it is the same job; a new one that is made of it undoes what it does itself."""
    sale = Blueprint("sale")

    @sale.state
    async def deliver(job: Job, receipt: Booked) -> Next:
        return job.fail("no stock") if job.data.get("looked") else job.quarantine("look at it")

    @sale.start
    async def charge(job: Job) -> Next:
        return job.run(pay, Wish(what="all"), ok=deliver, undo=refund)

    all_work(muster)
    job = await muster.run(sale)
    assert (job.status, undone(muster)) == ("quarantined", [])
    again = await job.retry(RetryOrder(data=Given({"looked": True}), new=new))
    await again.ends()
    assert (again.status, again.error, undone(muster)) == ("failed", "no stock", undone_then)
