"""Which jobs every store makes: quotas, unique keys, debounce."""

from dataclasses import replace
from typing import Any

import pytest
from muster.core.ids import JobId, UnixMs
from muster.core.record import Submission
from muster.core.status import JobStatus
from muster.store.admission import Admission, Limited, PutOff, Taken
from muster.store.base import Commit, Committed, NewJob, Store, Turn
from muster.store.batch_records import BatchLine, NewBatch

from tests.support.samples import HOUR_MS, claim_of, commit_of, committed, fresh, new_job, new_tasks

CLIENT = Admission(client="c" * 16)
UNIQUE = Admission(unique="u" * 16)
SOON = Admission(debounce="d" * 16, delay_ms=HOUR_MS, most_ms=3 * HOUR_MS)


async def submit(store: Store, wish: Admission, **changes: Any) -> Turn | Limited | Taken | PutOff:
    reply = await store.submit(new_job(admission=wish, **changes), fresh())
    assert isinstance(reply, Turn | Limited | Taken | PutOff)
    return reply


async def made(store: Store, wish: Admission, **changes: Any) -> Turn:
    reply = await submit(store, wish, **changes)
    assert isinstance(reply, Turn), reply
    return reply


def at_once(job: NewJob) -> Commit:
    """A first turn that ends the job."""
    return commit_of(Turn(fresh(), job.record(UnixMs(0)), ()), started=True)


async def test_a_client_has_so_many_live_jobs_and_another_one_when_one_is_over(store: Store) -> None:
    wish = replace(CLIENT, live_max=2)
    turns = [await made(store, wish) for _ in range(2)]
    assert await submit(store, wish) == Limited("live")
    assert isinstance(await submit(store, replace(wish, client="x" * 16)), Turn)
    await committed(store, commit_of(turns[0]))
    third = await made(store, wish)
    assert await submit(store, wish) == Limited("live")
    await store.delete(third.record.id)
    cancelled = await made(store, wish)
    await committed(store, commit_of(cancelled, status=JobStatus.CANCELLED))
    assert isinstance(await submit(store, wish), Turn)


async def test_a_job_is_queued_until_a_worker_has_its_first_task_or_it_waits_for_something_else(store: Store) -> None:
    wish = replace(CLIENT, queued_max=1)
    first = await made(store, wish)
    assert await submit(store, wish) == Limited("queued")
    await committed(store, commit_of(first, new_tasks(0, 1)))
    assert await submit(store, wish) == Limited("queued")
    assert len(await store.claim(0, claim_of())) == 1
    second = await made(store, wish)
    assert await submit(store, wish) == Limited("queued")
    await committed(store, commit_of(second, status=JobStatus.WAITING, need=1, started=True))
    third = await made(store, wish)
    await store.delete(third.record.id)
    assert isinstance(await submit(store, wish), Turn)


async def test_a_job_that_is_over_with_its_first_turn_leaves_nothing_counted(store: Store) -> None:
    wish = replace(CLIENT, live_max=1, queued_max=1)
    for _ in range(3):
        job = new_job(admission=wish)
        first = at_once(job)
        assert isinstance(await store.submit(job, first.token, first), Committed)


async def test_submits_come_at_a_rate_with_a_burst(store: Store) -> None:
    wish = replace(CLIENT, interval_us=HOUR_MS * 1000, burst=3)
    for _ in range(3):
        await made(store, wish)
    refused = await submit(store, wish)
    assert isinstance(refused, Limited)
    assert (refused.why, HOUR_MS - 60_000 < refused.retry_ms <= HOUR_MS) == ("rate", True)


async def test_a_submit_that_is_sent_twice_counts_once(store: Store) -> None:
    wish, job, token = replace(CLIENT, live_max=1, interval_us=HOUR_MS * 1000), new_job(), fresh()
    for _ in range(2):
        assert isinstance(await store.submit(replace(job, admission=wish), token), Turn)
    known = new_job(admission=wish, idempotency_key="k", fingerprint="f")
    assert isinstance(await store.submit(known, fresh()), Limited)


async def test_a_unique_key_is_held_by_one_live_job_and_free_after_its_end(store: Store) -> None:
    first = await made(store, UNIQUE)
    assert await submit(store, UNIQUE) == Taken(first.record.id)
    assert isinstance(await submit(store, replace(UNIQUE, unique="v" * 16)), Turn)
    await committed(store, commit_of(first))
    second = await made(store, UNIQUE)
    await store.delete(second.record.id)
    third = await made(store, UNIQUE)
    assert await submit(store, UNIQUE) == Taken(third.record.id)


