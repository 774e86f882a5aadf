"""What every store does with a job that another job started."""

from typing import Any

import pytest
from muster.core.ids import JobId, UnixMs
from muster.core.record import ChildItem, Parent, Submission
from muster.core.status import JobStatus
from muster.store.base import Committed, NewJob, Refusal, Refused, Store, Turn
from muster.store.codec import dump_item

from tests.support.samples import (
    HOUR_MS,
    claim_of,
    claim_one,
    commit_of,
    committed,
    decision,
    end_of,
    first_turn,
    fresh,
    new_job,
    new_tasks,
)

ENDED = ChildItem("finished", {"pages": 3})


def child_of(turn: Turn, **changes: Any) -> NewJob:
    record = turn.record
    depth = 0 if record.parent is None else record.parent.depth
    parent = Parent(record.id, max(record.wave, record.spawn_wave) + 1, depth + 1)
    return new_job(**{"parent": parent, "tenant": record.tenant, "history": "made", **changes})


async def parent_and_child(store: Store, turn: Turn | None = None) -> tuple[JobId, JobId]:
    """A job that waits for another, which nobody has looked at yet."""
    turn = turn or await first_turn(store)
    child = child_of(turn)
    await committed(store, commit_of(turn, status=JobStatus.WAITING, need=1, children=(child,)))
    return turn.record.id, child.id


async def due_turns(store: Store) -> dict[JobId, Turn]:
    return {turn.record.id: turn for turn in (await store.tick(0, fresh())).turns}


async def end(store: Store, turn: Turn, item: ChildItem = ENDED, **changes: Any) -> Committed:
    return await committed(store, commit_of(turn, parting=dump_item(item), **changes))


async def test_a_child_is_made_with_its_parents_commit_and_is_due_at_once(store: Store) -> None:
    parent, child = await parent_and_child(store)
    record = await store.read(child)
    assert record is not None
    assert (record.status, record.tenant, record.parent) == (JobStatus.PENDING, "acme", Parent(parent, 1, 1))
    assert record.parent_id == parent
    assert [event.blob for event in await store.history(child)] == ["made"]
    assert set(await due_turns(store)) == {child}
    assert {job.id for job in (await store.jobs("acme", None, 10)).items} == {parent, child}
    counts = {status: count for status, count in (await store.queue(0)).jobs.items() if count}
    assert counts == {"waiting": 1, "pending": 1}


async def test_a_commit_sent_twice_makes_one_child(store: Store) -> None:
    turn = await first_turn(store)
    commit = commit_of(turn, status=JobStatus.WAITING, need=1, children=(child_of(turn),))
    await committed(store, commit)
    await committed(store, commit)
    await committed(
        store, commit_of(turn, status=JobStatus.WAITING, need=1, children=(child_of(turn),))
    )  # decided again
    assert len((await store.jobs("acme", None, 10)).items) == 2
    assert len(await due_turns(store)) == 1


async def test_a_job_whose_first_turn_starts_a_child_is_stored_with_it(store: Store) -> None:
    new = new_job()
    turn = Turn("mine", new.record(UnixMs(0)), ())
    first = commit_of(turn, status=JobStatus.WAITING, need=1, children=(child_of(turn),))
    for _ in range(2):
        assert isinstance(await store.submit(new, "mine", first), Committed)
    assert len((await store.jobs("acme", None, 10)).items) == 2
    assert len(await due_turns(store)) == 1


async def test_a_childs_end_makes_its_parents_turn_due_at_once_and_says_how_it_went(store: Store) -> None:
    parent, child = await parent_and_child(store)
    turn = (await due_turns(store))[child]
    last = commit_of(turn, parting=dump_item(ENDED))
    for _ in range(2):
        assert (await committed(store, last)).turn is None
    due = (await due_turns(store))[parent]
    assert due.items == (ENDED,)
    await committed(store, commit_of(due))
    assert await due_turns(store) == {}


async def test_the_end_of_a_child_that_nobody_waits_for_any_more_is_not_delivered(store: Store) -> None:
    parent, child = await parent_and_child(store)
    turn = (await due_turns(store))[child]
    await end(store, turn)
    going_on = (await due_turns(store))[parent]
    second = child_of(going_on)
    await committed(store, commit_of(going_on, status=JobStatus.WAITING, need=1, children=(second,)))
    zombie = await store.submit(new_job(parent=Parent(parent, 1, 1)), fresh())  # of the past wave
    assert isinstance(zombie, Turn)
    await end(store, zombie, ChildItem("failed"))
    due = await due_turns(store)
    assert set(due) == {second.id}
    await end(store, due[second.id], ChildItem("finished", 2))
    assert (await due_turns(store))[parent].items == (ChildItem("finished", 2),)


async def test_no_answer_of_a_person_ends_the_wait_for_a_child(store: Store) -> None:
    parent, _ = await parent_and_child(store)
    assert await store.signal(parent, 1, decision(), "", fresh()) == Refused(Refusal.CONFLICT)


# Cancelling


async def test_a_cancelled_parent_is_over_only_after_its_child(store: Store) -> None:
    parent, child = await parent_and_child(store)
    turn = await store.cancel(parent, "mine", HOUR_MS, "asked", "passed down")
    assert isinstance(turn, Turn)
    assert (turn.record.id, turn.record.cancel_requested) == (child, True)
    assert await store.cancel(parent, "mine", HOUR_MS, "asked", "passed down") == turn
    record = await store.read(parent)
    assert record is not None
    assert (record.status, record.cancel_requested) == (JobStatus.WAITING, True)
    assert [event.blob for event in await store.history(parent)][-1] == "asked"
    assert [event.blob for event in await store.history(child)][-1] == "passed down"
    assert await due_turns(store) == {}
    await end(store, turn, ChildItem("cancelled"), status=JobStatus.CANCELLED, error="x", clear_cancel=True)
    last = (await due_turns(store))[parent]
    assert last.record.cancel_requested
    await committed(store, commit_of(last, status=JobStatus.CANCELLED, error="x", clear_cancel=True))


