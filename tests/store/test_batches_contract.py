"""What every store knows of batches that come as streams."""

from dataclasses import replace
from typing import Any

import orjson
from muster.core.ids import JobId
from muster.core.status import JobStatus
from muster.store.base import Store, Tick
from muster.store.batch_records import BatchLine, NewBatch, StoredBatch
from muster.store.blueprint_records import Migration

from tests.support.samples import HOUR_MS, commit_of, committed, fresh, new_job, new_tasks

HOOK = b'{"u":"https://a.example","t":"acme","p":{"event":"batch_finished",'
BATCH = NewBatch("kkkkkkkkkkkkkkkk", "acme", "b/1", HOOK, HOUR_MS)


def lines(*numbers: int, text: str = "p", **changes: Any) -> list[BatchLine]:
    return [BatchLine(number, text, new_job(**changes)) for number in numbers]


async def add(store: Store, *numbers: int, batch: NewBatch = BATCH, text: str = "p") -> list[str]:
    return [fate.value for fate in await store.batches.add(0, batch, lines(*numbers, text=text))]


async def read(store: Store, key: str = BATCH.key) -> StoredBatch:
    found = await store.batches.read(0, key)
    assert found is not None
    return found


async def tick(store: Store, first_turns: int = 16) -> Tick:
    return await store.tick(0, fresh(), first_turns)


async def end_all(store: Store, status: JobStatus = JobStatus.FINISHED) -> list[JobId]:
    """Take the first turns there are, and end their jobs with them."""
    turns = (await tick(store)).first
    for turn in turns:
        await committed(store, commit_of(turn, status=status))
    return [turn.record.id for turn in turns]


async def jobs_of(store: Store, after: int = 0, limit: int = 100) -> list[tuple[int, JobId]]:
    return list(await store.batches.page(0, BATCH.key, after, limit))


async def test_a_line_is_taken_once_however_often_it_is_sent(store: Store) -> None:
    assert await add(store, 1, 3) == ["made", "made"]
    assert await add(store, 1, 2, 3) == ["there", "made", "there"]
    assert await add(store, 2, 4, text="other") == ["conflict", "made"]
    assert [line for line, _ in await jobs_of(store)] == [1, 2, 3, 4]
    assert [line for line, _ in await jobs_of(store, after=1, limit=2)] == [2, 3]
    found = await read(store)
    assert (found.total, found.live, found.counts) == (4, 4, {JobStatus.PENDING: 4})
    assert (found.id, found.tenant, found.is_closed, found.ended_at) == ("b/1", "acme", False, None)
    assert await store.batches.read(0, "nobody") is None
    assert await store.batches.page(0, "nobody", 0, 9) == ()


async def test_the_jobs_of_a_batch_get_their_first_turns_in_order_and_no_more_than_asked_for(store: Store) -> None:
    await add(store, *range(1, 8))
    made = [job for _, job in await jobs_of(store)]
    found = await tick(store, first_turns=3)
    assert ([turn.record.id for turn in found.first], found.turns, found.more_first) == (made[:3], (), True)
    assert (await tick(store, first_turns=0)).first == ()
    assert [turn.record.id for turn in (await tick(store)).first] == made[3:]
    assert (await tick(store)).more_first is False


async def test_batches_take_turns(store: Store) -> None:
    other = replace(BATCH, key="o" * 16, id="other")
    await add(store, *range(1, 30))
    await add(store, *range(1, 4), batch=other)
    theirs = {job for _, job in await store.batches.page(0, other.key, 0, 9)}
    first = {turn.record.id for turn in (await tick(store)).first}
    assert theirs <= first


async def test_counts_follow_every_job_and_its_end_to_the_last(store: Store) -> None:
    await add(store, 1, 2, 3)
    turns = (await tick(store)).first
    await committed(store, commit_of(turns[0], new_tasks(0, 2), status=JobStatus.WAITING_FOR_PARALLEL_TASKS))
    await committed(store, commit_of(turns[1], status=JobStatus.FAILED))
    found = await read(store)
    assert found.counts == {
        JobStatus.PENDING: 1,
        JobStatus.WAITING_FOR_PARALLEL_TASKS: 1,
        JobStatus.FAILED: 1,
    }
    assert found.live == 2
    await store.delete(turns[0].record.id)
    await committed(store, commit_of(turns[2]))
    found = await read(store)
    assert (found.live, found.ended_at) == (0, None)
    assert found.counts == {JobStatus.CANCELLED: 1, JobStatus.FAILED: 1, JobStatus.FINISHED: 1}