async def test_a_unique_key_for_a_time_outlives_its_job(store: Store) -> None:
    wish = replace(UNIQUE, unique_ms=HOUR_MS)
    first = await made(store, wish)
    await committed(store, commit_of(first))
    assert await submit(store, wish) == Taken(first.record.id)
    brief = replace(UNIQUE, unique="w" * 16, unique_ms=1)
    await made(store, brief)
    reply = await submit(store, brief)
    while isinstance(reply, Taken):
        reply = await submit(store, brief)
    assert isinstance(reply, Turn)


async def test_who_replaces_takes_the_key_and_the_other_is_handed_out_to_be_cancelled(store: Store) -> None:
    first = await made(store, UNIQUE)
    await committed(store, commit_of(first, new_tasks(0, 1)))
    second = await made(store, replace(UNIQUE, replaces=True))
    assert (await store.tick(0, fresh())).replaced == ((first.record.id, "acme"),)
    assert (await store.tick(0, fresh())).replaced == ()
    turn = await store.cancel(first.record.id, fresh(), HOUR_MS, "")
    assert isinstance(turn, Turn)
    await committed(store, commit_of(turn, status=JobStatus.CANCELLED, drops=((0, 1),)))
    assert await submit(store, UNIQUE) == Taken(second.record.id)


async def test_a_debounced_job_begins_later_and_with_the_newest_input(store: Store) -> None:
    first = await submit(store, SOON)
    assert first == PutOff(first.job, is_new=True) if isinstance(first, PutOff) else False
    assert isinstance(first, PutOff)
    again = await submit(store, SOON, submission=Submission({"amount": 2}))
    assert again == PutOff(first.job, is_new=False)
    record = await store.read(first.job)
    assert record is not None
    assert (record.submission.initial_data, record.version) == ({"amount": 2}, 0)
    standing = await store.standing.of(first.job)
    assert standing is not None
    assert standing.turn_at is not None
    assert HOUR_MS - 60_000 < standing.turn_at - standing.now <= HOUR_MS
    assert (await store.tick(0, fresh())).turns == ()


async def test_a_debounced_job_that_has_begun_is_left_alone(store: Store) -> None:
    wish = replace(SOON, delay_ms=0, most_ms=0)
    first = await submit(store, wish)
    assert isinstance(first, PutOff)
    turn = next(turn for turn in (await store.tick(0, fresh())).turns if turn.record.id == first.job)
    second = await submit(store, wish, submission=Submission({"amount": 2}))
    assert isinstance(second, PutOff)
    assert (second.is_new, turn.record.submission.initial_data) == (True, {"amount": 1})


async def test_a_job_is_not_put_off_for_ever(store: Store) -> None:
    wish = replace(SOON, most_ms=1)
    first = await submit(store, wish)
    again = await submit(store, wish)
    assert isinstance(first, PutOff)
    assert isinstance(again, PutOff)
    standing = await store.standing.of(first.job)
    assert standing is not None
    assert again.job == first.job
    assert standing.turn_at is not None
    assert standing.turn_at - standing.now < 60_000


async def test_the_jobs_of_a_batch_count_too_and_no_more_are_made_than_there_may_be(store: Store) -> None:
    batch = NewBatch("k" * 16, "acme", "b", client="c" * 16, live_max=2)
    lines = [BatchLine(number, "p", new_job()) for number in (1, 2, 3)]
    assert [fate.value for fate in await store.batches.add(0, batch, lines)] == ["made", "made", "limited"]
    assert await submit(store, replace(CLIENT, live_max=2)) == Limited("live")
    (turn, _) = (await store.tick(0, fresh(), 16)).first
    await committed(store, commit_of(turn))
    again = await store.batches.add(0, batch, lines)
    assert [fate.value for fate in again] == ["there", "there", "made"]


@pytest.mark.parametrize("wish", [CLIENT, UNIQUE])
async def test_nothing_is_left_of_what_was_admitted(store: Store, wish: Admission) -> None:
    jobs: list[JobId] = []
    for _ in range(3):
        turn = await made(store, wish)
        jobs.append(turn.record.id)
        await committed(store, commit_of(turn))
    assert len(set(jobs)) == 3
