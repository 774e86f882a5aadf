"""What every store does with named signals: deliver them, or keep them until the job waits for them."""

from muster.core.record import SignalItem
from muster.core.status import JobStatus
from muster.store.base import Refusal, Refused, Store, Turn
from muster.store.codec import dump_item

from tests.support.samples import HOUR_MS, commit_of, committed, first_turn, fresh, new_job, waiting_job

MOST = 3


def told(name: str, data: object = None) -> str:
    return dump_item(SignalItem(name, data))  # type: ignore[arg-type]


async def job_that_waits(store: Store, name: str, deadline_ms: int | None = None) -> Turn:
    """Its past turn is returned."""
    turn = await first_turn(store)
    await committed(store, commit_of(turn, status=JobStatus.WAITING, need=1, signal=name, deadline_ms=deadline_ms))
    return turn


async def test_a_signal_goes_to_the_job_that_waits_for_it_and_the_turn_to_the_sender(store: Store) -> None:
    job = (await job_that_waits(store, "paid")).record.id
    for _ in range(2):
        turn = await store.send(job, "paid", told("paid", {"cents": 5}), "came", "mine", MOST)
        assert isinstance(turn, Turn)
        last = turn
        assert (turn.token, turn.items) == ("mine", (SignalItem("paid", {"cents": 5}),))
    await committed(store, commit_of(last))
    assert await store.send(job, "paid", told("paid"), "came", "mine", MOST) is None  # taken then
    assert [event.blob for event in await store.history(job)].count("came") == 1


async def test_a_signal_that_comes_before_its_wait_is_kept_and_taken_then_oldest_first(store: Store) -> None:
    turn = await first_turn(store)
    job = turn.record.id
    for name, data in (("other", 0), ("paid", 1), ("paid", 2)):
        assert await store.send(job, name, told(name, data), "", fresh(), MOST) is None
    for data in (1, 2):
        reply = await committed(store, commit_of(turn, status=JobStatus.WAITING, need=1, signal="paid"))
        assert reply.turn is not None
        assert reply.turn.items == (SignalItem("paid", data),)
        turn = reply.turn
    third = await committed(store, commit_of(turn, status=JobStatus.WAITING, need=1, signal="paid"))
    assert third.turn is None


async def test_any_of_several_signals_ends_a_wait_and_of_those_kept_the_oldest(store: Store) -> None:
    job = (await job_that_waits(store, "stop,paid")).record.id
    assert await store.send(job, "other", told("other"), "", fresh(), MOST) is None
    turn = await store.send(job, "paid", told("paid", 1), "", fresh(), MOST)
    assert isinstance(turn, Turn)
    for name in ("stop", "paid"):
        assert await store.send(job, name, told(name), "", fresh(), MOST) is None
    reply = await committed(store, commit_of(turn, status=JobStatus.WAITING, need=1, signal="paid,stop"))
    assert reply.turn is not None
    assert reply.turn.items == (SignalItem("stop"),)


async def test_a_signal_of_another_name_does_not_end_the_wait(store: Store) -> None:
    job = (await job_that_waits(store, "paid")).record.id
    assert await store.send(job, "shipped", told("shipped"), "", fresh(), MOST) is None
    assert (await store.tick(0, "t")).turns == ()
    assert isinstance(await store.send(job, "paid", told("paid"), "", fresh(), MOST), Turn)


async def test_a_signal_sent_twice_is_kept_once(store: Store) -> None:
    turn = await first_turn(store)
    for token in ("one", "one", "two", "one"):
        assert await store.send(turn.record.id, "paid", told("paid", token), "", token, MOST) is None
    for data in ("one", "two"):
        reply = await committed(store, commit_of(turn, status=JobStatus.WAITING, need=1, signal="paid"))
        assert reply.turn is not None
        assert reply.turn.items == (SignalItem("paid", data),)
        turn = reply.turn
    assert (await committed(store, commit_of(turn, status=JobStatus.WAITING, need=1, signal="paid"))).turn is None


async def test_the_newest_signal_is_refused_where_too_many_are_kept(store: Store) -> None:
    job = await waiting_job(store)
    for _ in range(MOST):
        assert await store.send(job, "paid", told("paid"), "", fresh(), MOST) is None
    assert await store.send(job, "paid", told("paid"), "", fresh(), MOST) == Refused(Refusal.FULL)


async def test_the_awaited_signal_is_taken_although_many_others_are_kept(store: Store) -> None:
    job = (await job_that_waits(store, "paid")).record.id
    for _ in range(MOST):
        await store.send(job, "other", told("other"), "", fresh(), MOST)
    assert isinstance(await store.send(job, "paid", told("paid"), "", fresh(), MOST), Turn)


async def test_a_second_signal_of_the_name_is_kept_for_the_next_wait(store: Store) -> None:
    job = (await job_that_waits(store, "paid")).record.id
    first = await store.send(job, "paid", told("paid", 1), "", fresh(), MOST)
    assert isinstance(first, Turn)
    assert await store.send(job, "paid", told("paid", 2), "", fresh(), MOST) is None
    reply = await committed(store, commit_of(first, status=JobStatus.WAITING, need=1, signal="paid"))
    assert reply.turn is not None
    assert reply.turn.items == (SignalItem("paid", 2),)


async def test_of_a_signal_and_the_deadline_the_first_counts(store: Store) -> None:
    job = (await job_that_waits(store, "paid", deadline_ms=0)).record.id
    (turn,) = (await store.tick(0, "t")).turns
    assert await store.send(job, "paid", told("paid"), "", fresh(), MOST) is None
    assert [type(item).__name__ for item in turn.items] == ["TimerItem"]
    await committed(store, commit_of(turn))


async def test_an_unknown_or_final_job_takes_no_signal_and_keeps_none(store: Store) -> None:
    turn = await first_turn(store)
    await store.send(turn.record.id, "paid", told("paid"), "", fresh(), MOST)
    await committed(store, commit_of(turn))
    assert await store.send(turn.record.id, "paid", told("paid"), "", fresh(), MOST) == Refused(Refusal.FINAL)
    for unknown in (new_job().id, new_job(partition=9).id):
        assert await store.send(unknown, "paid", told("paid"), "", fresh(), MOST) == Refused(Refusal.GONE)


async def test_a_job_to_be_cancelled_takes_no_signal_that_it_waits_for(store: Store) -> None:
    turn = await first_turn(store)
    await store.send(turn.record.id, "paid", told("paid"), "", fresh(), MOST)
    assert await store.cancel(turn.record.id, fresh(), HOUR_MS, "") == ()
    reply = await committed(store, commit_of(turn, status=JobStatus.WAITING, need=1, signal="paid"))
    assert reply.turn is not None
    assert reply.turn.items == ()
    await committed(store, commit_of(reply.turn, status=JobStatus.CANCELLED, error="x", clear_cancel=True))
