"""What every store does with a job that somebody holds: nothing of it moves, and nothing that comes in is lost."""

import pytest
from muster.core.ids import JobId, task_id
from muster.core.limits import SEATS_PER_CALL_MAX, TASKS_MOVED_PER_TICK_MAX, TASKS_PER_COMMIT_MAX
from muster.core.record import DecisionItem, JobRecord, Parent, SignalItem, TaskItem, TimerItem
from muster.core.status import JobStatus, TaskStatus
from muster.store.base import Completed, Refusal, Refused, Store, Turn
from muster.store.codec import dump_item

from tests.support.samples import (
    HOUR_MS,
    asking_job,
    claim_of,
    claim_one,
    commit_of,
    committed,
    decision,
    end_of,
    first_turn,
    fresh,
    fresh_job_id,
    new_job,
    new_tasks,
    number_of,
    step_on,
    waiting_job,
)


async def paused(store: Store, job: JobId, reason: str = "look at it") -> JobRecord:
    assert await store.operations.pause(job, "ann", reason, f"paused: {reason}", "paused above") is None
    return await read(store, job)


async def read(store: Store, job: JobId) -> JobRecord:
    record = await store.read(job)
    assert record is not None
    return record


async def resumed(store: Store, job: JobId) -> Turn | None:
    reply = await store.operations.resume(job, fresh(), "resumed", "resumed above")
    assert not isinstance(reply, Refused)
    return reply


async def test_a_paused_job_says_who_holds_it_since_when_why_and_where_it_stood(store: Store) -> None:
    job = await waiting_job(store)
    before = await read(store, job)
    record = await paused(store, job)
    assert (record.status, record.resting) == (JobStatus.PAUSED, JobStatus.WAITING_FOR_PARALLEL_TASKS)
    assert record.pause is not None
    assert (record.pause.by, record.pause.reason, record.pause.above) == ("ann", "look at it", "")
    assert record.pause.at >= before.created_at
    assert record.revision > before.revision
    assert (await store.queue(0)).jobs[JobStatus.PAUSED] == 1


async def test_the_first_reason_stays_and_the_second_pause_changes_nothing(store: Store) -> None:
    job = await waiting_job(store)
    first = await paused(store, job, "one")
    assert await paused(store, job, "two") == first
    assert [event.blob for event in await store.history(job)].count("paused: one") == 1


async def test_its_ready_tasks_are_parked_and_come_back_to_their_places(store: Store) -> None:
    job = await waiting_job(store, 2)
    await paused(store, job)
    other = await waiting_job(store)
    assert [got.task for got in await store.claim(0, claim_of(3))] == [task_id(other, 0)]
    standing = await store.standing.of(job)
    assert standing is not None
    assert {task.status for task in standing.tasks} == {TaskStatus.PARKED}
    assert (await store.queue(0)).ready == {}
    later = await waiting_job(store)
    assert await resumed(store, job) is None
    await store.tick(0, "t")
    found = [got.task for got in await store.claim(0, claim_of(3))]
    assert found == [task_id(job, 0), task_id(job, 1), task_id(later, 0)]


async def test_a_wide_fan_comes_back_in_portions(store: Store) -> None:
    many = TASKS_MOVED_PER_TICK_MAX + 10
    turn = await first_turn(store)
    wave = 1
    tasks = new_tasks(0, many)
    assert await store.spawn(turn.record.id, 0, turn.token, wave, tasks[:TASKS_PER_COMMIT_MAX])
    await committed(store, commit_of(turn, tasks[TASKS_PER_COMMIT_MAX:], wave=wave, need=many))
    await paused(store, turn.record.id)
    assert await store.claim(0, claim_of(SEATS_PER_CALL_MAX)) == ()
    assert await store.claim(0, claim_of(SEATS_PER_CALL_MAX)) == ()
    await resumed(store, turn.record.id)
    ready = []
    for _ in range(2):
        await store.tick(0, "t")
        ready.append(sum((await store.queue(0)).ready.values()))
    assert ready == [TASKS_MOVED_PER_TICK_MAX, many]


