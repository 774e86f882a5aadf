"""What every store does with a task: claim, complete, extend, release; who is woken for it."""

import time
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from muster.core.limits import SEATS_PER_CALL_MAX, TIMERS_PER_TICK_MAX
from muster.core.record import TaskItem
from muster.core.status import JobStatus
from muster.core.timeouts import Timeout
from muster.store.base import Claimed, Completed, LeaseRef, LiveTask, Mode, Refusal, Refused, Store, Turn
from muster.store.keys import short_hash

from tests.support.deployment import Deployment, Replica
from tests.support.samples import (
    HOUR_MS,
    WORK,
    claim_of,
    claim_one,
    commit_of,
    committed,
    end_of,
    first_turn,
    fresh,
    item_of,
    job_of,
    new_job,
    new_tasks,
    number_of,
    seat,
    waiting_job,
)
from tests.support.waiting import until

OTHER = short_hash("other")

# Claim: the order


async def test_the_oldest_task_is_handed_out_first(store: Store) -> None:
    jobs = [await waiting_job(store) for _ in range(3)]
    assert [job_of(await claim_one(store)) for _ in jobs] == jobs


async def test_a_higher_priority_goes_before_age(store: Store) -> None:
    low, high, normal = [await waiting_job(store, priority=priority) for priority in (-1, 5, 0)]
    assert [job_of(await claim_one(store)) for _ in range(3)] == [high, normal, low]


async def test_a_claimed_task_comes_with_what_its_worker_needs(store: Store) -> None:
    job = await waiting_job(store, body=b'{"x":1}')
    task = await claim_one(store)
    assert (task.seat, task.task, task.attempt, task.body) == (0, f"{job}.0", 1, b'{"x":1}')
    assert 0 <= task.waited_ms < 10_000


async def test_a_claim_takes_only_its_classes_in_their_order(store: Store) -> None:
    work = await waiting_job(store)
    other = await waiting_job(store, type="other")
    assert await store.claim(0, claim_of(1, classes=(short_hash("third"),))) == ()
    tasks = await store.claim(0, claim_of(2, classes=(OTHER, WORK)))
    assert [job_of(task) for task in tasks] == [other, work]


async def test_a_claim_gets_no_more_tasks_than_it_has_seats(store: Store) -> None:
    await waiting_job(store, 5)
    assert [task.seat for task in await store.claim(0, claim_of(3))] == [0, 1, 2]
    assert len(await store.claim(0, claim_of(3))) == 2
    assert await store.claim(0, claim_of(3)) == ()


async def test_no_task_is_handed_out_twice(store: Store) -> None:
    await waiting_job(store, 20)
    seen = [task.task for _ in range(10) for task in await store.claim(0, claim_of(3))]
    assert len(seen) == len(set(seen)) == 20


# Claim: fairness


async def test_two_tenants_share_whatever_the_length_of_their_queues(store: Store) -> None:
    await waiting_job(store, 40, "big")
    small = await waiting_job(store, 10, "small")
    tasks = [task for _ in range(5) for task in await store.claim(0, claim_of(4))]
    assert sum(job_of(task) == small for task in tasks) in range(8, 13)


async def test_a_tenant_that_adds_one_task_at_a_time_gets_no_more_than_its_share(store: Store) -> None:
    for tenant in ("a", "b", "c"):
        await waiting_job(store, 30, tenant)
    mine = 0
    await waiting_job(store, 1, "drip")
    for _ in range(40):
        record = await store.read(job_of(await claim_one(store)))
        assert record is not None
        if record.tenant == "drip":
            mine += 1
            await waiting_job(store, 1, "drip")
    assert mine <= 11


async def test_a_tenant_alone_gets_all_seats_of_a_claim(store: Store) -> None:
    await waiting_job(store, 20)
    assert len(await store.claim(0, claim_of(SEATS_PER_CALL_MAX))) == SEATS_PER_CALL_MAX


# Claim: wake-ups


