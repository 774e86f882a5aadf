"""What becomes due: ended leases, timers, turns, webhooks; and that it comes again until somebody settles it."""

import time

from muster.core.limits import TURNS_PER_TICK_MAX
from muster.core.record import TimerItem
from muster.core.status import JobStatus
from muster.core.timeouts import Timeout
from muster.store.base import LeaseRef, Message, Mode, Refusal, Refused, Store, Turn

from tests.support.deployment import Deployment
from tests.support.samples import (
    HOUR_MS,
    WORK,
    asking_job,
    claim_of,
    commit_of,
    committed,
    decision,
    end_of,
    first_turn,
    fresh,
    new_tasks,
    seat,
    waiting_job,
)
from tests.support.waiting import until


async def test_an_empty_store_has_nothing_due(store: Store) -> None:
    tick = await store.tick(0, "t")
    assert (tick.next_due_ms, tick.leases, tick.messages, tick.turns) == (None, (), (), ())


# Leases


async def test_an_ended_lease_is_put_to_the_engine_with_all_it_needs(store: Store) -> None:
    job = await waiting_job(store)
    await store.claim(0, claim_of([seat("w7", fence="f", lease_ms=0, patient=True)]))
    (ended,) = (await store.tick(0, "t")).leases
    assert (ended.task, ended.attempt, ended.fence, ended.worker) == (f"{job}.0", 1, "f", "w7")
    assert (ended.patient, ended.timeout, ended.losses, ended.failures) == (True, None, 0, 0)
    assert ended.rules == b'{"r":3}'
    assert 0 <= ended.ran_ms < 10_000


async def test_an_ended_lease_stays_with_its_worker_until_it_is_settled(store: Store) -> None:
    await waiting_job(store)
    (task,) = await store.claim(0, claim_of([seat(lease_ms=0)]))
    assert len((await store.tick(0, "t")).leases) == 1
    tick = await store.tick(0, "t")
    assert tick.leases == ()
    assert tick.next_due_ms is not None
    assert 0 < tick.next_due_ms <= 5_000, "it comes again, should this ticker die"
    assert await store.claim(0, claim_of(1)) == ()
    assert not isinstance(await store.complete(end_of(task)), Refused), "a late result is still good"


async def test_an_ended_lease_comes_again_when_nobody_settled_it(store: Store) -> None:
    await waiting_job(store)
    (task,) = await store.claim(0, claim_of([seat(fence="f", lease_ms=0)]))
    assert len((await store.tick(0, "t")).leases) == 1
    again: list[object] = []
    await store.extend(0, "", 1, [_ref(task.task)])  # brings the held lease's end near, as time would
    deadline = time.monotonic() + 5
    while not again and time.monotonic() < deadline:
        again += (await store.tick(0, "t")).leases
    assert len(again) == 1


def _ref(task: str) -> LeaseRef:
    return LeaseRef(task)


async def test_a_settled_lease_gives_the_task_to_another_worker(store: Store) -> None:
    await waiting_job(store)
    (task,) = await store.claim(0, claim_of([seat("w1", lease_ms=0)]))
    await store.tick(0, "t")
    await store.complete(end_of(task, worker="", mode=Mode.LOST))
    (again,) = await store.claim(0, claim_of([seat("w2")]))
    assert again.attempt == 2
    assert await store.complete(end_of(task)) == Refused(Refusal.STALE)


async def test_a_task_beyond_its_timeout_is_told_from_a_silent_worker(store: Store) -> None:
    await waiting_job(store, timeout_ms=0)
    await store.claim(0, claim_of([seat(lease_ms=HOUR_MS)]))
    (ended,) = (await store.tick(0, "t")).leases
    assert ended.timeout is Timeout.START_TO_CLOSE


async def test_a_lease_that_holds_is_not_due(store: Store) -> None:
    await waiting_job(store)
    await store.claim(0, claim_of(1))
    tick = await store.tick(0, "t")
    assert tick.leases == ()
    assert tick.next_due_ms is not None
    assert HOUR_MS - 60_000 < tick.next_due_ms <= HOUR_MS


# Turns


async def test_a_due_turn_is_taken_over_and_its_old_owner_is_refused(store: Store) -> None:
    turn = await first_turn(store)
    await store.defer(turn.record.id, turn.token, 0, failed=False)
    (new,) = (await store.tick(0, "ticker:")).turns
    assert (new.record.id, new.token) == (turn.record.id, "ticker:1")
    assert await store.commit(commit_of(turn)) == Refused(Refusal.STALE)
    assert await store.defer(turn.record.id, turn.token, 0, failed=False) is None
    assert not await store.spawn(turn.record.id, 0, turn.token, 1, new_tasks(0, 1))
    await committed(store, commit_of(new))