async def test_a_running_task_may_end_and_its_result_counts_when_the_job_is_resumed(store: Store) -> None:
    job = await waiting_job(store)
    task = await claim_one(store)
    record = await paused(store, job)
    assert await store.extend(0, "w1", HOUR_MS, ()) == ()
    assert record.current_worker is None or record.current_worker == "w1"
    reply = await store.complete(end_of(task))
    assert reply == Completed()
    assert (await store.tick(0, "t")).turns == ()
    turn = await resumed(store, job)
    assert turn is not None
    assert [item.number for item in turn.items if isinstance(item, TaskItem)] == [0]
    assert turn.record.status is JobStatus.WAITING_FOR_PARALLEL_TASKS
    await committed(store, commit_of(turn))


async def test_a_step_decided_ahead_is_only_taken_as_a_result(store: Store) -> None:
    turn = await first_turn(store)
    await committed(store, commit_of(turn, new_tasks(0, 1), current_task=0, status=JobStatus.WAITING_FOR_WORKER))
    task = await claim_one(store)
    await paused(store, turn.record.id)
    assert await step_on(store, turn, task) == Completed()
    assert (await read(store, turn.record.id)).version == 1
    assert await resumed(store, turn.record.id) is not None


async def test_a_turn_under_way_is_lost_and_comes_again(store: Store) -> None:
    turn = await first_turn(store)
    await paused(store, turn.record.id)
    assert await store.commit(commit_of(turn)) == Refused(Refusal.STALE)
    assert await store.defer(turn.record.id, turn.token, 0, failed=True) is None
    assert (await store.tick(0, "t")).turns == ()
    again = await resumed(store, turn.record.id)
    assert again is not None
    assert again.record.status is JobStatus.PENDING
    await committed(store, commit_of(again))


async def test_an_answer_and_a_signal_are_kept_and_the_first_counts(store: Store) -> None:
    asking = (await asking_job(store)).record.id
    await paused(store, asking)
    assert await store.signal(asking, 1, decision("yes"), "answered", "one") == Refused(Refusal.TAKEN)
    assert await store.signal(asking, 1, decision("yes"), "answered", "one") == Refused(Refusal.TAKEN)
    assert await store.signal(asking, 1, decision("no"), "answered", "two") == Refused(Refusal.CONFLICT)
    turn = await resumed(store, asking)
    assert turn is not None
    assert turn.items == (DecisionItem("yes", "ann"),)

    waiting = await first_turn(store)
    job = waiting.record.id
    await committed(store, commit_of(waiting, status=JobStatus.WAITING, need=1, signal="paid", deadline_ms=0))
    await paused(store, job)
    assert await store.send(job, "paid", dump_item(SignalItem("paid", 1)), "", fresh(), 3) is None
    await store.tick(0, "t")  # the deadline comes second
    turn = await resumed(store, job)
    assert turn is not None
    assert turn.items == (SignalItem("paid", 1), TimerItem())


async def test_a_timer_that_ends_meanwhile_counts_on_resume(store: Store) -> None:
    turn = await first_turn(store)
    await committed(store, commit_of(turn, status=JobStatus.WAITING, need=1, deadline_ms=0))
    await paused(store, turn.record.id)
    assert (await store.tick(0, "t")).turns == ()
    due = await resumed(store, turn.record.id)
    assert due is not None
    assert due.items == (TimerItem(),)


async def parent_and_child(store: Store) -> tuple[JobId, JobId]:
    turn = await first_turn(store)
    child = new_job(parent=Parent(turn.record.id, 1, 1))
    await committed(store, commit_of(turn, status=JobStatus.WAITING, need=1, children=(child,)))
    return turn.record.id, child.id


async def test_a_pause_is_passed_down_and_its_end_too(store: Store) -> None:
    parent, child = await parent_and_child(store)
    await paused(store, parent)
    below = (await read(store, child)).pause
    assert below is not None
    assert below.above == parent
    assert (await store.tick(0, "t")).turns == ()
    assert await resumed(store, parent) is None
    (turn,) = (await store.tick(0, "t")).turns
    assert turn.record.id == child
    assert [event.blob for event in await store.history(child)] == ["submitted", "paused above", "resumed above"]


