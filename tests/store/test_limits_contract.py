"""Limits of a task's time and of a job's, as the store keeps them: what they start from, and that nothing is left."""

import asyncio

from muster.core.record import Parent
from muster.core.status import JobStatus, TaskStatus
from muster.core.timeouts import Timeout
from muster.store.base import (
    Claimed,
    Completed,
    EndedLease,
    LeaseRef,
    Mode,
    Refusal,
    Refused,
    Store,
    Turn,
)

from tests.support.samples import (
    HOUR_MS,
    claim_of,
    claim_one,
    commit_of,
    committed,
    end_of,
    first_turn,
    fresh,
    new_job,
    new_tasks,
    seat,
    waiting_job,
)

SOON_MS = 30
"""Time that really passes: the server's clock cannot be moved."""


async def ended(store: Store) -> EndedLease:
    (lease,) = (await store.tick(0, fresh())).leases
    return lease


async def pass_time(ms: int = SOON_MS) -> None:
    await asyncio.sleep(ms / 1000 + 0.005)


# Without a worker


async def test_a_task_that_nobody_fetches_comes_as_an_ended_lease_of_nobody(store: Store) -> None:
    job = await waiting_job(store, schedule_to_start_ms=0)
    lease = await ended(store)
    assert (lease.worker, lease.attempt, lease.timeout) == ("", 0, Timeout.SCHEDULE_TO_START)
    assert await store.claim(0, claim_of(1)) == (), "nobody gets it while the engine decides"
    end = end_of(Claimed(0, lease.task, lease.attempt, b"", 0), worker="", failed=True)
    completed = await store.complete(end)
    assert isinstance(completed, Completed)
    assert isinstance(completed.turn, Turn)
    assert (completed.ran_ms, completed.turn.record.current_worker) == (0, None)
    record = await store.read(job)
    assert record is not None
    assert record.cost_micros == 0


async def test_what_waited_too_long_comes_again_where_nobody_settled_it_and_may_go_back_into_its_queue(
    store: Store,
) -> None:
    await waiting_job(store, schedule_to_start_ms=0)
    lease = await ended(store)
    assert (await store.tick(0, fresh())).leases == ()
    again = end_of(Claimed(0, lease.task, 0, b"", 0), worker="", mode=Mode.RETRY, failed=True)
    assert isinstance(await store.complete(again), Completed)
    assert isinstance(await store.complete(again), Refused), "sent twice it is stale"
    assert (await ended(store)).failures == 1


async def test_a_claim_stops_the_wait_and_a_further_attempt_begins_a_new_one(store: Store) -> None:
    await waiting_job(store, schedule_to_start_ms=SOON_MS)
    task = await claim_one(store)
    await pass_time()
    assert (await store.tick(0, fresh())).leases == ()
    await store.complete(end_of(task, mode=Mode.RETRY, delay_ms=HOUR_MS))
    await pass_time()
    assert (await store.tick(0, fresh())).leases == (), "a task that is gated waits for no worker"


async def test_a_task_that_never_reached_its_worker_has_waited_all_the_while(store: Store) -> None:
    await waiting_job(store, schedule_to_start_ms=SOON_MS)
    (task,) = await store.claim(0, claim_of([seat(fence="f")]))
    await pass_time()
    assert await store.release(task.task, 1, "f")
    assert (await ended(store)).timeout is Timeout.SCHEDULE_TO_START


# Over all attempts


async def test_schedule_to_close_holds_for_a_gated_task(store: Store) -> None:
    await waiting_job(store, schedule_to_close_ms=SOON_MS)
    task = await claim_one(store)
    await store.complete(end_of(task, mode=Mode.REQUEUE, delay_ms=HOUR_MS))
    await pass_time()
    lease = await ended(store)
    assert (lease.worker, lease.attempt, lease.timeout) == ("", 1, Timeout.SCHEDULE_TO_CLOSE)
    assert lease.left_ms is not None
    assert lease.left_ms <= 0