async def test_a_turn_is_given_to_one_ticker_only(deployment: Deployment) -> None:
    one, two = (await deployment.replica("r1")).store, (await deployment.replica("r2")).store
    turn = await first_turn(one)
    await one.defer(turn.record.id, turn.token, 0, failed=False)
    first, second = await one.tick(0, "one:"), await two.tick(0, "two:")
    assert (len(first.turns), len(second.turns)) == (1, 0)


async def test_a_running_turn_is_not_due(store: Store) -> None:
    await first_turn(store)
    tick = await store.tick(0, "t")
    assert tick.turns == ()
    assert tick.next_due_ms is not None
    assert tick.next_due_ms > 1_000


async def test_many_due_turns_are_handed_out_in_portions(store: Store) -> None:
    for _ in range(TURNS_PER_TICK_MAX + 4):
        turn = await first_turn(store)
        await store.defer(turn.record.id, turn.token, 0, failed=False)
    first, second = await store.tick(0, "a:"), await store.tick(0, "b:")
    assert (len(first.turns), len(second.turns)) == (TURNS_PER_TICK_MAX, 4)
    assert first.next_due_ms == 0


# Timers


async def test_a_wait_that_lasted_long_enough_makes_its_turn_due(store: Store) -> None:
    turn = await asking_job(store, deadline_ms=0)
    (due,) = (await store.tick(0, "t")).turns
    assert (due.record.id, due.items) == (turn.record.id, (TimerItem(),))
    await committed(store, commit_of(due))


async def test_an_answer_after_the_deadline_loses(store: Store) -> None:
    turn = await asking_job(store, deadline_ms=0)
    (due,) = (await store.tick(0, "t")).turns
    assert await store.signal(turn.record.id, 1, decision(), "", fresh()) == Refused(Refusal.CONFLICT)
    await store.defer(turn.record.id, due.token, 0, failed=False)
    assert await store.signal(turn.record.id, 1, decision(), "", fresh()) == Refused(Refusal.CONFLICT)


async def test_a_deadline_after_the_answer_changes_nothing(store: Store) -> None:
    turn = await asking_job(store, deadline_ms=1)
    answered = await store.signal(turn.record.id, 1, decision(), "", fresh())
    assert isinstance(answered, Turn)
    await committed(store, commit_of(answered, status=JobStatus.WAITING_FOR_HUMAN, need=1))
    started_at = time.monotonic()
    await until(lambda: time.monotonic() > started_at + 0.005)
    assert (await store.tick(0, "t")).turns == ()
    second = await store.signal(turn.record.id, 2, decision("rejected"), "", fresh())
    assert isinstance(second, Turn)
    assert len(second.items) == 1


async def test_a_sleeping_job_says_when_it_is_due(store: Store) -> None:
    turn = await first_turn(store)
    await committed(store, commit_of(turn, status=JobStatus.WAITING, need=1, deadline_ms=HOUR_MS))
    tick = await store.tick(0, "t")
    assert tick.next_due_ms is not None
    assert HOUR_MS - 60_000 < tick.next_due_ms <= HOUR_MS


async def test_a_retry_is_handed_out_when_its_back_off_ends(store: Store) -> None:
    await waiting_job(store)
    (task,) = await store.claim(0, claim_of([seat()]))
    await store.complete(end_of(task, mode=Mode.RETRY, delay_ms=HOUR_MS))
    await store.tick(0, "t")
    assert (await store.queue(0)).ready == {}


# Messages


async def test_a_message_comes_until_it_is_delivered(store: Store) -> None:
    turn = await first_turn(store)
    await committed(store, commit_of(turn, messages=(Message("m1", b"hello"),)))
    (message,) = (await store.tick(0, "t")).messages
    assert (message.id, message.body, message.tries) == ("m1", b"hello", 0)
    assert (await store.tick(0, "t")).messages == (), "it is being delivered"
    await store.settle(0, "m1", 0, 0)
    (message,) = (await store.tick(0, "t")).messages
    assert message.tries == 1
    await store.settle(0, "m1", 1, None)
    assert (await store.tick(0, "t")).next_due_ms is None


async def test_a_try_is_counted_once(store: Store) -> None:
    turn = await first_turn(store)
    await committed(store, commit_of(turn, messages=(Message("m1", b"hello"),)))
    await store.tick(0, "t")
    await store.settle(0, "m1", 0, 0)
    await store.settle(0, "m1", 0, HOUR_MS)
    (message,) = (await store.tick(0, "t")).messages
    assert message.tries == 1
    await store.settle(0, "m1", 0, None)
    await store.settle(0, "m1", 1, None)
    await store.settle(0, "unknown", 0, None)


async def test_the_queue_counts_what_is_there(store: Store) -> None:
    await waiting_job(store, 3)
    await first_turn(store)
    await store.claim(0, claim_of(1))
    state = await store.queue(0)
    assert (state.ready, state.leased) == ({WORK: 2}, 1)
    assert {status: n for status, n in state.jobs.items() if n} == {"pending": 1, "waiting_for_parallel_tasks": 1}