async def test_a_wish_to_cancel_goes_all_the_way_down_and_the_end_comes_all_the_way_up(store: Store) -> None:
    top, middle = await parent_and_child(store)
    _, bottom = await parent_and_child(store, (await due_turns(store))[middle])
    turn = await store.cancel(top, fresh(), HOUR_MS, "", "")
    assert isinstance(turn, Turn)
    for job in (bottom, middle, top):
        assert turn.record.id == job
        assert turn.record.cancel_requested
        await end(store, turn, ChildItem("cancelled"), status=JobStatus.CANCELLED, error="x", clear_cancel=True)
        turn = next(iter((await due_turns(store)).values()), turn)


async def test_the_workers_of_a_child_are_named_to_whoever_cancels_its_parent_and_get_their_grace(store: Store) -> None:
    parent, child = await parent_and_child(store)
    await committed(store, commit_of((await due_turns(store))[child], new_tasks(0, 1)))
    task = await claim_one(store)
    for _ in range(2):
        assert await store.cancel(parent, fresh(), HOUR_MS, "", "") == ((task.task, "w1"),)
    assert await due_turns(store) == {}
    ended = await store.complete(end_of(task))
    assert not isinstance(ended, Refused)
    assert ended.turn is not None
    assert ended.turn.record.id == child


async def test_a_grace_of_an_earlier_wish_does_not_end_a_job_before_its_child(store: Store) -> None:
    """The job cleans up with a child; then it is cancelled again, while its first grace still runs."""
    turn = await first_turn(store)
    await committed(store, commit_of(turn, new_tasks(0, 1)))
    task = await claim_one(store)
    assert isinstance(await store.cancel(turn.record.id, fresh(), 0, "", ""), tuple)
    ended = await store.complete(end_of(task))
    assert not isinstance(ended, Refused)
    assert ended.turn is not None
    child = child_of(ended.turn)
    cleaning = commit_of(ended.turn, status=JobStatus.WAITING, need=1, children=(child,), clear_cancel=True)
    await committed(store, cleaning)
    last = await store.cancel(turn.record.id, fresh(), HOUR_MS, "", "")
    assert isinstance(last, Turn)
    assert last.record.id == child.id
    assert await due_turns(store) == {}
    await end(store, last, ChildItem("cancelled"), status=JobStatus.CANCELLED, error="x", clear_cancel=True)


async def test_a_late_result_of_a_past_wait_does_not_end_a_cancelled_job_before_its_child(store: Store) -> None:
    turn = await first_turn(store)
    await committed(store, commit_of(turn, new_tasks(0, 2), failures_left=0))
    one, two = await store.claim(0, claim_of(2))
    failed = await store.complete(end_of(one, failed=True))
    assert not isinstance(failed, Refused)
    assert failed.turn is not None
    child = child_of(failed.turn)
    going_on = commit_of(failed.turn, status=JobStatus.WAITING, need=1, children=(child,), drops=((0, 2),))
    await committed(store, going_on)
    last = await store.cancel(turn.record.id, fresh(), HOUR_MS, "", "")
    assert isinstance(last, Turn)
    late = await store.complete(end_of(two))
    assert not isinstance(late, Refused)
    assert late.turn is None
    await end(store, last, ChildItem("cancelled"), status=JobStatus.CANCELLED, error="x", clear_cancel=True)
    assert set(await due_turns(store)) == {turn.record.id}


async def test_a_job_cancelled_while_its_turn_starts_a_child_starts_none(store: Store) -> None:
    turn = await first_turn(store)
    assert await store.cancel(turn.record.id, fresh(), HOUR_MS, "", "") == ()
    child = child_of(turn)
    reply = await committed(store, commit_of(turn, status=JobStatus.WAITING, need=1, children=(child,)))
    assert reply.turn is not None
    assert reply.turn.record.cancel_requested
    assert await store.read(child.id) is None
    await committed(store, commit_of(reply.turn, status=JobStatus.CANCELLED, error="x", clear_cancel=True))


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.QUARANTINED, JobStatus.CANCELLED])
async def test_every_end_of_a_child_reaches_its_parent(store: Store, status: JobStatus) -> None:
    parent, child = await parent_and_child(store)
    item = ChildItem(status, None, "CODE", "why")
    await end(store, (await due_turns(store))[child], item, status=status, error="why")
    assert (await due_turns(store))[parent].items == (item,)


async def test_a_parent_is_told_of_the_deletion_of_its_child(store: Store) -> None:
    parent, child = await parent_and_child(store)
    await store.delete(child)
    assert await store.read(child) is None
    due = (await due_turns(store))[parent]
    assert due.items == (ChildItem("cancelled", message="deleted", child=child),)


async def test_a_childs_tags_find_it(store: Store) -> None:
    turn = await first_turn(store)
    child = child_of(turn, submission=Submission({}, tags=("night",)))
    await committed(store, commit_of(turn, status=JobStatus.WAITING, need=1, children=(child,)))
    record = await store.read(child.id)
    assert record is not None
    assert record.submission.tags == ("night",)