async def test_schedule_to_close_cuts_a_lease_short_and_the_claim_says_so(store: Store) -> None:
    await waiting_job(store, schedule_to_close_ms=SOON_MS)
    task = await claim_one(store)
    assert task.left_ms is not None
    assert 0 <= task.left_ms <= SOON_MS
    await pass_time()
    assert (await ended(store)).timeout is Timeout.SCHEDULE_TO_CLOSE
    await waiting_job(store, schedule_to_close_ms=2 * HOUR_MS)
    assert (await claim_one(store)).left_ms is None, "its timeout comes first"


async def test_limits_hold_for_a_task_that_its_commit_hands_out(store: Store) -> None:
    turn = await first_turn(store)
    tasks = new_tasks(0, 1, schedule_to_close_ms=SOON_MS, heartbeat_ms=HOUR_MS)
    (task,) = (await committed(store, commit_of(turn, tasks, claim=claim_of(1)))).claimed
    assert task.left_ms is not None
    await pass_time()
    assert (await ended(store)).timeout is Timeout.SCHEDULE_TO_CLOSE


# The handler's own signs


async def test_a_workers_heartbeat_is_no_sign_of_its_handler(store: Store) -> None:
    await waiting_job(store, heartbeat_ms=SOON_MS)
    task = await claim_one(store)
    await pass_time()
    ref = LeaseRef(task.task, task.attempt)
    assert await store.extend(0, "w1", HOUR_MS, (ref,)) == ("ok",)
    assert (await ended(store)).timeout is Timeout.HEARTBEAT