async def registered(deployment: Deployment, name: str, classes: tuple[str, ...] = (WORK,)) -> Replica:
    """A replica that found nothing and waits."""
    replica = await deployment.replica(name)
    claim = claim_of(1, replica=name, classes=classes, register=True)
    assert await replica.store.claim(0, claim) == ()
    return replica


def _has(replica: Replica, text: str) -> bool:
    return text in replica.texts


async def quiet(*replicas: Replica) -> None:
    """Return when everything that was sent has arrived."""
    for replica in replicas:
        mark = fresh("mark")
        await replica.store.publish(replica.name, mark)
        await until(partial(_has, replica, mark))


def wakes(*replicas: Replica) -> int:
    return sum(text.startswith("c|") for replica in replicas for text in replica.texts)


async def test_one_ready_task_wakes_exactly_one_waiting_replica(deployment: Deployment) -> None:
    replicas = [await registered(deployment, name) for name in ("r1", "r2", "r3")]
    await waiting_job(replicas[0].store)
    await until(lambda: wakes(*replicas))
    await quiet(*replicas)
    assert wakes(*replicas) == 1


async def test_several_ready_tasks_wake_as_many_replicas(deployment: Deployment) -> None:
    replicas = [await registered(deployment, name) for name in ("r1", "r2", "r3")]
    await waiting_job(replicas[0].store, 2)
    await quiet(*replicas)
    assert wakes(*replicas) == 2


async def test_a_dead_replica_is_passed_over(deployment: Deployment) -> None:
    await registered(deployment, "dead")
    await deployment.kill("dead")
    alive = await registered(deployment, "r2")
    store = (await deployment.replica()).store
    for _ in range(100):  # a server may notice a closed connection a moment later
        job = await waiting_job(store)
        await quiet(alive)
        if wakes(alive):
            break
        await store.cancel(job, fresh(), 0, "")
        await store.claim(0, claim_of(1, replica="r2", register=True))
    assert wakes(alive) == 1


async def test_a_replica_waits_only_for_the_classes_it_named(deployment: Deployment) -> None:
    other = await registered(deployment, "r1", (OTHER,))
    await waiting_job(other.store)
    await quiet(other)
    assert wakes(other) == 0
    await waiting_job(other.store, type="other")
    await quiet(other)
    assert other.texts[-2:-1] == [f"c|{OTHER}"]


async def test_a_tick_wakes_for_classes_in_the_order_in_which_their_tasks_became_ready(deployment: Deployment) -> None:
    kinds = [f"kind-{number}" for number in range(TIMERS_PER_TICK_MAX)]
    classes = [short_hash(kind) for kind in kinds]
    replica = await deployment.replica("r1")
    for place, (kind, cls) in enumerate(zip(kinds, classes, strict=True)):
        await waiting_job(replica.store, type=kind)
        task = await claim_one(replica.store, classes=(cls,))
        await replica.store.complete(end_of(task, mode=Mode.RETRY, delay_ms=50 + 5 * place))
    due_s = time.time() + 0.15
    for cls in classes:
        assert await replica.store.claim(0, claim_of(1, replica="r1", classes=(cls,), register=True)) == ()
    await until(lambda: time.time() > due_s)
    before = len(replica.texts)
    await replica.store.tick(0, fresh())
    woken = [text for text in (await deployment.heard(replica))[before:] if text.startswith("c|")]
    assert woken == [f"c|{cls}" for cls in classes]


async def test_who_leaves_work_behind_wakes_the_next(deployment: Deployment) -> None:
    first, second = await registered(deployment, "r1"), await registered(deployment, "r2")
    await waiting_job(first.store)
    await quiet(first, second)
    await waiting_job(first.store)
    await quiet(first, second)
    third = await deployment.replica("r3")
    await registered(deployment, "r4", (OTHER,))
    await third.store.claim(0, claim_of(2, replica="r3"))
    await third.store.claim(0, claim_of(1, replica="r3", register=True))
    await waiting_job(first.store, 2)
    await quiet(third)
    assert wakes(third) == 1
    (task,) = await third.store.claim(0, claim_of(1, replica="r3", register=True))
    assert task.attempt == 1
    await quiet(third)
    assert wakes(third) == 1, "nobody else waits, and who claims is not woken for what it leaves"


