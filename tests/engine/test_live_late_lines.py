"""Lines that come under smaller numbers than the newest one: told once to everybody who follows, lost on nobody."""

import asyncio
import random
from contextlib import aclosing
from typing import Any

import pytest
from muster.core.ids import JobId, UnixMs
from muster.engine.live import LineCame
from muster.engine.live_events import FROM_THE_START, LinePlace
from muster.store.journal import NotedLine

from tests.conftest import MakeDeployment
from tests.engine.live_hands import TENANT, Replica, all_of, started, step, up_to
from tests.engine.test_live_tenants import Ear, listens
from tests.support.waiting import until


async def note(place: Replica, job: JobId, *numbers: int, text: str = "", log_bytes_max: int = 1 << 20) -> None:
    for number in numbers:
        line = NotedLine(job, number, UnixMs(1), "stdout", text or f"noted {number}", log_bytes_max)
        assert await place.store.note_line(line) is True


async def lines(following: Any) -> list[LineCame]:
    async with aclosing(following):
        return [event async for event in following if isinstance(event, LineCame)]


async def test_a_late_line_reaches_who_is_past_its_number_and_has_no_step(one: Replica, two: Replica) -> None:
    job, task = await started(one)
    following = two.follow(job)
    await task.tell(step(0, "a"), "in a")
    await note(one, job, 7)
    assert (await up_to(following, "7 "))[-3:] == ["step a running", "1 in a (a running)", "7 noted 7 (a running)"]
    for number in (3, 5):
        await note(one, job, number)
        assert (await up_to(following, f"{number} "))[-1] == f"{number} noted {number}"
    await task.tell("next")
    assert (await up_to(following, "8 "))[-1] == "8 next (a running)"
    await task.end()
    assert (await all_of(following))[-1] == "end finished"
    assert [text for text in await all_of(one.follow(job)) if text[0].isdigit()] == [
        "1 in a (a running)", "3 noted 3 (a running)", "5 noted 5 (a running)", "7 noted 7 (a running)",
        "8 next (a running)",
    ]  # fmt: skip


async def test_the_place_of_a_late_line_does_not_set_the_reader_back(one: Replica) -> None:
    job, task = await started(one)
    following = one.follow(job)
    await note(one, job, 7)
    await up_to(following, "7 ")
    await note(one, job, 3, 9, 5)
    await task.end()
    places = {told.entry.seq: str(told.place) for told in await lines(following)}
    assert places == {3: "7.1", 9: "9.2", 5: "7.2"} or places == {3: "7.1", 9: "9.1", 5: "9.2"}


@pytest.mark.parametrize("seed", range(8))
async def test_whoever_goes_on_after_any_line_that_was_told_gets_each_of_the_others_once(
    deploy: MakeDeployment, seed: int
) -> None:
    """Random numbers in random order, in pages of random size; the reader leaves after each line and comes back."""
    chance = random.Random(seed)
    one = await Replica.at(deploy("memory"), "r1")
    job, task = await started(one)
    wanted = chance.sample(range(1, 60), 40)
    told: list[int] = []
    place = FROM_THE_START
    for number in wanted:
        await note(one, job, number)
        while chance.random() < 0.6 and len(told) < wanted.index(number) + 1:
            place = await read_some(one, job, place, told, chance.randrange(1, 4))
    await task.end()
    told += [event.entry.seq for event in await lines(one.follow(job, place))]
    assert sorted(told) == sorted(wanted)


async def read_some(one: Replica, job: JobId, place: LinePlace, told: list[int], count: int) -> LinePlace:
    """Up to *count* lines of one page from *place* on; returns the place of the last one."""
    async with aclosing(one.live.follow_pages(TENANT, job, after=place, quiet_s=0.01)) as pages:
        page = await anext(pages)
        came = [event for event in page.events if isinstance(event, LineCame)] if page is not None else []
    told += [event.entry.seq for event in came[:count]]
    return came[:count][-1].place if came else place


async def test_large_late_lines_are_told_once_though_they_take_several_reads(
    deploy: MakeDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await Replica.at(deploy("valkey"), "r1")
    job, task = await started(one)
    monkeypatch.setattr("muster.store.redis_journal.BYTES_PER_READ", 100)
    monkeypatch.setattr("muster.store.redis_journal.CHUNKS_PER_READ", 2)
    following = one.follow(job)
    await note(one, job, 5)
    await up_to(following, "5 ")
    await note(one, job, 9, 8, 2, 7, 1, 6, 3)
    await task.end()
    told = [event.entry.seq for event in await lines(following)]
    assert sorted(told) == [1, 2, 3, 6, 7, 8, 9]


async def test_a_reader_that_misses_late_lines_is_told_how_many_at_most(deploy: MakeDeployment) -> None:
    one = await Replica.at(deploy("memory"), "r1")
    job, task = await started(one)
    following = one.follow(job)
    await note(one, job, 1000)
    await up_to(following, "1000 ")
    await note(one, job, *range(1, 301))
    await task.end()
    notice, *rest = await lines(following)
    assert (notice.entry.stream, notice.entry.dropped, notice.place) == ("notice", 44, LinePlace(1000, 44))
    assert [event.entry.seq for event in rest] == list(range(45, 301))


async def test_a_late_line_that_was_dropped_before_it_was_told_is_counted(one: Replica) -> None:
    job, task = await started(one)
    following = one.follow(job)
    await note(one, job, 1000)
    await up_to(following, "1000 ")
    await note(one, job, 2, 1, text="x" * 100)
    await note(one, job, 3, log_bytes_max=300)
    await task.end()
    told = [(event.entry.seq, event.entry.dropped) for event in await lines(following)]
    assert (1000, 1) in told or (1, 0) in told, "it was told, or its loss was"
    assert told[-1] == (3, 0)


async def test_followers_of_a_tenant_are_told_each_late_line_once(one: Replica, two: Replica) -> None:
    job, task = await started(one)
    await note(one, job, 5, 2)
    ear = Ear(two, quiet_s=30)
    await listens(two, ear)
    for number in (3, 8, 1):
        await note(one, job, number)
    await task.end()
    await until(lambda: ear.heard[job][-1:] == ["end finished"])
    told = [text for text in ear.heard[job] if text[0].isdigit()]
    assert sorted(told) == ["1 noted 1", "3 noted 3", "8 noted 8"]
    assert told.index("3 noted 3") < told.index("1 noted 1")
    await ear.close()


async def test_a_hundred_followers_share_the_reads_of_late_lines(deploy: MakeDeployment) -> None:
    one = await Replica.at(deploy("memory"), "r1")
    job, task = await started(one)
    followers = [asyncio.create_task(lines(one.follow(job))) for _ in range(100)]
    await asyncio.sleep(0)
    for number in (5, 2, 7, 1):
        await note(one, job, number)
        for _ in range(20):
            await asyncio.sleep(0)
    await task.end()
    told = await asyncio.gather(*followers)
    assert {tuple(event.entry.seq for event in those) for those in told} == {(5, 2, 7, 1)}
    assert len({id(event) for those in told for event in those}) <= 8