async def test_a_sign_or_progress_keeps_it_alive_over_any_way(store: Store) -> None:
    await waiting_job(store, heartbeat_ms=SOON_MS)
    task = await claim_one(store)
    for ref, lease_ms in (
        (LeaseRef(task.task, task.attempt, silent_ms=0), HOUR_MS),
        (LeaseRef(task.task, progress=0.5), 0),
    ):
        await pass_time(SOON_MS * 2 // 3)
        assert await store.extend(0, "w1", lease_ms, (ref,)) == ("ok",)
        assert (await store.tick(0, fresh())).leases == ()


async def test_a_sign_that_is_older_than_the_last_one_takes_nothing_back(store: Store) -> None:
    await waiting_job(store, heartbeat_ms=SOON_MS)
    task = await claim_one(store)
    await store.extend(0, "w1", HOUR_MS, (LeaseRef(task.task, task.attempt, silent_ms=HOUR_MS),))
    assert (await store.tick(0, fresh())).leases == ()


async def test_a_worker_that_falls_silent_is_noticed_before_a_long_heartbeat(store: Store) -> None:
    await waiting_job(store, heartbeat_ms=HOUR_MS)
    await store.claim(0, claim_of([seat(lease_ms=0)]))
    assert (await ended(store)).timeout is None


# What is known of an attempt's task


async def test_failures_by_code_requeues_and_the_time_since_the_first_failure_are_kept(store: Store) -> None:
    job = await waiting_job(store, schedule_to_close_ms=HOUR_MS)
    for mode in (Mode.RETRY, Mode.REQUEUE, Mode.REQUEUE, Mode.LOST, Mode.RETRY):
        counts = '{"BUSY":1}' if mode is Mode.RETRY else ""
        await store.complete(end_of(await claim_one(store), mode=mode, counts=counts))
        await asyncio.sleep(0.002)
    task = await store.live_task(job, 0)
    assert task is not None
    assert (task.failures, task.losses, task.requeues, task.counts) == (2, 1, 2, '{"BUSY":1}')
    assert 0 < task.failing_ms < 60_000
    assert task.left_ms is not None
    assert HOUR_MS - 60_000 < task.left_ms < HOUR_MS


async def test_a_requeue_is_neither_failure_nor_loss_and_says_so_while_it_waits(store: Store) -> None:
    job = await waiting_job(store, schedule_to_close_ms=HOUR_MS)
    await store.complete(end_of(await claim_one(store), mode=Mode.REQUEUE, delay_ms=HOUR_MS))
    standing = await store.standing.of(job)
    assert standing is not None
    (task,) = standing.tasks
    assert (task.status, task.failures, task.losses) == (TaskStatus.GATED, 0, 0)
    assert (task.put_back, task.requeues) == ("requeue", 1)
    assert task.close_at is not None
    assert standing.record.retries == 0


# Nothing is left


async def test_a_dropped_task_leaves_no_timer(store: Store) -> None:
    turn = await first_turn(store)
    tasks = new_tasks(0, 3, schedule_to_start_ms=HOUR_MS, schedule_to_close_ms=HOUR_MS)
    await committed(store, commit_of(turn, tasks, failures_left=0))
    gated, failed = await store.claim(0, claim_of(2))
    await store.complete(end_of(gated, mode=Mode.RETRY, delay_ms=HOUR_MS))
    completed = await store.complete(end_of(failed, failed=True))
    assert isinstance(completed, Completed)
    assert isinstance(completed.turn, Turn)
    await committed(store, commit_of(completed.turn, drops=((0, 3),)))
    assert (await store.tick(0, fresh())).next_due_ms is None


async def test_a_limit_that_passes_after_its_jobs_end_ends_nothing(store: Store) -> None:
    job = await waiting_job(store, schedule_to_start_ms=0)
    reply = await store.cancel(job, fresh(), HOUR_MS, "")
    assert isinstance(reply, Turn)
    await committed(store, commit_of(reply, clear_cancel=True, drops=((0, 1),)))
    tick = await store.tick(0, fresh())
    assert tick.leases == ()
    assert (await store.tick(0, fresh())).next_due_ms is None


# A job's deadline


async def test_a_job_comes_as_overdue_until_somebody_asks_for_its_end(store: Store) -> None:
    job = (await first_turn(store, deadline_ms=0)).record.id
    tick = await store.tick(0, fresh())
    assert tick.overdue == (job,)
    assert (await store.tick(0, fresh())).overdue == (), "held back for whoever got it"
    await store.cancel(job, fresh(), HOUR_MS, "passed", overdue=True)
    record = await store.read(job)
    assert record is not None
    assert (record.cancel_requested, record.deadline_passed, record.deadline_at) == (True, True, record.created_at)
    assert [event.blob for event in await store.history(job)].count("passed") == 1


async def test_a_job_that_ends_in_time_has_no_deadline_any_more(store: Store) -> None:
    turn = await first_turn(store, deadline_ms=0)
    await committed(store, commit_of(turn))
    tick = await store.tick(0, fresh())
    assert (tick.overdue, tick.next_due_ms) == ((), None)
    assert await store.cancel(turn.record.id, fresh(), 0, "", overdue=True) == Refused(Refusal.FINAL)


async def test_a_deleted_job_has_no_deadline_any_more(store: Store) -> None:
    turn = await first_turn(store, deadline_ms=HOUR_MS)
    await store.delete(turn.record.id)
    assert (await store.tick(0, fresh())).next_due_ms is None


async def test_a_child_has_its_own_deadline_or_its_parents_whichever_comes_first(store: Store) -> None:
    for mine, childs, expected in ((HOUR_MS, None, HOUR_MS), (HOUR_MS, 2 * HOUR_MS, HOUR_MS), (None, HOUR_MS, HOUR_MS)):
        turn = await first_turn(store, deadline_ms=mine)
        child = new_job(deadline_ms=childs, parent=Parent(turn.record.id, 1, 1))
        await committed(store, commit_of(turn, need=1, status=JobStatus.WAITING, children=(child,)))
        record = await store.read(child.id)
        assert record is not None
        assert record.deadline_at is not None
        assert abs(record.deadline_at - record.created_at - expected) < 5_000
