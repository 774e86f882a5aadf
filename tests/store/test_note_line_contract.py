"""What every store does with lines whose tellers choose their numbers."""

from typing import Any

from muster.core.ids import JobId, UnixMs
from muster.store.base import Refusal, Refused, Store
from muster.store.journal import Appended, Known, NotedLine
from muster.store.keys import short_hash

from tests.store.test_journal_contract import MEBIBYTE, events_of, lines_of, running, said
from tests.support.deployment import Deployment
from tests.support.samples import HOUR_MS, commit_of, committed, end_of, fresh_job_id, job_of
from tests.support.waiting import until

AT = UnixMs(1_700_000_000_000)


def noted(job: JobId, seq: int, text: str, **changes: Any) -> NotedLine:
    fields: dict[str, Any] = {"at": AT, "stream": "stderr", "text": text, "log_bytes_max": MEBIBYTE}
    return NotedLine(job=job, seq=seq, **{**fields, **changes})


async def test_a_line_is_kept_under_the_number_that_its_teller_chose(store: Store) -> None:
    job = job_of(await running(store))
    assert await store.note_line(noted(job, 8, 'é"|\n☃')) is True
    read = await store.read_log(job, 1)
    assert read is not None
    assert (read.is_final, read.last) == (False, 8)
    (line,) = [line for chunk in read.chunks for line in chunk.lines]
    assert (line.at, line.stream, line.text) == (AT, "stderr", 'é"|\n☃')
    assert await lines_of(store, job) == [(8, 'é"|\n☃')]


async def test_a_line_without_a_time_gets_that_of_the_store(store: Store) -> None:
    job = job_of(await running(store))
    await store.note_line(noted(job, 1, "now", at=None))
    read = await store.read_log(job, 1)
    assert read is not None
    assert read.chunks[0].lines[0].at > AT


async def test_a_number_that_is_there_keeps_its_line(store: Store) -> None:
    task = await running(store)
    await store.append(events_of(task, said("a", "b")))
    for seq in (1, 2):
        assert await store.note_line(noted(job_of(task), seq, "other")) is False
    assert await store.note_line(noted(job_of(task), 3, "c")) is True
    assert await store.note_line(noted(job_of(task), 3, "other")) is False
    assert await lines_of(store, job_of(task)) == [(1, "a"), (2, "b"), (3, "c")]


async def test_lines_of_the_worker_come_after_the_greatest_number(store: Store) -> None:
    task = await running(store)
    await store.note_line(noted(job_of(task), 5, "noted"))
    assert await store.append(events_of(task, said("a"))) == Appended(1)
    assert await lines_of(store, job_of(task)) == [(5, "noted"), (6, "a")]


async def test_free_numbers_below_the_greatest_are_filled_in_any_order(store: Store) -> None:
    task = await running(store)
    for seq in (9, 3, 1, 6):
        assert await store.note_line(noted(job_of(task), seq, f"{seq}")) is True
    await store.append(events_of(task, said("a")))
    assert await store.note_line(noted(job_of(task), 2, "2")) is True
    assert [number for number, _ in await lines_of(store, job_of(task))] == [1, 2, 3, 6, 9, 10]
    assert [number for number, _ in await lines_of(store, job_of(task), 4)] == [6, 9, 10]
    read = await store.read_log(job_of(task), 4)
    assert read is not None
    assert read.chunks[0].first <= 4, "nothing before it was dropped"


async def test_numbers_that_never_were_do_not_count_as_dropped(store: Store) -> None:
    job = job_of(await running(store))
    await store.note_line(noted(job, 5, "five"))
    read = await store.read_log(job, 1)
    assert read is not None
    assert read.chunks[0].first == 1
    await store.note_line(noted(job, 1, "one"))
    read = await store.read_log(job, 1)
    assert read is not None
    assert [(chunk.first, len(chunk.lines)) for chunk in read.chunks] == [(1, 1), (5, 1)]


async def test_noted_lines_are_bounded_like_all_others(store: Store) -> None:
    task = await running(store)
    for seq in range(1, 30):
        await store.note_line(noted(job_of(task), seq * 2, "x" * 100, log_bytes_max=1000))
    numbers = [number for number, _ in await lines_of(store, job_of(task))]
    assert numbers[-1] == 58
    assert 1 < len(numbers) < 10
    await store.append(events_of(task, said("y" * 100), log_bytes_max=1000))
    after = [number for number, _ in await lines_of(store, job_of(task))]
    assert (after[-1], len(after) <= len(numbers)) == (59, True), "both kinds of writing count the same bytes"


async def test_a_large_number_leaves_room_for_more(store: Store) -> None:
    task = await running(store)
    await store.note_line(noted(job_of(task), 10**12 + 1, "far"))
    await store.append(events_of(task, said("a")))
    assert await lines_of(store, job_of(task)) == [(10**12 + 1, "far"), (10**12 + 2, "a")]