async def test_a_claim_without_seats_passes_the_wake_up_on(deployment: Deployment) -> None:
    gone, next_one = await registered(deployment, "r1"), await registered(deployment, "r2")
    await waiting_job(gone.store)
    await quiet(gone, next_one)
    woken, waiting = (gone, next_one) if wakes(gone) else (next_one, gone)
    await woken.store.claim(0, claim_of(0, replica=woken.name, register=True))
    await quiet(waiting)
    assert (wakes(woken), wakes(waiting)) == (1, 1)


async def test_tasks_that_the_committing_replica_takes_itself_wake_nobody(deployment: Deployment) -> None:
    waiting = await registered(deployment, "r1")
    turn = await first_turn(waiting.store)
    await committed(waiting.store, commit_of(turn, new_tasks(0, 2), claim=claim_of(2)))
    await quiet(waiting)
    assert wakes(waiting) == 0


async def test_a_commit_wakes_for_each_class_that_it_leaves_work_of(deployment: Deployment) -> None:
    """Taking a task of one class must not swallow the wake-up of another."""
    waiting = await registered(deployment, "r1", (OTHER,))
    turn = await first_turn(waiting.store)
    tasks = (*new_tasks(0, 1), *new_tasks(1, 1, type="other"))
    reply = await committed(waiting.store, commit_of(turn, tasks, claim=claim_of(1)))
    assert [number_of(task) for task in reply.claimed] == [0]
    await quiet(waiting)
    assert wakes(waiting) == 1


async def test_a_claim_that_stops_among_abandoned_tasks_is_woken_to_go_on(deployment: Deployment) -> None:
    replica = await deployment.replica("r1")
    turn = await first_turn(replica.store)
    for start in range(0, 300, 100):
        await replica.store.spawn(turn.record.id, 0, turn.token, 1, new_tasks(start, 100))
    await committed(replica.store, commit_of(turn, status=JobStatus.WAITING, wave=2, need=1, drops=((0, 300),)))
    wanted = await waiting_job(replica.store)
    claim = claim_of(1, replica="r1", register=True)
    assert await replica.store.claim(0, claim) == ()
    await until(lambda: wakes(replica))
    (task,) = await replica.store.claim(0, claim)
    assert job_of(task) == wanted


# Complete


async def test_a_result_makes_the_turn_of_whoever_brought_it(store: Store) -> None:
    job = await waiting_job(store)
    done = await store.complete(end_of(await claim_one(store), token="mine"))
    assert isinstance(done, Completed)
    assert done.turn is not None
    assert (done.turn.token, done.turn.record.id) == ("mine", job)
    assert done.turn.items == (TaskItem(0, "success", None, "", "", "", 1),)
    assert (await store.queue(0)).leased == 0
    event = (await store.history(job))[-1]
    assert event.blob == "ended"
    assert event.duration_ms is not None


async def test_a_join_is_due_with_its_last_result(store: Store) -> None:
    await waiting_job(store, 3)
    tasks = await store.claim(0, claim_of(3))
    for task in tasks[:2]:
        assert await store.complete(end_of(task)) == Completed()
    done = await store.complete(end_of(tasks[2]))
    assert isinstance(done, Completed)
    assert done.turn is not None
    assert len(done.turn.items) == 3


async def test_the_first_failure_makes_a_fail_fast_join_due(store: Store) -> None:
    turn = await first_turn(store)
    await committed(store, commit_of(turn, new_tasks(0, 3), failures_left=0))
    one, two, _ = await store.claim(0, claim_of(3))
    assert await store.complete(end_of(one)) == Completed()
    done = await store.complete(end_of(two, failed=True, item=item_of(1, "failure")))
    assert isinstance(done, Completed)
    assert done.turn is not None
    await committed(store, commit_of(done.turn, drops=((0, 3),)))


