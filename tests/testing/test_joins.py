"""Join policies, as whole jobs."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from muster import Blueprint, Job, Join, Next, TaskError, task
from muster.testing import TestMuster, hangs, later
from muster_worker import Permanent
from pydantic import BaseModel


class Shop(BaseModel):
    name: str


class Quote(BaseModel):
    cents: int


ask_price = task("quotes.ask", Shop, Quote, retries=0)
SHOPS = [Shop(name=name) for name in "abcd"]


def joined(join: Any, at_once: Any = None) -> Blueprint[Any, Any]:
    """A blueprint that joins quotes by *join*."""
    quotes = Blueprint("quotes")

    @quotes.state
    async def told(job: Job, found: Any) -> Next:
        return job.done({"found": found})

    @quotes.state
    async def compare(job: Job, found: Any) -> Next:
        return job.sleep("1s", then=told, argument=found)

    @quotes.state
    async def too_few(job: Job, error: TaskError) -> Next:
        return job.done({"error": error.message, "code": error.code, "task": error.task})

    @quotes.start
    async def spread(job: Job) -> Next:
        return job.map(ask_price, SHOPS, ok=compare, error=too_few, join=join, at_once=at_once)

    return quotes


def answers(**by_name: Any) -> Any:
    return lambda shop: by_name[shop.name]


async def test_the_first_success_decides_and_the_rest_is_cancelled_at_its_workers(muster: TestMuster) -> None:
    muster.on(ask_price, answers(a=Permanent("shut"), b=hangs, c=later("1m", Quote(cents=3)), d=hangs))
    before = muster.now
    job = await muster.run(joined(Join.any()))
    assert job.result == {"found": {"cents": 3}}
    dropped = [event for event in job.history() if event.event_type == "task_dropped"]
    assert [event.task_id for event in dropped] == [f"{job.id}.1", f"{job.id}.3"]
    assert muster.now - before < timedelta(minutes=2)


async def test_the_first_two_decide_and_come_in_the_order_of_the_tasks(muster: TestMuster) -> None:
    late = later("2m", Quote(cents=1)), later("1m", Quote(cents=3))
    muster.on(ask_price, answers(a=late[0], b=Permanent("shut"), c=late[1], d=hangs))
    job = await muster.run(joined(Join.first(2)))
    assert job.result == {"found": [{"cents": 1}, {"cents": 3}]}


async def test_two_of_four_that_can_no_longer_be_fail_at_once(muster: TestMuster) -> None:
    muster.on(ask_price, answers(a=Permanent("no"), b=Permanent("no"), c=Permanent("shut"), d=hangs))
    before = muster.now
    job = await muster.run(joined(Join.first(2)))
    assert job.result == {
        "error": "3 of 4 tasks did not succeed; the last of them: shut",
        "code": "PERMANENT_ERROR",
        "task": 2,
    }
    assert muster.now == before


async def test_settled_results_have_their_failures_in_their_places(muster: TestMuster) -> None:
    muster.on(ask_price, answers(a=Quote(cents=1), b=Permanent("shut"), c=Quote(cents=3), d=Quote(cents=4)))
    job = await muster.run(joined(Join.settled()))
    assert isinstance(job.result, dict)
    one, two, *rest = job.result["found"]
    assert [one, *rest] == [{"cents": 1}, {"cents": 3}, {"cents": 4}]
    assert (two["code"], two["message"], two["task"]) == ("PERMANENT_ERROR", "shut", 1)


async def test_more_failures_than_are_tolerated_fail_the_fan(muster: TestMuster) -> None:
    muster.on(ask_price, answers(a=Permanent("no"), b=Permanent("shut"), c=hangs, d=hangs))
    job = await muster.run(joined(Join.tolerate(1)))
    assert job.result == {
        "error": "2 of 4 tasks did not succeed; the last of them: shut",
        "code": "PERMANENT_ERROR",
        "task": 1,
    }


@pytest.mark.parametrize("join", [Join.all(), Join.any(), Join.first(2), Join.settled(), Join.tolerate(1)])
async def test_no_crash_changes_how_a_join_ends(muster: TestMuster, join: Any) -> None:
    muster.on(ask_price, answers(a=Permanent("no"), b=Quote(cents=2), c=later("1m", Quote(cents=3)), d=Quote(cents=4)))

    quotes = joined(join)

    async def story(muster: TestMuster) -> None:
        await muster.run(quotes)

    assert len([life async for life in muster.crashes(story)]) > 3


async def test_more_successes_than_there_are_tasks_are_refused_when_they_are_decided(muster: TestMuster) -> None:
    job = await muster.run(joined(Join.first(5)))
    assert job.status == "quarantined"
    assert "join=first:5 of 4 tasks can never succeed" in str(job.error)


@pytest.mark.parametrize("number", [1.5, 0, -1, "2", True])
def test_a_join_takes_whole_numbers(number: Any) -> None:
    with pytest.raises(ValueError, match=r"Join\.first\(.*\) waits for nothing; it takes a whole number"):
        Join.first(number)
    if number != 0:
        with pytest.raises(ValueError, match=r"Join\.tolerate\(.*\) is no number of failures; it takes a whole number"):
            Join.tolerate(number)


@pytest.mark.parametrize("number", [1.5, 0, "2", True])
async def test_at_once_takes_a_whole_number(muster: TestMuster, number: Any) -> None:
    job = await muster.run(joined(Join.all(), at_once=number))
    assert job.status == "quarantined"
    assert f"at_once={number!r}: it takes a whole number" in str(job.error)


async def test_a_million_wide_map_is_refused_and_never_made(muster: TestMuster) -> None:
    wide = Blueprint("wide")
    taken = list[int]()

    @wide.state
    async def never(job: Job, found: list[Any]) -> Next:
        return job.done()

    @wide.start
    async def spread(job: Job) -> Next:
        taken.clear()

        def values() -> Iterator[int]:
            for n in range(1_000_000):
                taken.append(n)
                yield n

        return job.map("any", values(), ok=never)

    job = await muster.run(wide)
    assert "more than 10000 tasks at once" in str(job.error)
    assert len(taken) == 10_001
