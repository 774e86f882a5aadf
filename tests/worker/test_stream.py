"""A worker whose orchestrator offers to send tasks over the WebSocket."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from muster_worker import Worker

from tests.worker.conftest import Serving
from tests.worker.fake_orchestrator import FakeOrchestrator, until


@pytest.fixture
async def fake() -> AsyncIterator[FakeOrchestrator]:
    async with FakeOrchestrator(streams=True) as orchestrator:
        yield orchestrator


class Gate:
    """A worker whose task waits until the gate is opened."""

    def __init__(self, slots: int) -> None:
        self.worker = Worker(slots=slots)
        self.go = asyncio.Event()
        self.started = 0
        self.worker.add("wait", self._wait)

    async def _wait(self, value: int) -> int:
        self.started += 1
        await self.go.wait()
        return value


async def _echo(value: dict[str, Any]) -> dict[str, Any]:
    return value


def echoing(slots: int = 10) -> Worker:
    worker = Worker(slots=slots)
    worker.add("echo", _echo)
    return worker


async def test_tasks_come_over_the_socket_and_no_poll_is_made(fake: FakeOrchestrator, serving: Serving) -> None:
    async with serving(echoing(), fake):
        for number in range(5):
            task_id = fake.give("echo", {"n": number})
            assert (await fake.result(task_id))["data"] == {"n": number}
            assert task_id in fake.streamed
    assert fake.polls == 0


async def test_all_free_slots_are_granted_and_never_more_than_64(fake: FakeOrchestrator, serving: Serving) -> None:
    async with serving(echoing(slots=3), fake):
        await until(lambda: fake.credits == [3])
    async with FakeOrchestrator(streams=True) as other, serving(echoing(slots=100), other):
        await until(lambda: other.credits == [64])


async def test_a_slot_is_never_promised_twice(fake: FakeOrchestrator, serving: Serving) -> None:
    worker = Worker(slots=5)

    @worker.task("work")
    async def work(value: int) -> int:
        await asyncio.sleep(0.001 * (value % 3))
        return value

    async with serving(worker, fake):
        ids = [fake.give("work", n) for n in range(300)]
        await until(lambda: len(fake.results) == 300)
    assert fake.held_max == 5
    assert sorted(fake.handed_out) == sorted(ids)


async def test_a_full_worker_grants_nothing_until_a_slot_is_free(fake: FakeOrchestrator, serving: Serving) -> None:
    gate = Gate(slots=2)
    async with serving(gate.worker, fake):
        for number in range(3):
            fake.give("wait", number)
        await until(lambda: gate.started == 2 and fake.credits[-1] == 0)
        assert fake.held == 2
        gate.go.set()
        await until(lambda: len(fake.results) == 3)
        await until(lambda: fake.granted == 2)


async def test_every_task_is_answered_even_when_nothing_changes(fake: FakeOrchestrator, serving: Serving) -> None:
    gate = Gate(slots=10)
    async with serving(gate.worker, fake):
        await until(lambda: fake.credits == [10])
        fake.give("wait", 1)
        await until(lambda: fake.credits == [10, 9])
        gate.go.set()


async def test_a_worker_polls_while_its_socket_is_down(serving: Serving) -> None:
    async with FakeOrchestrator(streams=True, poll_s=0.2) as fake, serving(echoing(), fake):
        await fake.result(fake.give("echo", {"n": 1}))
        fake.refuses_sockets = True
        await fake.sockets[0].close()
        task_id = fake.give("echo", {"n": 2})
        await fake.result(task_id)
        assert (task_id in fake.streamed, fake.polls > 0) == (False, True)
        fake.refuses_sockets = False
        await until(lambda: fake.granted == 10, 30)
        assert fake.polls_waiting == 0
        task_id = fake.give("echo", {"n": 3})
        await fake.result(task_id)
        assert task_id in fake.streamed


async def test_a_lost_socket_ends_its_promises(fake: FakeOrchestrator, serving: Serving) -> None:
    gate = Gate(slots=4)
    fake.poll_s = 0.2
    async with serving(gate.worker, fake):
        fake.give("wait", 1)
        await until(lambda: fake.credits == [4, 3])
        await fake.sockets[0].close()
        await until(lambda: fake.credits[-1] == 3 and len(fake.credits) > 2)
        for number in range(10):
            fake.give("wait", number)
        await until(lambda: gate.started == 4)
        gate.go.set()
        await until(lambda: len(fake.results) == 11)
    assert fake.held_max == 4


async def test_an_orchestrator_without_the_stream_is_polled(serving: Serving) -> None:
    async with FakeOrchestrator() as fake, serving(echoing(), fake):
        await fake.result(fake.give("echo", {"n": 1}))
        await until(lambda: bool(fake.sockets))
        assert fake.polls > 0
        assert fake.credits == []


async def test_draining_withdraws_the_grant_and_runs_what_was_sent(fake: FakeOrchestrator, serving: Serving) -> None:
    gate = Gate(slots=2)
    async with serving(gate.worker, fake) as stop:
        running = fake.give("wait", 1)
        await until(lambda: fake.held == 1)
        stop.set()
        await until(lambda: fake.credits[-1] == 0)
        later = fake.give("wait", 2)
        gate.go.set()
    assert fake.result_of(running) == {"status": "success", "data": 1}
    assert later not in fake.handed_out


async def test_a_withdrawal_nobody_answers_does_not_keep_the_worker(fake: FakeOrchestrator, serving: Serving) -> None:
    fake.answers_withdrawal = False
    async with serving(echoing(), fake):
        await fake.result(fake.give("echo", {"n": 1}))


async def test_frames_that_mean_nothing_here_change_nothing(fake: FakeOrchestrator, serving: Serving) -> None:
    async with serving(echoing(), fake):
        await until(lambda: bool(fake.credits))
        for text in ("", "[]", "{", '{"command": "dance"}', '{"command": "tasks"}', '{"command": "tasks", "tasks": 3}'):
            await fake.sockets[0].send_str(text)
        await fake.sockets[0].send_str('{"command": "cancel_task", "task_id": 3}')
        await fake.result(fake.give("echo", {"n": 1}))
    assert fake.polls == 0


async def test_a_task_that_comes_over_the_socket_can_be_cancelled_there(
    fake: FakeOrchestrator, serving: Serving
) -> None:
    gate = Gate(slots=1)
    async with serving(gate.worker, fake):
        task_id = fake.give("wait", 1)
        await until(lambda: gate.started == 1)
        await fake.cancel_by_socket(task_id)
        assert await fake.result(task_id) == {"status": "cancelled"}