@pytest.mark.parametrize(
    ("need", "left", "ends", "due_after"),
    [
        (4, 1, "ffss", 2),  # all must end, one may fail: the second failure decides
        (4, 1, "sfss", 4),
        (2, 2, "sfs", 3),  # two successes of four
        (2, 2, "fff", 3),  # two of four can no longer be
        (1, 3, "fffs", 4),
        (1, 3, "ffff", 4),
    ],
)
async def test_a_join_is_due_as_soon_as_it_is_decided(
    store: Store, need: int, left: int, ends: str, due_after: int
) -> None:
    turn = await first_turn(store)
    plan = commit_of(turn, new_tasks(0, 4), need=need, failures_left=left, needs_successes=need < 4)
    await committed(store, plan)
    tasks = await store.claim(0, claim_of(4))
    turn_due: Turn | None = None
    for number, end in enumerate(ends[:due_after], 1):
        failed = end == "f"
        item = item_of(number - 1, "failure" if failed else "success")
        done = await store.complete(end_of(tasks[number - 1], failed=failed, item=item))
        assert isinstance(done, Completed)
        turn_due = done.turn
        assert (turn_due is not None) == (number == due_after), number
    assert turn_due is not None
    await committed(store, commit_of(turn_due, drops=((0, 4),)))


async def test_a_join_counts_ends_that_came_while_it_was_spawned(store: Store) -> None:
    turn = await first_turn(store)
    assert await store.spawn(turn.record.id, 0, turn.token, 1, new_tasks(0, 3))
    for number, task in enumerate(await store.claim(0, claim_of(3))):
        await store.complete(
            end_of(task, failed=number < 2, item=item_of(number, "failure" if number < 2 else "success"))
        )
    plan = commit_of(turn, new_tasks(3, 2), wave=1, need=2, failures_left=3, needs_successes=True, next_task=5)
    assert (await committed(store, plan)).turn is None
    one, two = await store.claim(0, claim_of(2))
    first = await store.complete(end_of(one, failed=True, item=item_of(3, "failure")))
    assert isinstance(first, Completed)
    assert first.turn is None
    second = await store.complete(end_of(two, item=item_of(4)))
    assert isinstance(second, Completed)
    assert second.turn is not None
    assert len(second.turn.items) == 5
    await committed(store, commit_of(second.turn))


async def test_a_task_that_nobody_waits_for_is_taken_from_its_worker_which_is_named(store: Store) -> None:
    turn = await first_turn(store)
    plan = commit_of(turn, new_tasks(0, 3), need=1, failures_left=2, needs_successes=True, history=('{"e":"x"}',))
    await committed(store, plan)
    one, two = await store.claim(0, claim_of(2))
    done = await store.complete(end_of(one))
    assert isinstance(done, Completed)
    assert done.turn is not None
    await committed(store, commit_of(done.turn, new_tasks(3, 1), drops=((0, 3),)))
    tick = await store.tick(0, "t")
    assert [task for task, _ in tick.dropped] == [two.task]
    assert any("task_dropped" in event.blob for event in await store.history(turn.record.id))
    assert await store.complete(end_of(two)) == Refused(Refusal.GONE, 4)


async def test_a_result_hands_out_the_next_task_where_no_turn_is_due(store: Store) -> None:
    await waiting_job(store, 3)
    done = await store.complete(end_of(await claim_one(store), claim=claim_of(1)))
    assert isinstance(done, Completed)
    assert [number_of(task) for task in done.claimed] == [1]


async def test_a_result_sent_twice_is_taken_once(store: Store) -> None:
    await waiting_job(store, 2)
    one, two = await store.claim(0, claim_of(2))
    assert await store.complete(end_of(one)) == Completed()
    assert await store.complete(end_of(one)) == Refused(Refusal.GONE, 2)
    last = end_of(two)
    first, second = await store.complete(last), await store.complete(last)
    assert isinstance(first, Completed)
    assert second == first
    assert await store.complete(replace(last, token="another")) == Refused(Refusal.GONE, 2)


