"""What every store does to start a job that is over again: itself, with all that lists it, or as a new job of it."""

import asyncio
from typing import Any

from muster.core.ids import JobId
from muster.core.record import ChildItem, Context, Parent, Submission
from muster.core.status import JobStatus
from muster.store.base import Completed, Refusal, Refused, Store, Turn
from muster.store.codec import dump_item
from muster.store.entered import Entered, dump_entered
from muster.store.operations import RETRIES_KEPT, Retry

from tests.support.samples import (
    claim_of,
    claim_one,
    commit_of,
    committed,
    end_of,
    first_turn,
    fresh,
    fresh_job_id,
    new_job,
    new_tasks,
)


async def failed_job(store: Store, **changes: object) -> JobId:
    turn = await first_turn(store, submission=Submission({}, tags=("night",)))
    entered = {"begin": dump_entered(0, 1, {"n": 1}, None), "pack": dump_entered(0, 2, "box", {"kept": 1})}
    fields: dict[str, Any] = {
        "status": JobStatus.FAILED,
        "error": "out of boxes",
        "details": {"code": "x"},
        "entered": entered,
        **changes,
    }
    await committed(store, commit_of(turn, **fields))
    return turn.record.id


def again(job: JobId, version: int = 1, **changes: object) -> Retry:
    fields: dict[str, object] = {
        "job": job, "version": version, "token": fresh(), "blueprint_version": "2", "state": "pack",
        "context": Context(argument="bag"), "history": "retried",
    }  # fmt: skip
    return Retry(**{**fields, **changes})  # type: ignore[arg-type]


async def retried(store: Store, retry: Retry) -> Turn:
    reply = await store.operations.retry(retry)
    assert isinstance(reply, Turn)
    return reply


async def test_what_states_were_entered_with_is_kept_in_their_order(store: Store) -> None:
    job = await failed_job(store)
    found = await store.operations.entered(job)
    assert list(found.items()) == [
        ("begin", Entered((0, 1), {"n": 1}, None)),
        ("pack", Entered((0, 2), "box", {"kept": 1})),
    ]
    assert await store.operations.entered(fresh_job_id()) == {}


async def test_a_failed_job_runs_again_and_nothing_of_its_end_is_left(store: Store) -> None:
    job = await failed_job(store)
    before = await store.read(job)
    assert before is not None
    turn = await retried(store, again(job))
    record = turn.record
    assert (record.status, record.state, record.blueprint_version) == (JobStatus.RUNNING, "pack", "2")
    assert (record.error, record.details, record.result, record.finished_at) == (None, None, None, None)
    assert record.context == Context(argument="bag")
    assert (record.version, record.wave) == (before.version + 1, before.wave + 1)
    assert record.revision > before.revision
    assert turn.items == ()
    await committed(store, commit_of(turn, new_tasks(0, 1)))
    task = await claim_one(store)
    end = await store.complete(end_of(task))
    assert isinstance(end, Completed)
    assert end.turn is not None
    await committed(store, commit_of(end.turn))
    over = await store.read(job)
    assert over is not None
    assert over.status is JobStatus.FINISHED


async def test_lists_tags_and_counts_go_along(store: Store) -> None:
    job = await failed_job(store)
    await retried(store, again(job))
    assert [record.id for record in (await store.jobs("acme", None, 10)).items] == [job]
    assert [record.id for record in (await store.tagged("acme", "night", None, 10)).items] == [job]
    live = await store.glances("acme", tag=None, statuses=frozenset({JobStatus.RUNNING}), most=10)
    assert [glance.job for glance in live] == [job]
    counts = {status: count for status, count in (await store.queue(0)).jobs.items() if count}
    assert counts == {JobStatus.RUNNING: 1}


async def test_a_job_that_ends_twice_is_counted_once(store: Store) -> None:
    from datetime import UTC, datetime

    job = await failed_job(store)
    turn = await retried(store, again(job))
    day = [datetime.fromtimestamp(turn.record.created_at / 1000, UTC).date()]
    assert sum(cost.jobs for cost in await store.day_costs("acme", day)) == 0
    await committed(store, commit_of(turn))
    assert sum(cost.jobs for cost in await store.day_costs("acme", day)) == 1


async def test_a_task_of_before_is_dropped_and_its_result_ends_nothing(store: Store) -> None:
    turn = await first_turn(store)
    job = turn.record.id
    await committed(store, commit_of(turn, new_tasks(0, 3), failures_left=0))
    bad, slow = await store.claim(0, claim_of(2))
    end = await store.complete(end_of(bad, failed=True))
    assert isinstance(end, Completed)
    assert end.turn is not None
    await committed(store, commit_of(end.turn, status=JobStatus.FAILED, error="x", drops=((0, 3),)))
    turn = await retried(store, again(job, version=2))
    late = await store.complete(end_of(slow))
    assert late == Completed()
    assert await store.claim(0, claim_of(1)) == ()
    await store.tick(0, "t")
    record = await store.read(job)
    assert record is not None
    assert record.status is JobStatus.RUNNING
    assert await store.live_task(job, 2) is None
    await committed(store, commit_of(turn))