async def test_a_child_that_was_paused_by_itself_stays_so(store: Store) -> None:
    parent, child = await parent_and_child(store)
    await paused(store, child, "mine")
    await paused(store, parent)
    await resumed(store, parent)
    assert (await read(store, parent)).status is JobStatus.WAITING
    assert (await read(store, child)).status is JobStatus.PAUSED


async def test_the_end_of_a_child_waits_in_the_mailbox_of_a_paused_parent(store: Store) -> None:
    parent, child = await parent_and_child(store)
    await paused(store, parent)
    turn = await resumed(store, child)
    assert turn is not None
    await committed(store, commit_of(turn, parting='{"k":"child","s":"finished","d":1,"c":"","m":""}'))
    assert (await store.tick(0, "t")).turns == ()
    due = await resumed(store, parent)
    assert due is not None
    assert len(due.items) == 1


async def test_a_paused_job_can_be_cancelled_with_all_below_it(store: Store) -> None:
    parent, child = await parent_and_child(store)
    await paused(store, parent)
    turn = await store.cancel(parent, fresh(), HOUR_MS, "cancel")
    assert isinstance(turn, Turn)
    assert turn.record.id == child
    assert (await read(store, parent)).status is JobStatus.WAITING
    over = commit_of(
        turn,
        status=JobStatus.CANCELLED,
        error="cancelled",
        parting='{"k":"child","s":"cancelled","d":null,"c":"","m":""}',
    )
    await committed(store, over)
    (last,) = (await store.tick(0, "t")).turns
    await committed(store, commit_of(last, status=JobStatus.CANCELLED, error="cancelled"))


async def test_a_cancelled_jobs_parked_tasks_are_dropped(store: Store) -> None:
    job = await waiting_job(store, 3)
    task = await claim_one(store)
    await paused(store, job)
    assert await store.claim(0, claim_of(3)) == ()
    assert await store.cancel(job, fresh(), HOUR_MS, "cancel") == ((task.task, "w1"),)
    reply = await store.complete(end_of(task))
    assert isinstance(reply, Completed)
    assert reply.turn is not None
    await committed(
        store, commit_of(reply.turn, status=JobStatus.CANCELLED, error="x", clear_cancel=True, drops=((0, 3),))
    )
    await store.tick(0, "t")
    assert await store.claim(0, claim_of(3)) == ()
    assert await store.live_task(job, 1) is None
    assert number_of(task) == 0


async def test_a_deleted_paused_job_leaves_nothing(store: Store) -> None:
    job = await waiting_job(store, 3)
    await paused(store, job)
    assert await store.claim(0, claim_of(2)) == ()
    await store.delete(job)
    assert await store.read(job) is None
    assert await store.operations.resume(job, fresh(), "") == Refused(Refusal.GONE)


async def test_what_cannot_be_paused_or_resumed_is_refused_and_nothing_changes(store: Store) -> None:
    turn = await first_turn(store)
    job = turn.record.id
    assert await store.operations.resume(job, fresh(), "") == Refused(Refusal.NOT_PAUSED)
    await committed(store, commit_of(turn))
    assert await store.operations.pause(job, "ann", "", "") == Refused(Refusal.FINAL)
    assert await store.operations.resume(job, fresh(), "") == Refused(Refusal.FINAL)
    for unknown in (fresh_job_id(), fresh_job_id(partition=9)):
        assert await store.operations.pause(unknown, "ann", "", "") == Refused(Refusal.GONE)
        assert await store.operations.resume(unknown, fresh(), "") == Refused(Refusal.GONE)
    working = await waiting_job(store)
    await claim_one(store)
    await store.cancel(working, fresh(), HOUR_MS, "cancel")
    assert await store.operations.pause(working, "ann", "", "") == Refused(Refusal.CANCELLING)


@pytest.mark.parametrize("due", [False, True])
async def test_a_resume_sent_twice_is_as_one(store: Store, due: bool) -> None:
    job = (await first_turn(store)).record.id if due else await waiting_job(store)
    await paused(store, job)
    replies = [await store.operations.resume(job, "mine", "resumed") for _ in range(2)]
    assert replies[0] == replies[1]
    assert isinstance(replies[0], Turn) is due
    assert [event.blob for event in await store.history(job)].count("resumed") == 1