async def test_a_retry_waits_for_its_delay_and_counts(store: Store) -> None:
    job = await waiting_job(store)
    task = await claim_one(store)
    before = await store.read(job)
    end = end_of(task, mode=Mode.RETRY, delay_ms=HOUR_MS, failed=True)
    assert await store.complete(end) == Completed(retried=True)
    assert await store.claim(0, claim_of(1)) == ()
    live = await store.live_task(job, 0)
    assert live == LiveTask(1, live.fence if live else "", "", 1, 0, b'{"r":3}')
    record = await store.read(job)
    assert record is not None
    assert before is not None
    assert record.retries == 1
    assert record.revision > before.revision
    assert await store.complete(end) == Refused(Refusal.STALE)


async def test_a_retry_without_delay_is_ready_behind_the_others(store: Store) -> None:
    await waiting_job(store, 2)
    task = await claim_one(store)
    await store.complete(end_of(task, mode=Mode.RETRY))
    tasks = await store.claim(0, claim_of(2))
    assert [(number_of(task), task.attempt) for task in tasks] == [(1, 1), (0, 2)]


async def test_a_retry_whose_delay_is_over_is_ready_after_a_tick(store: Store) -> None:
    await waiting_job(store)
    await store.complete(end_of(await claim_one(store), mode=Mode.RETRY, delay_ms=1))
    found: list[Claimed] = []

    while not found:
        await store.tick(0, fresh())
        found += await store.claim(0, claim_of(1))
    assert found[0].attempt == 2


async def test_a_requeued_task_counts_a_loss_and_no_failure(store: Store) -> None:
    job = await waiting_job(store)
    task = await claim_one(store)
    await store.complete(end_of(task, worker="", mode=Mode.LOST))
    live, record = await store.live_task(job, 0), await store.read(job)
    assert live is not None
    assert record is not None
    assert (live.failures, live.losses, record.retries) == (0, 1, 0)


async def test_a_task_put_back_wakes_a_waiting_replica(deployment: Deployment) -> None:
    store = (await deployment.replica()).store
    await waiting_job(store)
    task = await claim_one(store)
    waiting = await registered(deployment, "r1")
    await store.complete(end_of(task, mode=Mode.RETRY))
    await until(lambda: wakes(waiting) == 1)


async def test_a_late_result_of_a_superseded_attempt_is_stale(store: Store) -> None:
    await waiting_job(store)
    first = await claim_one(store)
    await store.complete(end_of(first, worker="", mode=Mode.LOST))
    assert await store.complete(end_of(first)) == Refused(Refusal.STALE)
    await store.claim(0, claim_of([seat("w2")]))
    assert await store.complete(end_of(first)) == Refused(Refusal.STALE)
    await store.complete(end_of(first, worker="", attempt=2, mode=Mode.LOST))
    (third,) = await store.claim(0, claim_of([seat("w1", fence="new")]))
    assert await store.complete(end_of(first)) == Refused(Refusal.STALE)
    assert await store.complete(end_of(third, fence="old")) == Refused(Refusal.STALE)
    assert isinstance(await store.complete(end_of(third, fence="new")), Completed)


async def test_a_result_of_anothers_task_is_foreign(store: Store) -> None:
    await waiting_job(store, 2)
    task = await claim_one(store)
    assert await store.complete(end_of(task, worker="w9")) == Refused(Refusal.FOREIGN)
    ready = replace(end_of(task), number=1, attempt=None)
    assert await store.complete(ready) == Refused(Refusal.FOREIGN)
    assert await store.complete(replace(ready, worker="")) == Refused(Refusal.STALE)


async def test_a_result_of_an_unknown_task_or_job_is_gone(store: Store) -> None:
    job = await waiting_job(store, 2)
    task = await claim_one(store)
    assert await store.complete(replace(end_of(task), number=7)) == Refused(Refusal.GONE, 2)
    assert await store.complete(replace(end_of(task), job=new_job().id)) == Refused(Refusal.GONE, -1)
    assert await store.complete(replace(end_of(task), job=new_job(partition=9).id)) == Refused(Refusal.GONE, -1)
    assert await store.read(job) is not None


