"""Readers of a log: each at its own pace, on any replica, without cost for the others."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from muster.core.ids import JobId, UnixMs
from muster.engine.journal import EventsReport, Journal, LogPage
from muster.engine.settings import EngineSettings
from muster.errors import ErrorCode, MusterError
from muster.store.base import Claimed, Refused
from muster.store.journal import Line, LogRead, TaskEvents
from muster.store.memory import MemoryState, MemoryStore

from tests.support.samples import claim_one, commit_of, committed, end_of, fresh_job_id, job_of, waiting_job
from tests.support.waiting import until

TENANT = "acme"


class CountingStore(MemoryStore):
    """Knows how often a log was read; holds reads while `gate` is not set."""

    reads = 0
    gate: asyncio.Event | None = None

    async def read_log(self, job: JobId, start: int, watcher: str = "") -> LogRead | None:
        self.reads += 1
        read = await super().read_log(job, start, watcher)
        if self.gate is not None:
            await self.gate.wait()
        return read


class Place:
    """A replica."""

    def __init__(self, state: MemoryState, name: str, log_bytes_max: int = 10_000_000) -> None:
        self.store = CountingStore(state, replica=name, on_message=self._hear)
        self.journal = Journal(self.store, EngineSettings(name, log_bytes_max=log_bytes_max))

    def _hear(self, _partition: int, text: str) -> None:
        if text.startswith("l|"):
            self.journal.announce(JobId(text[2:]))

    def follow(self, task: Claimed, after: int = 0, quiet_s: float = 60) -> Any:
        return self.journal.follow_logs(TENANT, job_of(task), after=after, stream=None, quiet_s=quiet_s)


@pytest.fixture
async def places() -> tuple[Place, Place]:
    state = MemoryState()
    one, two = Place(state, "r1"), Place(state, "r2")
    await one.store.open()
    await two.store.open()
    return one, two


@pytest.fixture
async def task(places: tuple[Place, Place]) -> Claimed:
    await waiting_job(places[0].store)
    return await claim_one(places[0].store)


async def say(place: Place, task: Claimed, first: int, *texts: str, **changes: Any) -> int | None:
    lines = tuple(Line(UnixMs(1), "stdout", text) for text in texts)
    fields = {"task_id": task.task, "worker_id": "w1", "attempt": 1, "fence": None, "first": first, "entries": lines}
    return (await place.journal.take_events(EventsReport(**{**fields, **changes}))).accepted_to


async def end(place: Place, task: Claimed) -> None:
    done = await place.store.complete(end_of(task))
    assert not isinstance(done, Refused)
    assert done.turn is not None
    await committed(place.store, commit_of(done.turn))


def numbers(pages: list[LogPage]) -> list[int]:
    return [entry.seq for page in pages for entry in page.items]


async def test_of_an_overlapping_batch_only_the_new_events_are_taken(
    places: tuple[Place, Place], task: Claimed
) -> None:
    one, two = places
    assert await say(one, task, 0, "a", "b") == 1
    assert await say(two, task, 1, "b", "c", "d") == 3
    assert await say(one, task, 0, "a") == 3
    page = await two.journal.logs(TENANT, job_of(task), after=0, limit=10, stream=None)
    assert [entry.text for entry in page.items] == ["a", "b", "c", "d"]
    assert await say(one, task, 4, "x", attempt=2) is None


async def test_a_follower_hears_of_lines_told_to_another_replica_and_of_the_end(
    places: tuple[Place, Place], task: Claimed, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = places
    await say(one, task, 0, "a")
    async with aclosing(two.follow(task)) as pages:
        assert numbers([await anext(pages)]) == [1]
        waiting = asyncio.ensure_future(anext(pages))
        await until(lambda: two.store.reads == 2)
        await say(one, task, 1, "b", "c")
        assert numbers([await waiting]) == [2, 3]
        monkeypatch.setattr("muster.engine.journal.LOOK_AGAIN_S", 0.1)
        waiting = asyncio.ensure_future(anext(pages))
        await end(one, task)
        last = await waiting
        assert (last.items, last.is_end) == ((), True)
        assert [page async for page in pages] == []


async def test_a_line_under_a_smaller_number_is_for_those_who_were_not_past_it(
    places: tuple[Place, Place], task: Claimed
) -> None:
    one, two = places

    async def note(seq: int) -> bool:
        return await one.journal.note_line(
            job_of(task), tenant=TENANT, seq=seq, stream="stdout", text=f"{seq}", at=None
        )

    assert await note(7)
    assert await note(2)
    async with aclosing(two.follow(task)) as pages:
        assert numbers([await anext(pages)]) == [2, 7]
        assert await note(5)
        assert await note(9)
        assert not await note(5)
        await end(one, task)
        assert numbers([page async for page in pages]) == [9]


async def test_a_crowd_of_followers_costs_one_read_for_each_batch(places: tuple[Place, Place], task: Claimed) -> None:
    one, two = places

    async def follow() -> list[int]:
        async with aclosing(two.follow(task)) as pages:
            return numbers([page async for page in pages])

    followers = [asyncio.create_task(follow()) for _ in range(200)]
    await until(lambda: two.store.reads >= 1)
    for i in range(10):
        await say(one, task, i, f"line {i}")
        for _ in range(20):
            await asyncio.sleep(0)
    await end(one, task)
    assert await asyncio.gather(*followers) == [list(range(1, 11))] * 200
    assert two.store.reads <= 40


async def test_a_line_told_while_a_shared_read_is_under_way_is_not_missed(
    places: tuple[Place, Place], task: Claimed
) -> None:
    one, two = places
    two.store.gate = asyncio.Event()
    early = two.follow(task)
    first = asyncio.ensure_future(anext(early))
    await until(lambda: two.store.reads == 1)
    await say(one, task, 0, "a")
    await asyncio.sleep(0)
    late = two.follow(task)
    second = asyncio.ensure_future(anext(late))
    await until(lambda: two.store.reads == 2)
    two.store.gate.set()
    assert numbers([await first]) == numbers([await second]) == [1]
    await early.aclose()
    await late.aclose()


async def test_a_follower_that_leaves_does_not_disturb_the_others(places: tuple[Place, Place], task: Claimed) -> None:
    one, two = places
    two.store.gate = asyncio.Event()
    leaving, staying = two.follow(task), two.follow(task)
    gone, kept = asyncio.ensure_future(anext(leaving)), asyncio.ensure_future(anext(staying))
    await until(lambda: two.store.reads == 1)
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    two.store.gate.set()
    await say(one, task, 0, "a")
    assert numbers([await kept]) == [1]
    await staying.aclose()


async def test_a_quiet_log_gives_empty_pages_to_keep_the_reader_connected(
    places: tuple[Place, Place], task: Claimed
) -> None:
    pages = places[1].follow(task, quiet_s=0.02)
    page = await anext(pages)
    assert (page.items, page.position, page.is_end) == ((), 0, False)
    await pages.aclose()


async def test_a_reader_that_fell_behind_is_told_how_much_is_gone(task: Claimed, places: tuple[Place, Place]) -> None:
    one, two = places
    pages = two.follow(task)
    await say(one, task, 0, "first")
    assert numbers([await anext(pages)]) == [1]
    for i in range(1, 11):
        lines = (Line(UnixMs(1), "stdout", "x" * 1000),)
        parts = TaskEvents(job_of(task), 0, "w1", 1, None, i, lines, log_bytes_max=3500)
        await one.store.append(parts)
    page = await anext(pages)
    assert (page.dropped, numbers([page]), page.position) == (7, [9, 10, 11], 11)
    await pages.aclose()
    listed = await two.journal.logs(TENANT, job_of(task), after=0, limit=2, stream=None)
    assert (listed.dropped, numbers([listed]), listed.position) == (8, [9, 10], 10)


async def test_a_page_ends_at_its_limit_and_says_where_to_go_on(places: tuple[Place, Place], task: Claimed) -> None:
    one, two = places
    await say(one, task, 0, *(str(i) for i in range(10)))
    page = await two.journal.logs(TENANT, job_of(task), after=2, limit=3, stream=None)
    assert (numbers([page]), page.position, page.is_end) == ([3, 4, 5], 5, False)
    none = await two.journal.logs(TENANT, job_of(task), after=0, limit=3, stream="stderr")
    assert (none.items, none.position) == ((), 10)
    await end(one, task)
    page = await two.journal.logs(TENANT, job_of(task), after=5, limit=5, stream=None)
    assert (numbers([page]), page.is_end) == ([6, 7, 8, 9, 10], True)
    beyond = await two.journal.logs(TENANT, job_of(task), after=99, limit=5, stream=None)
    assert (beyond.items, beyond.position, beyond.is_end) == ((), 99, True)


async def test_followers_are_sent_elsewhere_when_the_server_stops(places: tuple[Place, Place], task: Claimed) -> None:
    pages = places[1].follow(task)
    waiting = asyncio.ensure_future(anext(pages))
    await until(lambda: places[1].store.reads == 1)
    places[1].journal.close()
    with pytest.raises(StopAsyncIteration):
        await waiting


@pytest.mark.parametrize("wrong", ["tenant", "job"])
async def test_a_foreign_log_is_as_unknown_as_none(places: tuple[Place, Place], task: Claimed, wrong: str) -> None:
    tenant, job = ("other", job_of(task)) if wrong == "tenant" else (TENANT, fresh_job_id())
    journal = places[0].journal
    for asking in (
        journal.logs(tenant, job, after=0, limit=1, stream=None),
        journal.steps(tenant, job),
        anext(journal.follow_logs(tenant, job, after=0, stream=None, quiet_s=1)),
    ):
        with pytest.raises(MusterError) as refusal:
            await asking
        assert (refusal.value.code, refusal.value.detail) == (ErrorCode.JOB_NOT_FOUND, "Job not found")