async def test_an_ended_or_unknown_job_takes_no_line(store: Store) -> None:
    task = await running(store)
    await store.note_line(noted(job_of(task), 1, "a"))
    done = await store.complete(end_of(task))
    assert not isinstance(done, Refused)
    assert done.turn is not None
    await committed(store, commit_of(done.turn, retention_ms=HOUR_MS))
    for seq in (1, 2):
        assert await store.note_line(noted(job_of(task), seq, "late")) == Refused(Refusal.FINAL, -1)
    assert await lines_of(store, job_of(task)) == [(1, "a")]
    for unknown in (fresh_job_id(), fresh_job_id(5)):
        assert await store.note_line(noted(unknown, 1, "x")) == Refused(Refusal.GONE, -1)


async def test_readers_are_told_of_a_noted_line_and_not_of_one_that_is_known(deployment: Deployment) -> None:
    one, two = await deployment.replica("r1"), await deployment.replica("r2")
    job = job_of(await running(two.store))
    await one.store.read_log(job, 1, "r1")
    await two.store.note_line(noted(job, 4, "a"))
    await until(lambda: one.texts == [f"l|{job}"])
    await two.store.note_line(noted(job, 4, "a"))
    await two.store.note_line(noted(job, 2, "b"))
    await until(lambda: one.texts == [f"l|{job}"] * 2)


FAR = 10**6


async def late_of(store: Store, job: JobId, known: int | None) -> tuple[list[int], int]:
    """Numbers of the late lines after those that are known, and how many are known then."""
    read = await store.read_live(job, Known(line=FAR, late=known))
    assert read is not None
    assert not read.has_more_late
    return [chunk.first for chunk in read.late], read.late_known


async def test_lines_below_the_newest_are_told_to_who_knows_the_ones_before_them(store: Store) -> None:
    job = job_of(await running(store))
    for seq in (9, 3, 5, 12):
        await store.note_line(noted(job, seq, f"{seq}"))
    assert await late_of(store, job, None) == ([], 2)
    assert await late_of(store, job, 0) == ([3, 5], 2)
    assert await late_of(store, job, 1) == ([5], 2)
    await store.note_line(noted(job, 1, "1"))
    await store.note_line(noted(job, 1, "again"))
    assert await late_of(store, job, 2) == ([1], 3)
    assert await late_of(store, job, 3) == ([], 3)
    assert await late_of(store, job, 99) == ([], 3)


async def test_of_many_late_lines_the_newest_are_told(store: Store) -> None:
    job = job_of(await running(store))
    await store.note_line(noted(job, 1000, "far"))
    for seq in range(1, 301):
        await store.note_line(noted(job, seq, "x"))
    assert await late_of(store, job, 0) == (list(range(45, 301)), 300)
    assert await late_of(store, job, 298) == ([299, 300], 300)


async def test_a_late_line_that_is_gone_is_an_empty_chunk(store: Store) -> None:
    job = job_of(await running(store))
    await store.note_line(noted(job, 1000, "far"))
    for seq in (2, 1, 3):
        await store.note_line(noted(job, seq, "x" * 100, log_bytes_max=MEBIBYTE if seq != 3 else 300))
    read = await store.read_live(job, Known(line=FAR, late=0))
    assert read is not None
    assert [(chunk.first, len(chunk.lines)) for chunk in read.late] == [(2, 1), (1, 0), (3, 1)]


async def test_late_lines_that_are_large_are_told_in_several_reads_before_any_other(store: Store) -> None:
    """A number that was read in its place before its turn among the late ones would be told twice."""
    job = job_of(await running(store))
    await store.note_line(noted(job, 1000, "far"))
    for seq in range(1, 11):
        await store.note_line(noted(job, seq, "x" * 60_000))
    told: list[int] = []
    known = 0
    while len(told) < 10:
        read = await store.read_live(job, Known(line=0, late=known))
        assert read is not None
        assert read.has_more_late == (read.late_known < 10)
        assert bool(read.chunks) == (not read.has_more_late)
        told += [chunk.first for chunk in read.late]
        known = read.late_known
    assert told == list(range(1, 11))


async def test_who_watches_a_tenant_is_told_how_many_lines_were_late_before(deployment: Deployment) -> None:
    one, two = await deployment.replica("r1"), await deployment.replica("r2")
    job = job_of(await running(two.store))
    await one.store.watch_tenant("acme", "r1", HOUR_MS)
    for seq in (4, 9, 2, 2, 3):
        await two.store.note_line(noted(job, seq, "x"))
    start = f"t|{short_hash('acme')}|{job}|"
    await until(lambda: one.texts == [start + place for place in ("0", "4", "9.0", "9.1")])