async def test_a_result_that_comes_after_the_jobs_end_is_told_so(store: Store) -> None:
    job = await waiting_job(store)
    task = await claim_one(store)
    await store.cancel(job, fresh(), 0, "")
    (turn,) = (await store.tick(0, "t")).turns
    await committed(store, commit_of(turn, status=JobStatus.CANCELLED, drops=((0, 1),)))
    assert await store.complete(end_of(task)) == Refused(Refusal.FINAL)
    assert await store.complete(end_of(task)) == Refused(Refusal.GONE, 1)
    assert (await store.queue(0)).leased == 0


async def test_a_result_of_a_past_wait_moves_nothing(store: Store) -> None:
    turn = await first_turn(store)
    await committed(store, commit_of(turn, new_tasks(0, 2), need=1))
    winner, late = await store.claim(0, claim_of(2))
    done = await store.complete(end_of(winner))
    assert isinstance(done, Completed)
    assert done.turn is not None
    await committed(store, commit_of(done.turn, new_tasks(2, 1)))
    assert await store.complete(end_of(late)) == Completed()
    done = await store.complete(end_of(await claim_one(store)))
    assert isinstance(done, Completed)
    assert done.turn is not None
    assert [item.number for item in done.turn.items if isinstance(item, TaskItem)] == [2]


async def test_ready_tasks_of_a_past_wait_are_never_handed_out(store: Store) -> None:
    turn = await first_turn(store)
    await committed(store, commit_of(turn, new_tasks(0, 3), need=1))
    done = await store.complete(end_of(await claim_one(store)))
    assert isinstance(done, Completed)
    assert done.turn is not None
    await committed(store, commit_of(done.turn, new_tasks(3, 1)))
    assert [number_of(task) for task in await store.claim(0, claim_of(5))] == [3]


# Extend


def ref(task: Claimed, **changes: Any) -> LeaseRef:
    return replace(LeaseRef(task.task, task.attempt), **changes)


async def test_an_extended_lease_does_not_end(store: Store) -> None:
    await waiting_job(store)
    (task,) = await store.claim(0, claim_of([seat(lease_ms=0)]))
    assert await store.extend(0, "w1", HOUR_MS, [ref(task)]) == ("ok",)
    assert (await store.tick(0, "t")).leases == ()


async def test_a_lease_is_never_extended_beyond_the_tasks_timeout(store: Store) -> None:
    await waiting_job(store, timeout_ms=0)
    task = await claim_one(store)
    assert await store.extend(0, "w1", HOUR_MS, [ref(task)]) == ("ok",)
    (ended,) = (await store.tick(0, "t")).leases
    assert ended.timeout is Timeout.START_TO_CLOSE


async def test_a_zombie_cannot_extend_the_lease_of_another(store: Store) -> None:
    await waiting_job(store)
    (task,) = await store.claim(0, claim_of([seat("w1", fence="one")]))
    refused = [
        await store.extend(0, "w2", HOUR_MS, [ref(task)]),
        await store.extend(0, "w1", HOUR_MS, [ref(task, attempt=2)]),
        await store.extend(0, "w1", HOUR_MS, [ref(task, fence="two")]),
        await store.extend(0, "w1", HOUR_MS, [LeaseRef(f"{new_job().id}.0")]),
        await store.extend(0, "w1", HOUR_MS, [LeaseRef(f"{job_of(task)}.1")]),
    ]
    assert set(refused) == {("lost",)}
    await store.complete(end_of(task, worker="", mode=Mode.LOST))
    assert await store.extend(0, "w1", HOUR_MS, [ref(task)]) == ("lost",)
    await store.claim(0, claim_of([seat("w1", fence="three")]))
    assert await store.extend(0, "w1", HOUR_MS, [ref(task)]) == ("lost",)
    assert await store.extend(0, "", HOUR_MS, [ref(task, attempt=2, fence="three")]) == ("ok",)


