"""A worker whose task types have slots of their own asks for no more than it can start, polling and over its stream."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from muster_worker import Worker
from muster_worker.slots import Slots
from muster_worker.worker_api import FREE_CHARACTERS_MAX, _free

from tests.worker.conftest import Serving
from tests.worker.fake_orchestrator import FakeOrchestrator, until


@pytest.fixture(params=["poll", "stream"])
async def fake(request: pytest.FixtureRequest) -> AsyncIterator[FakeOrchestrator]:
    async with FakeOrchestrator(streams=request.param == "stream") as orchestrator:
        yield orchestrator


class Gated:
    """A worker whose tasks `narrow`, two at a time, and `wide` wait until they are let go."""

    def __init__(self, slots: int = 6) -> None:
        self.worker = Worker(slots=slots)
        self.go = asyncio.Event()
        self.running: dict[str, int] = {"narrow": 0, "wide": 0}
        for kind, its_slots in (("narrow", 2), ("wide", None)):
            self.worker.add(kind, self._handler(kind), slots=its_slots)

    def _handler(self, kind: str) -> Any:
        async def wait(value: int) -> int:
            self.running[kind] += 1
            try:
                await self.go.wait()
            finally:
                self.running[kind] -= 1
            return value

        return wait


async def test_a_type_with_slots_of_its_own_is_fetched_no_more_than_that_and_others_come_past_it(
    fake: FakeOrchestrator, serving: Serving
) -> None:
    gated = Gated()
    async with serving(gated.worker, fake):
        assert fake.registrations[0]["slots_per_task"] == {"narrow": 2}
        ids = [fake.give("narrow", n) for n in range(5)] + [fake.give("wide", n) for n in range(4)]
        await until(lambda: gated.running == {"narrow": 2, "wide": 4})
        assert fake.held == 6, "nothing waits in the worker"
        gated.go.set()
        for task_id in ids:
            await fake.result(task_id)
    assert fake.held_by_type_max["narrow"] == 2


async def test_many_short_tasks_never_come_faster_than_their_slots(fake: FakeOrchestrator, serving: Serving) -> None:
    worker = Worker(slots=5)

    @worker.task("narrow", slots=2)
    async def narrow(value: int) -> int:
        await asyncio.sleep(0.001 * (value % 3))
        return value

    @worker.task("wide")
    async def wide(value: int) -> int:
        return await narrow(value)

    async with serving(worker, fake):
        ids = [fake.give(("narrow", "wide")[n % 2], n) for n in range(200)]
        for task_id in ids:
            await fake.result(task_id)
    assert fake.held_by_type_max["narrow"] <= 2
    assert fake.held_max <= 5


async def test_a_worker_of_one_type_asks_for_no_more_than_that_types_slots(
    fake: FakeOrchestrator, serving: Serving
) -> None:
    gated = Worker(slots=10)
    go = asyncio.Event()

    @gated.task("narrow", slots=3)
    async def narrow(value: int) -> int:
        await go.wait()
        return value

    async with serving(gated, fake):
        ids = [fake.give("narrow", n) for n in range(5)]
        await until(lambda: fake.held == 3)
        await until(lambda: not fake.polls_waiting)
        go.set()
        for task_id in ids:
            await fake.result(task_id)
    assert max([0, *fake.credits]) <= 3
    assert fake.held_max == 3


async def test_a_server_that_takes_no_notice_is_served_as_before(fake: FakeOrchestrator, serving: Serving) -> None:
    fake.knows_free = False
    gated = Gated()
    async with serving(gated.worker, fake):
        ids = [fake.give("narrow", n) for n in range(5)]
        await until(lambda: fake.held == 5 and gated.running["narrow"] == 2)
        gated.go.set()
        for task_id in ids:
            await fake.result(task_id)
        await until(lambda: fake.frees[-1].get("narrow", 2) == 2)


async def test_results_that_are_sent_again_free_their_slots_once(fake: FakeOrchestrator, serving: Serving) -> None:
    gated = Gated()
    gated.go.set()
    async with serving(gated.worker, fake):
        fake.fail_reports = 2
        ids = [fake.give("narrow", n) for n in range(6)]
        for task_id in ids:
            await fake.result(task_id)
        await until(lambda: fake.held == 0)
    assert fake.held_by_type_max["narrow"] == 2


async def test_a_task_that_comes_twice_holds_one_slot_of_its_type_when_all_is_over(
    fake: FakeOrchestrator, serving: Serving
) -> None:
    gated = Gated()
    async with serving(gated.worker, fake):
        first = fake.give("narrow", 0)
        await until(lambda: gated.running["narrow"] == 1)
        fake.give("narrow", 0, task_id=first, job_id=first.partition(".")[0], attempt=2)
        await until(lambda: len(fake.handed_out) == 2)
        gated.go.set()
        await fake.result(first)
        ids = [fake.give("narrow", n) for n in range(4)]
        for task_id in ids:
            await fake.result(task_id)
        await until(lambda: fake.frees[-1].get("narrow", 2) == 2)


async def test_fewer_slots_while_tasks_run_and_more_again_keep_to_the_type(
    fake: FakeOrchestrator, serving: Serving
) -> None:
    gated = Gated()
    async with serving(gated.worker, fake):
        await until(lambda: bool(fake.sockets))
        first = [fake.give("narrow", n) for n in range(3)]
        await until(lambda: gated.running["narrow"] == 2)
        for slots, told in ((1, 1), (6, None)):
            await fake.sockets[0].send_json({"command": "resize", "slots": slots})
            beats = len(fake.heartbeats)
            await until(lambda told=told, beats=beats: told in _told(fake, beats))  # type: ignore[misc]
        await until(lambda: fake.polls_waiting == 1 or bool(fake.credits and fake.credits[-1] == 4))
        second = [fake.give("wide", n) for n in range(4)]
        await until(lambda: gated.running == {"narrow": 2, "wide": 4})
        gated.go.set()
        for task_id in first + second:
            await fake.result(task_id)
    assert fake.held_by_type_max["narrow"] == 2


async def test_a_stream_that_is_made_again_grants_no_slot_of_a_running_task(serving: Serving) -> None:
    async with FakeOrchestrator(streams=True) as fake:
        gated = Gated()
        async with serving(gated.worker, fake):
            ids = [fake.give("narrow", n) for n in range(3)]
            await until(lambda: gated.running["narrow"] == 2)
            before = len(fake.credits)
            await fake.sockets[0].close()
            await until(lambda: len(fake.credits) > before and bool(fake.sockets))
            assert fake.frees[-1] == {"narrow": 0}
            ids.append(fake.give("wide", 1))
            await until(lambda: gated.running["wide"] == 1)
            gated.go.set()
            for task_id in ids:
                await fake.result(task_id)
        assert fake.held_by_type_max["narrow"] == 2


def _told(fake: FakeOrchestrator, since: int) -> list[Any]:
    """Slots, as heartbeats said them."""
    return [beat.get("max_concurrent_tasks") for beat in fake.heartbeats[since:]]


# Pure


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 3), st.sampled_from(["a", "b", "c"]))))
def test_what_was_promised_and_taken_is_free_again(moves: list[tuple[int, int, int, str]]) -> None:
    slots = Slots(8, {"a": 2, "b": 3})
    for count, of_a, of_b, kind in moves:
        promised = {"a": of_a, "b": of_b}
        slots.promise(count, promised)
        slots.take(1, kind)
        slots.end_promise(count, promised)
        slots.give_back(1, kind)
    assert (slots.free, slots.free_by_type()) == (8, {"a": 2, "b": 3})


def test_what_may_still_come_is_not_free() -> None:
    slots = Slots(8, {"a": 2})
    slots.promise(4, {"a": 1})
    slots.take(1, "a")
    assert (slots.free, slots.free_by_type()) == (3, {"a": 0})
    slots.take(1, "a")
    assert slots.free_by_type() == {"a": 0}, "more than it should hold is not less than nothing"


def test_where_all_types_have_slots_of_their_own_no_more_is_free_than_these() -> None:
    slots = Slots(8, {"a": 2, "b": 1}, others=False)
    assert slots.free == 3
    slots.take(2, "a")
    assert slots.free == 1
    assert Slots(8, {"a": 2}).free == 8


def test_a_poll_names_only_types_that_matter_and_no_more_than_a_url_holds() -> None:
    assert _free({"a": 1, "b": 4}, 4) == "&free=%7B%22a%22%3A1%7D"
    assert _free({"b": 4}, 4) == ""
    many = _free({f"type-{number:04d}-{'x' * 200}": number for number in range(300)}, 1_000)
    assert 0 < len(many) <= FREE_CHARACTERS_MAX
    assert "type-0000" in many