async def test_a_retry_sent_twice_is_as_one(store: Store) -> None:
    job = await failed_job(store)
    retry = again(job)
    first = await retried(store, retry)
    assert await store.operations.retry(retry) == first
    await committed(store, commit_of(first, status=JobStatus.FAILED, error="again"))
    assert await store.operations.retry(retry) is None
    assert [event.blob for event in await store.history(job)].count("retried") == 1


async def test_what_lives_has_changed_or_is_gone_is_not_retried(store: Store) -> None:
    live = (await first_turn(store)).record.id
    assert await store.operations.retry(again(live, version=0)) == Refused(Refusal.LIVE)
    job = await failed_job(store)
    assert await store.operations.retry(again(job, version=7)) == Refused(Refusal.STALE)
    for unknown in (fresh_job_id(), fresh_job_id(partition=9)):
        assert await store.operations.retry(again(unknown)) == Refused(Refusal.GONE)
        assert await store.operations.rerun(unknown, new_job(), fresh()) == Refused(Refusal.GONE)


async def test_a_new_job_and_the_one_it_was_made_of_name_each_other(store: Store) -> None:
    job = await failed_job(store)
    new = new_job(state="pack", context=Context(argument="bag"), submission=Submission({}, retried_from=job))
    turn = await store.operations.rerun(job, new, "mine")
    assert isinstance(turn, Turn)
    assert (turn.record.state, turn.record.context.argument) == ("pack", "bag")
    assert isinstance(await store.operations.rerun(job, new, "mine"), Turn)
    old, made = await store.read(job), await store.read(new.id)
    assert old is not None
    assert made is not None
    assert (old.retried_as, made.submission.retried_from) == ((new.id,), job)
    assert old.status is JobStatus.FAILED
    await committed(store, commit_of(turn))
    assert await store.operations.rerun(job, new, "mine") is None


async def test_the_newest_retries_are_named(store: Store) -> None:
    job = await failed_job(store)
    made = []
    for _ in range(RETRIES_KEPT + 2):
        new = new_job()
        turn = await store.operations.rerun(job, new, fresh())
        assert isinstance(turn, Turn)
        await committed(store, commit_of(turn))
        made.append(new.id)
    old = await store.read(job)
    assert old is not None
    assert list(old.retried_as) == made[2:]


async def test_how_long_a_job_took_counts_from_when_it_was_started_again(store: Store) -> None:
    """The time for which it lay there, failed, says nothing of how long such jobs take."""
    turn = await first_turn(store)
    job = turn.record.id
    await committed(store, commit_of(turn, started=True, status=JobStatus.FAILED, error="x"))
    await passes(store, 200)
    last = await retried(store, again(job))
    await committed(store, commit_of(last))
    (took,) = await store.durations("acme", "orders")
    assert took < 200


async def passes(store: Store, ms: int) -> None:
    """So much time by the store's own clock: a job's deadline tells."""
    clock = await first_turn(store, deadline_ms=ms)
    while clock.record.id not in (await store.tick(0, fresh())).overdue:
        await asyncio.sleep(0.005)
    await committed(store, commit_of(clock, status=JobStatus.FAILED, error="it was a clock"))


# Children


async def test_a_child_that_is_started_again_tells_its_parent_of_no_second_end(store: Store) -> None:
    """Its parent is paused, so it still stands in the wave that waits for the child; it has the end already."""
    parent = await first_turn(store)
    child = new_job(parent=Parent(parent.record.id, 1, 1))
    await committed(store, commit_of(parent, status=JobStatus.WAITING, need=1, children=(child,)))
    assert await store.operations.pause(child.id, "ann", "", "") is None  # so that its turn is not the next tick's
    assert await store.operations.pause(parent.record.id, "ann", "", "") is None
    first = await store.operations.resume(child.id, fresh(), "")
    turn = first if isinstance(first, Turn) else next(iter((await store.tick(0, fresh())).turns))
    broken = dump_item(ChildItem("failed", None, "", "no"))
    await committed(store, commit_of(turn, status=JobStatus.FAILED, error="no", parting=broken))
    second = await retried(store, again(child.id))
    assert second.record.parent == Parent(parent.record.id, 0, 1)
    await committed(store, commit_of(second, parting=dump_item(ChildItem("finished"))))
    resumed = await store.operations.resume(parent.record.id, fresh(), "")
    assert isinstance(resumed, Turn)
    assert resumed.items == (ChildItem("failed", None, "", "no"),)