async def test_each_lease_gets_its_own_answer_in_order(store: Store) -> None:
    await waiting_job(store)
    cancelled = await waiting_job(store)
    one, two = await store.claim(0, claim_of(2))
    await store.cancel(cancelled, fresh(), HOUR_MS, "")
    refs = [LeaseRef(f"{new_job().id}.0"), ref(two), ref(one)]
    assert await store.extend(0, "w1", HOUR_MS, refs) == ("lost", "cancel", "ok")


async def test_progress_is_shown_while_its_task_is_the_current_one(store: Store) -> None:
    turn = await first_turn(store)
    await committed(store, commit_of(turn, new_tasks(0, 1), current_task=0, status=JobStatus.WAITING_FOR_WORKER))
    task = await claim_one(store)
    before = await store.read(turn.record.id)
    await store.extend(0, "w1", 0, [ref(task, progress=0.5, message="half")])
    record = await store.read(turn.record.id)
    assert before is not None
    assert record is not None
    assert (record.progress, record.progress_message, record.current_worker) == (0.5, "half", "w1")
    assert record.revision > before.revision
    done = await store.complete(end_of(task))
    assert isinstance(done, Completed)
    assert done.turn is not None
    reply = await committed(store, commit_of(done.turn, status=JobStatus.RUNNING, need=0))
    assert reply.turn is not None
    assert (reply.turn.record.progress, reply.turn.record.progress_message) == (None, None)


# Release


async def test_a_released_task_is_back_at_its_old_place(store: Store) -> None:
    await waiting_job(store, 3)
    (task,) = await store.claim(0, claim_of([seat(fence="f")]))
    assert await store.release(task.task, 1, "f")
    tasks = await store.claim(0, claim_of(3))
    assert [(number_of(task), task.attempt) for task in tasks] == [(0, 2), (1, 1), (2, 1)]
    live = await store.live_task(job_of(task), 0)
    assert live is not None
    assert (live.failures, live.losses) == (0, 0)


async def test_only_the_current_attempt_can_be_released_and_once(store: Store) -> None:
    await waiting_job(store)
    (task,) = await store.claim(0, claim_of([seat(fence="f")]))
    assert not await store.release(task.task, 2, "f")
    assert not await store.release(task.task, 1, "g")
    assert await store.release(task.task, 1, "f")
    assert not await store.release(task.task, 1, "f")
    assert (await store.queue(0)).ready == {WORK: 1}


async def test_a_released_task_wakes_a_waiting_replica(deployment: Deployment) -> None:
    store = (await deployment.replica()).store
    await waiting_job(store)
    (task,) = await store.claim(0, claim_of([seat(fence="f")]))
    waiting = await registered(deployment, "r1")
    await store.release(task.task, 1, "f")
    await until(lambda: wakes(waiting) == 1)


@pytest.mark.parametrize("number", [0, 1])
async def test_a_live_task_tells_who_has_it(store: Store, number: int) -> None:
    job = await waiting_job(store)
    assert await store.live_task(job, 0) == LiveTask(0, "", "", 0, 0, b'{"r":3}')
    await store.claim(0, claim_of([seat("w1", fence="f")]))
    found = await store.live_task(job, number)
    assert found == (LiveTask(1, "f", "w1", 0, 0, b'{"r":3}') if number == 0 else None)


async def test_a_cancel_that_means_only_queued_jobs_leaves_one_alone_whose_task_a_worker_has(store: Store) -> None:
    job = await waiting_job(store)
    await claim_one(store)
    assert await store.cancel(job, fresh(), HOUR_MS, "asked", queued=True) == Refused(Refusal.HELD)
    record = await store.read(job)
    assert record is not None
    assert not record.cancel_requested
    queued = await waiting_job(store)
    assert isinstance(await store.cancel(queued, fresh(), HOUR_MS, "asked", queued=True), Turn)
