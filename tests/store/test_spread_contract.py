"""What every store does with a child in another partition than its parent's, and with several children of one wait."""

from typing import Any

import pytest
from muster.core.ids import JobId, UnixMs
from muster.core.record import ChildItem, Parent, Pause
from muster.core.status import JobStatus
from muster.store.base import Committed, DueMessage, LeaseRef, NewJob, Refusal, Refused, Store, Turn
from muster.store.child_messages import CancelChild, EndOfChild, HoldChild, StartChild, read_child_message
from muster.store.codec import dump_item

from tests.conftest import MakeDeployment
from tests.support.deployment import Backend, Deployment
from tests.support.samples import (
    HOUR_MS,
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

ENDED = ChildItem("finished", {"pages": 3})
HERE, THERE = 0, 2


@pytest.fixture
async def deployment(deploy: MakeDeployment, backend: Backend) -> Deployment:
    return deploy(backend, partitions=4)


def child_of(turn: Turn, partition: int = THERE, *, spread: bool = True, **changes: Any) -> NewJob:
    record = turn.record
    parent = Parent(record.id, max(record.wave, record.spawn_wave) + 1, 1, spread=spread)
    return new_job(partition, **{"parent": parent, "tenant": record.tenant, "history": "made", **changes})


async def waiting(store: Store, turn: Turn, *children: NewJob, **changes: Any) -> None:
    await committed(store, commit_of(turn, status=JobStatus.WAITING, need=1, children=children, **changes))


async def parent_and_child(store: Store, **changes: Any) -> tuple[JobId, NewJob]:
    """A job that waits for one in another partition, whose start is in the outbox."""
    turn = await first_turn(store)
    child = child_of(turn, **changes)
    await waiting(store, turn, child)
    return turn.record.id, child


async def sent(store: Store, partition: int = HERE) -> list[DueMessage]:
    return list((await store.tick(partition, fresh())).messages)


async def due_turns(store: Store, partition: int = HERE) -> dict[JobId, Turn]:
    return {turn.record.id: turn for turn in (await store.tick(partition, fresh())).turns}


async def begun(store: Store, partition: int = HERE) -> Turn:
    """The first turn of the child whose start is due, delivered and settled."""
    (message,) = await sent(store, partition)
    start = read_child_message(message.body)
    assert isinstance(start, StartChild)
    turn = await store.children.begin(start.job, fresh())
    assert turn is not None
    await store.settle(partition, message.id, message.tries, None)
    return turn


async def end(store: Store, turn: Turn, item: ChildItem = ENDED, **changes: Any) -> Committed:
    return await committed(store, commit_of(turn, parting=dump_item(item), **changes))


async def end_arrives(store: Store, partition: int = THERE) -> bool:
    (message,) = await sent(store, partition)
    told = read_child_message(message.body)
    assert isinstance(told, EndOfChild)
    taken = await store.children.ended(told.parent, told.wave, told.child, told.item)
    await store.settle(partition, message.id, message.tries, None)
    return taken


async def test_a_spread_child_is_not_made_by_its_parents_commit_but_by_a_message(store: Store) -> None:
    parent, child = await parent_and_child(store)
    assert await store.read(child.id) is None
    assert await store.children.unsent(parent, child.id) == 0
    turn = await begun(store)
    assert await store.children.unsent(parent, child.id) is None
    record = await store.read(child.id)
    assert record is not None
    assert (turn.record.id, record.status, record.parent) == (child.id, JobStatus.PENDING, child.parent)
    assert (record.submission, record.blueprint, record.state) == (child.submission, child.blueprint, child.state)
    assert [event.blob for event in await store.history(child.id)] == ["made"]
    assert await sent(store) == []
    await end(store, turn)
    assert await end_arrives(store)


async def test_a_start_that_comes_again_makes_no_second_child(store: Store) -> None:
    _, child = await parent_and_child(store)
    (message,) = await sent(store)
    start = read_child_message(message.body)
    assert isinstance(start, StartChild)
    turn = await store.children.begin(start.job, "mine")
    assert turn is not None
    again = await store.children.begin(start.job, "mine")
    assert again is not None
    assert (again.token, again.record.id) == (turn.token, turn.record.id)
    assert await store.children.begin(start.job, "another") is None
    await end(store, turn)
    assert await store.children.begin(start.job, "late") is None
    assert len((await store.jobs("acme", None, 10)).items) == 2
    assert await end_arrives(store)
    # Whoever held the start died before it was settled: it is dropped, as nobody waits for the child any more.
    await store.settle(HERE, message.id, message.tries, 0)
    assert await sent(store) == []
    assert await store.children.unsent(child.parent.id if child.parent else child.id, child.id) is None


async def test_the_end_of_a_spread_child_makes_its_parents_turn_due_once(store: Store) -> None:
    parent, child = await parent_and_child(store)
    turn = await begun(store)
    last = commit_of(turn, parting=dump_item(ENDED))
    for _ in range(2):
        await committed(store, last)
    (message,) = await sent(store, THERE)
    told = read_child_message(message.body)
    assert isinstance(told, EndOfChild)
    assert (told.parent, told.wave, told.child) == (parent, 1, child.id)
    assert await store.children.ended(told.parent, told.wave, told.child, told.item)
    assert not await store.children.ended(told.parent, told.wave, told.child, told.item)
    due = (await due_turns(store))[parent]
    assert due.items == (ENDED,)
    await committed(store, commit_of(due))
    assert not await store.children.ended(told.parent, told.wave, told.child, told.item)
    assert await due_turns(store) == {}


async def test_the_end_may_overtake_the_acknowledgement_of_the_start(store: Store) -> None:
    parent, _ = await parent_and_child(store)
    (message,) = await sent(store)
    start = read_child_message(message.body)
    assert isinstance(start, StartChild)
    turn = await store.children.begin(start.job, fresh())
    assert turn is not None
    await end(store, turn)
    assert await end_arrives(store)
    due = (await due_turns(store))[parent]
    await store.settle(HERE, message.id, message.tries, None)
    await committed(store, commit_of(due))
    assert await sent(store) == []


async def test_the_end_of_a_spread_child_of_a_paused_parent_counts_when_it_is_resumed(store: Store) -> None:
    parent, _ = await parent_and_child(store)
    turn = await begun(store)
    assert await store.operations.pause(parent, "ann", "", "") is None
    assert await pause_of(store, turn.record.id) is None, "it has not been told yet"
    await end(store, turn)
    assert await end_arrives(store)
    assert await due_turns(store) == {}
    resumed = await store.operations.resume(parent, fresh(), "")
    assert isinstance(resumed, Turn)
    assert resumed.items == (ENDED,)


async def holds(store: Store, partition: int = HERE) -> list[HoldChild]:
    """What spread children are told of a pause; each is settled."""
    found = []
    for message in await sent(store, partition):
        told = read_child_message(message.body)
        assert isinstance(told, HoldChild)
        await store.settle(partition, message.id, message.tries, None)
        found.append(told)
    return found


async def pause_of(store: Store, job: JobId) -> Pause | None:
    record = await store.read(job)
    assert record is not None
    return record.pause


async def test_a_pause_is_passed_down_to_a_spread_child_and_its_end_too(store: Store) -> None:
    parent, child = await parent_and_child(store)
    turn = await begun(store)
    below = child_of(turn, THERE, spread=False)
    await waiting(store, turn, below)
    for _ in range(2):
        assert await store.operations.pause(parent, "ann", "why", "", "") is None
    (told,) = await holds(store)
    assert told == HoldChild(child.id, 1, parent, ("ann", "why"))
    for _ in range(2):
        assert await store.children.hold(told, "held")
    for job in (child.id, below.id):
        pause = await pause_of(store, job)
        assert pause is not None
        assert (pause.by, pause.reason, pause.above) == ("ann", "why", parent)
        assert [event.blob for event in await store.history(job)][-1] == "held"
    assert await due_turns(store, THERE) == {}
    assert await store.operations.resume(parent, fresh(), "") is None
    (let_go,) = await holds(store)
    assert let_go == HoldChild(child.id, 2, parent, None)
    assert await store.children.hold(let_go, "let go")
    assert not await store.children.hold(HoldChild(fresh_job_id(THERE), 1, parent, None), "")
    assert [await pause_of(store, job) for job in (child.id, below.id)] == [None, None]
    assert set(await due_turns(store, THERE)) == {below.id}


async def test_of_a_pause_and_its_end_that_overtake_each_other_the_newer_one_counts(store: Store) -> None:
    parent, child = await parent_and_child(store)
    await begun(store)
    await store.operations.pause(parent, "ann", "", "", "")
    (held,) = await holds(store)
    await store.operations.resume(parent, fresh(), "")
    (let_go,) = await holds(store)
    assert await store.children.hold(let_go, "")
    assert await store.children.hold(held, "")
    assert await pause_of(store, child.id) is None


async def test_a_spread_child_that_was_paused_by_itself_stays_so(store: Store) -> None:
    parent, child = await parent_and_child(store)
    await begun(store)
    await store.operations.pause(child.id, "bob", "mine", "", "")
    await store.operations.pause(parent, "ann", "", "", "")
    await store.operations.resume(parent, fresh(), "")
    for told in await holds(store):
        assert await store.children.hold(told, "")
    pause = await pause_of(store, child.id)
    assert pause is not None
    assert pause.by == "bob"


async def test_the_start_of_a_child_waits_while_its_parent_is_paused(store: Store) -> None:
    parent, child = await parent_and_child(store)
    await store.operations.pause(parent, "ann", "", "", "")
    assert [told.words for told in await holds(store)] == [("ann", "")]
    assert await store.children.unsent(parent, child.id) == 0
    await store.operations.resume(parent, fresh(), "")
    kinds = {type(read_child_message(message.body)) for message in await sent(store)}
    assert kinds == {StartChild, HoldChild}


async def test_the_wish_to_cancel_goes_by_a_message_and_the_parent_ends_after_its_child(store: Store) -> None:
    parent, child = await parent_and_child(store)
    turn = await begun(store)
    await committed(store, commit_of(turn, new_tasks(0, 1)))
    (task,) = await store.claim(THERE, claim_of(1))
    for _ in range(2):
        assert await store.cancel(parent, fresh(), HOUR_MS, "asked", "below") == ()
    (message,) = await sent(store)
    assert read_child_message(message.body) == CancelChild(child.id, parent, 1)
    assert await due_turns(store) == {}
    assert await store.cancel(child.id, fresh(), HOUR_MS, "asked", "below") == ((task.task, "w1"),)
    await store.settle(HERE, message.id, message.tries, None)
    ended = await store.complete(end_of(task))
    assert not isinstance(ended, Refused)
    assert ended.turn is not None
    cancelled = ChildItem("cancelled", child=child.id)
    await end(store, ended.turn, cancelled, status=JobStatus.CANCELLED, error="x", clear_cancel=True)
    assert await end_arrives(store)
    last = (await due_turns(store))[parent]
    assert (last.record.cancel_requested, last.items) == (True, (cancelled,))
    await committed(store, commit_of(last, status=JobStatus.CANCELLED, error="x", clear_cancel=True))


@pytest.mark.parametrize("in_hand", [False, True])
async def test_a_parent_cancelled_before_its_childs_start_was_delivered_withdraws_it(
    store: Store, *, in_hand: bool
) -> None:
    """Whoever has the start in hand may have made the child: it comes again, withdrawn, and is not settled by them."""
    parent, child = await parent_and_child(store)
    before = await sent(store) if in_hand else []
    assert await store.cancel(parent, fresh(), HOUR_MS, "", "") == ()
    for message in before:
        assert not message.withdrawn
        await store.settle(HERE, message.id, message.tries, None)
    (message,) = await sent(store)
    assert (message.withdrawn, message.tries) == (True, 1)
    assert await due_turns(store) == {}
    start = read_child_message(message.body)
    assert isinstance(start, StartChild)
    record = start.job.record(UnixMs(0))
    cancelled = ChildItem("cancelled", child=child.id)
    first = commit_of(
        Turn("mine", record, ()), status=JobStatus.CANCELLED, error="cancelled", parting=dump_item(cancelled)
    )  # fmt: skip
    for _ in range(2):
        assert isinstance(await store.submit(start.job, "mine", first), Committed)
    assert await store.cancel(child.id, fresh(), HOUR_MS, "", "") == Refused(Refusal.FINAL)
    await store.settle(HERE, message.id, message.tries, None)
    assert await store.children.begin(start.job, "who had it in hand") is None
    assert await end_arrives(store)
    assert (await due_turns(store))[parent].items == (cancelled,)


async def test_a_parent_is_told_of_the_deletion_of_a_spread_child(store: Store) -> None:
    parent, child = await parent_and_child(store)
    await begun(store)
    await store.delete(child.id)
    assert await end_arrives(store)
    assert (await due_turns(store))[parent].items == (ChildItem("cancelled", message="deleted", child=child.id),)


async def test_the_child_of_a_deleted_parent_is_asked_to_end(store: Store) -> None:
    parent, child = await parent_and_child(store)
    turn = await begun(store)
    await store.delete(parent)
    (message,) = await sent(store)
    assert read_child_message(message.body) == CancelChild(child.id, parent, 1)
    await store.settle(HERE, message.id, message.tries, None)
    await end(store, turn)
    assert not await end_arrives(store)


async def test_a_spread_child_may_live_in_its_parents_partition_all_the_same(store: Store) -> None:
    parent, _ = await parent_and_child(store, partition=HERE)
    turn = await begun(store)
    await end(store, turn)
    assert await end_arrives(store, HERE)
    assert set(await due_turns(store)) == {parent}


# Several children


async def test_the_first_end_of_several_children_decides_and_the_others_are_asked_to_end(store: Store) -> None:
    turn = await first_turn(store)
    one, two, far = child_of(turn, HERE, spread=False), child_of(turn, HERE, spread=False), child_of(turn)
    await waiting(store, turn, one, two, far)
    far_turn = await begun_of(store, far)
    turns = await due_turns(store)
    assert set(turns) == {one.id, two.id}
    await end(store, turns[two.id], ChildItem("finished", child=two.id))
    due = (await due_turns(store))[turn.record.id]
    assert due.items == (ChildItem("finished", child=two.id),)
    await committed(store, commit_of(due))
    told = {message.id: read_child_message(message.body) for message in await sent(store)}
    parent = turn.record.id
    assert list(told.values()) == [CancelChild(one.id, parent, 1), CancelChild(far.id, parent, 1)]
    for message in told:
        await store.settle(HERE, message, 0, None)
    last = await store.cancel(one.id, fresh(), HOUR_MS, "", "")
    assert last == (), "its first turn is in somebody's hands"
    lost = ChildItem("cancelled", child=one.id)
    again = await committed(store, commit_of(turns[one.id], new_tasks(0, 1)))
    assert again.turn is not None
    await end(store, again.turn, lost, status=JobStatus.CANCELLED, error="x", clear_cancel=True, drops=((0, 1),))
    await end(store, far_turn)
    assert not await end_arrives(store)
    assert set(await due_turns(store)) == set()


async def begun_of(store: Store, child: NewJob) -> Turn:
    turn = await store.children.begin(child, fresh())
    assert turn is not None
    (message,) = await sent_only(store)
    await store.settle(HERE, message.id, message.tries, None)
    return turn


async def sent_only(store: Store) -> list[DueMessage]:
    """Messages that are due, with the turns that are due left for later."""
    tick = await store.tick(HERE, fresh())
    for turn in tick.turns:
        await store.defer(turn.record.id, turn.token, 0, failed=False)
    return list(tick.messages)


async def test_a_cancelled_job_waits_for_all_its_children_and_its_workers(store: Store) -> None:
    turn = await first_turn(store)
    near, far = child_of(turn, HERE, spread=False), child_of(turn)
    await waiting(store, turn, near, far, tasks=new_tasks(0, 1), current_task=None)
    task = await claim_one(store)
    far_turn = await begun_of(store, far)
    assert await store.cancel(turn.record.id, fresh(), HOUR_MS, "", "") == ((task.task, "w1"),)
    turns = await due_turns(store)
    assert set(turns) == {near.id}
    done = ChildItem("cancelled")
    await end(store, turns[near.id], done, status=JobStatus.CANCELLED, error="x")
    assert await due_turns(store) == {}
    ended = await store.complete(end_of(task))
    assert not isinstance(ended, Refused)
    assert ended.turn is None
    await end(store, far_turn, done, status=JobStatus.CANCELLED, error="x")
    assert await end_arrives(store)
    assert set(await due_turns(store)) == {turn.record.id}


async def test_a_grace_that_is_over_does_not_end_a_cancelled_job_before_its_children(store: Store) -> None:
    turn = await first_turn(store)
    near, far = child_of(turn, HERE, spread=False), child_of(turn)
    await waiting(store, turn, near, far, tasks=new_tasks(0, 1), deadline_ms=0)
    await store.cancel(turn.record.id, fresh(), 0, "", "")
    turns = await due_turns(store)
    assert set(turns) == {near.id}, "neither its timer nor its grace"
    await end(store, turns[near.id], ChildItem("cancelled"), status=JobStatus.CANCELLED, error="x")
    assert await due_turns(store) == {}


async def test_the_workers_of_a_job_above_get_their_grace_when_it_is_cancelled_with_its_child(store: Store) -> None:
    """The job races a task against a child: the wish goes down to the child, and the task's worker is told too."""
    turn = await first_turn(store)
    child = child_of(turn, HERE, spread=False)
    await waiting(store, turn, child, tasks=new_tasks(0, 1))
    task = await claim_one(store)
    last = await store.cancel(turn.record.id, fresh(), HOUR_MS, "", "")
    assert isinstance(last, Turn)
    assert last.record.id == child.id
    assert await store.extend(HERE, "w1", HOUR_MS, (LeaseRef(task.task),)) == ("cancel",)
    await end(store, last, ChildItem("cancelled"), status=JobStatus.CANCELLED, error="x", clear_cancel=True)
    assert await due_turns(store) == {}, "the worker has its grace"
    ended = await store.complete(end_of(task))
    assert not isinstance(ended, Refused)
    assert ended.turn is not None
    assert ended.turn.record.id == turn.record.id


async def test_a_pause_holds_all_children_of_this_partition(store: Store) -> None:
    turn = await first_turn(store)
    one, two = child_of(turn, HERE, spread=False), child_of(turn, HERE, spread=False)
    await waiting(store, turn, one, two)
    assert await store.operations.pause(turn.record.id, "ann", "", "held", "held below") is None
    assert await due_turns(store) == {}
    for child in (one, two):
        record = await store.read(child.id)
        assert record is not None
        assert record.pause is not None
        assert record.pause.above == turn.record.id
    assert await store.operations.resume(turn.record.id, fresh(), "") is None
    assert set(await due_turns(store)) == {one.id, two.id}