async def test_the_end_of_a_closed_batch_is_told_once_with_its_counts(store: Store) -> None:
    await add(store, 1, 2)
    closed = await store.batches.close(0, BATCH)
    assert (closed.is_closed, closed.ended_at) == (True, None)
    assert await end_all(store)
    for _ in range(2):
        assert (await store.batches.close(0, BATCH)).ended_at is not None
    (message,) = (await tick(store)).messages
    told = orjson.loads(message.body)
    assert told == {
        "u": "https://a.example",
        "t": "acme",
        "p": {"event": "batch_finished", "total": 2, "counts": {"finished": 2}},
    }
    await store.settle(0, message.id, 1, None)
    assert (await tick(store)).messages == ()


async def test_a_batch_that_is_closed_after_its_last_job_has_ended_is_over_then(store: Store) -> None:
    await add(store, 1)
    await end_all(store)
    assert (await tick(store)).messages == ()
    assert (await store.batches.close(0, BATCH)).ended_at is not None
    assert len((await tick(store)).messages) == 1
    silent = replace(BATCH, key="s" * 16, webhook=b"")
    assert (await store.batches.close(0, silent)).total == 0
    assert len((await tick(store)).messages) == 0


async def test_a_closed_or_cancelled_batch_takes_no_new_lines_and_knows_its_old_ones(store: Store) -> None:
    await add(store, 1)
    await store.batches.close(0, BATCH)
    assert await add(store, 1, 2) == ["there", "closed"]
    other = replace(BATCH, key="o" * 16)
    await add(store, 1, batch=other)
    assert await store.batches.cancel(0, other.key) == 1
    assert await add(store, 1, 2, batch=other) == ["there", "cancelled"]
    assert (await read(store, other.key)).is_cancelled


async def test_the_jobs_of_a_cancelled_batch_are_handed_out_a_chunk_at_a_time_until_all_were_asked(
    store: Store,
) -> None:
    await add(store, *range(1, 61))
    assert await store.batches.cancel(0, BATCH.key) == 60
    assert await store.batches.cancel(0, "nobody") is None
    (first,) = (await tick(store, 0)).cancels
    assert (first.tenant, first.after, [line for line, _ in first.jobs]) == ("acme", 0, [*range(1, 51)])
    assert (await tick(store, 0)).cancels == ()
    for _ in range(2):
        await store.batches.cancelled_to(0, BATCH.key, 0, 50)
    (second,) = (await tick(store, 0)).cancels
    assert [line for line, _ in second.jobs] == [*range(51, 61)]
    await store.batches.cancelled_to(0, BATCH.key, 50, 60)
    (last,) = (await tick(store, 0)).cancels
    assert last.jobs == ()
    await store.batches.cancelled_to(0, BATCH.key, 60, None)
    assert (await tick(store, 0)).next_due_ms is None


async def test_a_job_that_was_cancelled_or_deleted_before_its_first_turn_is_passed_over(store: Store) -> None:
    await add(store, 1, 2, 3)
    jobs = [job for _, job in await jobs_of(store)]
    turn = await store.cancel(jobs[0], fresh(), HOUR_MS, "")
    await store.delete(jobs[1])
    assert [found.record.id for found in (await tick(store)).first] == [jobs[2]]
    assert not isinstance(turn, tuple)


async def test_a_job_that_is_paused_before_its_first_turn_is_counted_as_it_stood_and_passed_over(
    store: Store,
) -> None:
    await add(store, 1, 2)
    (_, first), (_, second) = await jobs_of(store)
    await store.operations.pause(first, "ann", "", "")
    assert (await read(store)).counts == {JobStatus.PENDING: 2}, "a pause is not a status of its own here"
    assert [turn.record.id for turn in (await tick(store)).first] == [second]
    assert (await tick(store)).more_first is False


async def test_a_job_that_was_moved_to_another_version_before_its_first_turn_gets_it_all_the_same(store: Store) -> None:
    await add(store, 1)
    ((_, job),) = await jobs_of(store)
    record = await store.read(job)
    assert record is not None
    assert await store.blueprints.migrate(Migration(record, "2:b", record.state, None, "moved")) is None
    assert [turn.record.id for turn in (await tick(store)).first] == [job]


async def test_one_tick_passes_over_so_many_ended_jobs_of_a_batch_and_the_next_goes_on(store: Store) -> None:
    await add(store, *range(1, 41))
    await add(store, *range(41, 82))
    jobs = [job for _, job in await jobs_of(store)]
    for job in jobs[:80]:
        await store.delete(job)
    early = await tick(store)
    assert (early.first, early.more_first) == ((), True)
    assert [turn.record.id for turn in (await tick(store)).first] == [jobs[80]]
