"""A worker that says how many tasks of a type it would take gets no more of these, however it asks."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from muster.engine.lines import Lines, Room, Waiter, seats
from muster.engine.reasons import Code
from muster.engine.views import FreeSlots, TaskReport

from tests.engine.fleet_hands import TENANT, Fleet, fleet
from tests.support.waiting import until

GPU = {"needs": {"labels": {"gpu": "a100"}}}
BOTH = ("render", "plain")


def asking(made: Fleet, name: str, free: "FreeSlots | dict[str, int]", most: int = 1, seconds: float = 5.0) -> Any:
    said = free if isinstance(free, FreeSlots) else FreeSlots(free)
    call = made.engines[0].poll(name, timeout_ms=round(seconds * 1000), max_tasks=most, free=said)
    made.polls.append(asyncio.ensure_future(call))
    return made.polls[-1]


def types(leases: Any) -> dict[str, int]:
    return dict(Counter(lease.body["type"] for lease in leases))


async def start(made: Fleet, count: int, kind: str, **given: Any) -> None:
    for _ in range(count):
        await made.start(type=kind, **given)


async def test_one_reply_brings_no_more_of_a_type_than_the_worker_has_free_slots_for() -> None:
    async with fleet() as made:
        await made.worker("w")
        await start(made, 5, "render")
        assert types(await asking(made, "w", {"render": 2}, most=8)) == {"render": 2}


async def test_tasks_of_one_type_with_different_needs_share_its_free_slots() -> None:
    async with fleet() as made:
        await made.worker("w", labels={"gpu": "a100"})
        await start(made, 2, "render")
        await start(made, 2, "render", where=GPU)
        await start(made, 2, "render", where={"choose": "cheapest"})
        poll = asking(made, "w", {"render": 3}, most=16)
        assert sum(types(await poll).values()) <= 3


async def test_a_type_without_a_free_slot_stays_for_another_worker() -> None:
    async with fleet() as made:
        for name in ("full", "other"):
            await made.worker(name, 0, *BOTH)
        await start(made, 1, "render")
        full = asking(made, "full", {"render": 0}, most=4)
        await until(lambda: bool(made.stores[0].claims))
        assert types(await asking(made, "other", {}, most=4)) == {"render": 1}
        assert not full.done()
        await start(made, 1, "plain")
        assert types(await full) == {"plain": 1}


async def test_a_worker_that_has_no_free_slot_of_any_type_waits_and_gets_nothing() -> None:
    async with fleet() as made:
        await made.worker("w")
        await start(made, 1, "render")
        assert await asking(made, "w", {"render": 0}, most=4, seconds=0.05) == ()
        assert made.stores[0].claims == [], "nothing it could be given was looked for"


async def test_a_backlog_of_one_type_does_not_keep_the_other_from_a_worker_with_few_slots_for_it() -> None:
    async with fleet() as made:
        await made.worker("w", 0, *BOTH)
        await start(made, 12, "plain")
        await start(made, 2, "render")
        got: Counter[str] = Counter()
        for _ in range(6):
            got.update(types(await asking(made, "w", {"render": 1}, most=2)))
        assert got["render"] == 2
        assert got["plain"] >= 6


async def test_a_backlog_of_a_type_with_few_slots_does_not_keep_others_from_the_worker() -> None:
    async with fleet() as made:
        await made.worker("w", 0, *BOTH)
        await start(made, 12, "render")
        await start(made, 4, "plain")
        got: Counter[str] = Counter()
        for _ in range(8):
            got.update(types(await asking(made, "w", {"render": 1}, most=2)))
        assert got["plain"] == 4
        assert got["render"] >= 4


async def test_a_slot_that_is_freed_while_the_poll_waits_opens_its_type() -> None:
    async with fleet() as made:
        await made.worker("w", 0, *BOTH)
        free = FreeSlots({"render": 0})
        poll = asking(made, "w", free, most=4)
        await until(lambda: bool(made.stores[0].claims))
        await start(made, 3, "render")
        await made.engines[0].settled()
        assert not poll.done()
        free.change({"render": 2})
        assert types(await poll) == {"render": 2}


async def test_a_slot_that_is_taken_while_the_poll_waits_closes_its_type() -> None:
    async with fleet() as made:
        await made.worker("w", 0, *BOTH)
        free = FreeSlots({"render": 2})
        poll = asking(made, "w", free, most=4)
        await until(lambda: len(made.stores[0].claims) == 2)
        free.change({"render": 0})
        await start(made, 3, "render")
        await made.engines[0].settled()
        assert not poll.done()
        await start(made, 1, "plain")
        assert types(await poll) == {"plain": 1}


async def test_a_class_that_is_new_while_the_poll_waits_stands_under_its_types_slots() -> None:
    async with fleet() as made:
        await made.worker("w", 0, *BOTH, labels={"gpu": "a100"})
        poll = asking(made, "w", {"render": 0}, most=4)
        await until(lambda: bool(made.stores[0].claims))
        await start(made, 2, "render", where=GPU)
        await made.engines[0].settled()
        assert not poll.done()
        await start(made, 1, "plain", where=GPU)
        assert types(await poll) == {"plain": 1}


async def test_idle_polls_with_free_slots_cost_no_command() -> None:
    async with fleet() as made:
        for name in ("a", "b"):
            await made.worker(name, 0, *BOTH)
            asking(made, name, {"render": 1}, most=4)
        await until(lambda: len(made.stores[0].claims) >= 2)
        await asyncio.sleep(0.05)
        before = len(made.stores[0].claims)
        await asyncio.sleep(0.1)
        assert len(made.stores[0].claims) == before <= 4


async def test_the_next_task_with_a_result_keeps_to_the_free_slots() -> None:
    async with fleet() as made:
        await made.worker("w", 0, *BOTH)
        await start(made, 1, "plain", then={})
        await start(made, 4, "render")
        (first,) = await asking(made, "w", {"render": 0})
        done = TaskReport(
            first.job_id, first.task_id, "w", "success", data={}, attempt=first.attempt, fence=first.fence
        )
        reply = await made.engines[0].report(done, next_tasks=4, free=FreeSlots({"render": 0}))
        assert reply.tasks == ()
        later = await asking(made, "w", {"render": 5}, most=8)
        assert types(later) == {"render": 5}


@pytest.mark.parametrize(("room", "most"), [(1, 1), (2, 2), (9, 4)])
async def test_what_comes_with_several_results_keeps_to_the_free_slots_together(room: int, most: int) -> None:
    async with fleet() as made:
        await made.worker("w", 0, *BOTH)
        await start(made, 4, "plain", then={})
        firsts = await asking(made, "w", {"render": 0}, most=4)
        done = [
            TaskReport(t.job_id, t.task_id, "w", "success", data={}, attempt=t.attempt, fence=t.fence) for t in firsts
        ]
        _, tasks = await made.engines[0].report_all(done, next_tasks=4, free=FreeSlots({"render": room}))
        assert sum(types(tasks).values()) <= most
        assert types(tasks).get("render", 0) >= 1


async def test_chosen_classes_keep_to_the_free_slots() -> None:
    async with fleet() as made:
        await made.worker("cheap", cost=1.0)
        await made.worker("dear", cost=3.0)
        await start(made, 3, "render", where={"choose": "cheapest"})
        cheap, dear = asking(made, "cheap", {"render": 1}, most=4), asking(made, "dear", {"render": 1}, most=4)
        assert [types(await cheap), types(await dear)] == [{"render": 1}, {"render": 1}]


async def test_the_reason_of_a_task_that_waits_for_a_slot_of_its_type_is_that_all_are_taken() -> None:
    async with fleet() as made:
        await made.worker("w", 0, *BOTH, slots=8, slots_per_task={"render": 1})
        await start(made, 1, "render")
        await asking(made, "w", {"render": 1}, most=4)
        waits = await made.start(type="render")
        full = asking(made, "w", {"render": 0}, most=4)
        await until(lambda: len(made.stores[0].claims) >= 2)
        (found,) = (await made.engines[0].why(TENANT, waits)).reasons
        assert (found.code, found.details["slots"], found.details["used_slots"]) == (Code.WORKERS_BUSY, 1, 1)
        assert not full.done()
        (demand,) = [d for d in await made.engines[0].wanted() if d.task == "render"]
        assert (demand.slots, demand.wanted_workers) == (1, 2)


async def test_the_bound_holds_over_all_partitions_that_are_claimed_from_at_once() -> None:
    async with fleet(partitions=4) as made:
        await made.worker("w", 0, *BOTH)
        await start(made, 40, "render")
        assert sum(bool(partition.jobs) for partition in made.state.partitions) > 1
        brought = types(await asking(made, "w", {"render": 2}, most=16))
        assert 1 <= brought["render"] <= 2
        assert sum(brought.values()) == brought["render"]


# Lines


def waiter(classes: tuple[str, ...], wanted: int = 4, **rooms: int) -> Waiter:
    return Waiter("w", classes, wanted, 1000, patient=False, rooms={cls: Room(n) for cls, n in rooms.items()})


def test_a_poll_stands_in_a_line_for_each_type_with_less_room_than_it_wants() -> None:
    assert waiter(("a", "b", "c")).groups() == (("a", "b", "c"),)
    assert waiter(("a", "b", "c"), b=1).groups() == (("a", "c"), ("b",))
    assert waiter(("a", "b", "c"), b=0, c=2).groups() == (("a",), ("c",))
    assert waiter(("a", "b"), b=4).groups() == (("a", "b"),)
    assert waiter(("a",), a=0).groups() == ()


def test_who_stands_in_two_lines_is_one_poll_and_leaves_both() -> None:
    lines, one = Lines(), waiter(("a", "b"), b=1)
    lines.join(one)
    assert (lines.waiting, [classes for classes, _ in lines]) == (1, [("a",), ("b",)])
    assert lines.everybody() == [one]
    lines.leave(one)
    assert (lines.waiting, list(lines)) == (0, [])


def test_seats_of_a_type_are_no_more_than_its_room() -> None:
    few, many = waiter(("a",), a=1), waiter(("a",))
    assert seats([few, many], 9, "a") == [few, many, many, many, many]


def test_the_line_that_was_served_last_comes_last() -> None:
    lines, one = Lines(), waiter(("a", "b"), b=1)
    lines.join(one)
    lines.served([("a",)], [one])
    assert [classes for classes, _ in lines.in_turn()] == [("b",), ("a",)]
    lines.served([("b",)], [one])
    assert [classes for classes, _ in lines.in_turn()] == [("a",), ("b",)]


def test_what_is_claimed_when_a_limit_comes_counts_against_it() -> None:
    one = waiter(("a", "b"))
    one.held = 2
    one.limit_to({"b": 3})
    assert one.free_for("b") == 1
    one.limit_to({})
    assert one.free_for("b") == 2
