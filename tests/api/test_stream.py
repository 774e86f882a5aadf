"""Tasks over the worker's WebSocket: the worker grants, the server sends no more than that."""

import asyncio
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType
from muster.store.base import StoreUnavailable
from muster_worker import wire

from tests.api.conftest import ANY_WORKER, Http, Serve, until
from tests.api.fake_engine import FakeEngine

NOTHING_MORE = {"command": "tasks", "tasks": []}
Socket = ClientWebSocketResponse


@pytest.fixture
async def socket(http: Http) -> Socket:
    return await connected(http)


async def connected(http: Http) -> Socket:
    body = {"worker_id": "w1", "supported_tasks": ["work"], "protocol": 1}
    assert (await http.post("/_worker/workers/register", json=body, headers=ANY_WORKER)).status == 200
    return await http.ws_connect("/_worker/ws/w1", headers=ANY_WORKER)


async def grant(socket: Socket, tasks: int, **more: Any) -> None:
    await socket.send_json({"event": "credit", "tasks": tasks, **more})


async def tasks_of(socket: Socket) -> list[str]:
    """The ids in the next frame, which must be one of tasks."""
    frame = await socket.receive_json(timeout=5)
    assert frame["command"] == "tasks"
    return [wire.LeasedTask.model_validate(task).task_id for task in frame["tasks"]]


async def nothing_comes(socket: Socket) -> bool:
    """A grant of 0 is answered after everything else: that answer is the next frame."""
    await grant(socket, 0)
    frame: Any = await socket.receive_json(timeout=5)
    return bool(frame == NOTHING_MORE)


async def close_code(socket: Socket) -> int:
    message = await socket.receive(timeout=5)
    assert message.type is WSMsgType.CLOSE, message
    return int(message.data)


async def test_a_registration_of_protocol_1_is_offered_the_stream(http: Http) -> None:
    body = {"worker_id": "w1", "protocol": 1}
    answer = await (await http.post("/_worker/workers/register", json=body, headers=ANY_WORKER)).json()
    assert answer["features"] == ["stream"]
    assert wire.Registered.model_validate(answer).features == ["stream"]


async def test_no_task_is_sent_without_a_grant(socket: Socket, engine: FakeEngine) -> None:
    engine.give(1)
    assert await nothing_comes(socket)
    assert engine.polls == []


async def test_a_task_is_sent_as_soon_as_there_is_one(socket: Socket, engine: FakeEngine) -> None:
    await grant(socket, 1)
    await engine.poll_started.wait()
    (given,) = engine.give(1)
    frame = await socket.receive_json(timeout=5)
    (task,) = frame["tasks"]
    assert task["task_id"] == given
    assert (task["type"], task["params"], task["attempt"]) == ("work", {"n": 0}, 1)
    assert (task["fence"], task["lease_seconds"]) == ("f1", 8)


async def test_never_more_tasks_are_sent_than_granted(socket: Socket, engine: FakeEngine) -> None:
    given = engine.give(5)
    await grant(socket, 2)
    assert await tasks_of(socket) == given[:2]
    assert await nothing_comes(socket)
    await grant(socket, 3)
    assert await tasks_of(socket) == given[2:]
    assert await nothing_comes(socket)


async def test_each_task_lowers_the_grant_by_one(socket: Socket, engine: FakeEngine) -> None:
    await grant(socket, 3)
    for _ in range(3):
        await engine.poll_started.wait()
        engine.poll_started.clear()
        given = engine.give(1)
        assert await tasks_of(socket) == given
    engine.give(1)
    assert await nothing_comes(socket)
    assert [asked for _, _, asked in engine.polls] == [3, 2, 1]


async def test_tasks_that_are_on_their_way_count_against_a_new_grant(socket: Socket, engine: FakeEngine) -> None:
    given = engine.give(4)
    await grant(socket, 2)
    await until(lambda: len(engine.held) == 2)
    await grant(socket, 3, received=0)  # as if it had been sent before the two came
    assert await tasks_of(socket) == given[:2]
    assert await tasks_of(socket) == given[2:3]
    await grant(socket, 1, received=3)
    assert await tasks_of(socket) == given[3:]


async def test_a_larger_grant_holds_from_the_next_claim_on(socket: Socket, engine: FakeEngine) -> None:
    await grant(socket, 1)
    await engine.poll_started.wait()
    await grant(socket, 3)
    given = engine.give(3)
    received = await tasks_of(socket)
    while len(received) < 3:
        received += await tasks_of(socket)
    assert received == given


async def test_a_grant_withdrawn_interrupts_the_claim_under_way(socket: Socket, engine: FakeEngine) -> None:
    await grant(socket, 5)
    await engine.poll_started.wait()
    assert await nothing_comes(socket)
    await asyncio.wait_for(engine.poll_cancelled.wait(), 5)
    given = engine.give(2)
    assert await nothing_comes(socket)
    assert len(engine.queue) == 2
    await grant(socket, 2)
    assert await tasks_of(socket) == given


async def test_a_grant_lowered_while_a_claim_waits_holds_for_that_claim(socket: Socket, engine: FakeEngine) -> None:
    await grant(socket, 5)
    await engine.poll_started.wait()
    await grant(socket, 1)
    await until(lambda: [asked for _, _, asked in engine.polls] == [5, 1])
    given = engine.give(3)
    assert await tasks_of(socket) == given[:1]
    assert await nothing_comes(socket)


@pytest.mark.parametrize(
    "change",
    [
        {"tasks": -1},
        {"tasks": 65},
        {"tasks": "3"},
        {"tasks": 1.5},
        {"tasks": True},
        {"tasks": None},
        {"received": -1},
        {"received": 1},
        {"received": "0"},
        {"event": "credits"},
    ],
)
async def test_a_bad_credit_frame_changes_nothing(socket: Socket, engine: FakeEngine, change: dict[str, Any]) -> None:
    engine.give(1)
    await socket.send_json({"event": "credit", "tasks": 3, **change})
    await socket.send_json({"event": "credit"})
    assert await nothing_comes(socket)
    assert engine.polls == []


async def test_a_worker_that_does_not_answer_gets_nothing_more(serve: Serve, engine: FakeEngine) -> None:
    socket = await connected(await serve(delivery_lease_seconds=1))
    await grant(socket, 5)
    await engine.poll_started.wait()
    engine.give(1)
    assert len(await tasks_of(socket)) == 1
    assert await close_code(socket) == 4408
    engine.give(1)
    await until(lambda: "w1" not in engine.sockets)
    assert len(engine.queue) == 1


async def test_a_worker_that_answers_every_frame_keeps_its_stream(serve: Serve, engine: FakeEngine) -> None:
    socket = await connected(await serve(delivery_lease_seconds=1))
    loop = asyncio.get_running_loop()
    started_s, received = loop.time(), 0
    await grant(socket, 1)
    while loop.time() - started_s < 1.2:
        engine.give(1)
        received += len(await tasks_of(socket))
        await grant(socket, 1, received=received)
        await asyncio.sleep(0.05)
    assert not socket.closed
    await socket.close()


async def test_draining_ends_the_grant_without_asking_again_and_again(socket: Socket, engine: FakeEngine) -> None:
    await grant(socket, 2)
    await engine.poll_started.wait()
    engine.drain()
    assert await nothing_comes(socket)
    assert len(engine.polls) == 1
    await grant(socket, 2)
    await until(lambda: len(engine.polls) == 2)
    assert await nothing_comes(socket)
    assert len(engine.polls) == 2


async def test_a_worker_that_is_no_longer_registered_is_told_by_4404(socket: Socket, engine: FakeEngine) -> None:
    engine.fleet.clear()
    await grant(socket, 1)
    assert await close_code(socket) == 4404


async def test_the_stream_goes_on_when_the_store_is_back(socket: Socket, engine: FakeEngine) -> None:
    engine.trouble = StoreUnavailable("down")
    await grant(socket, 1)
    await socket.send_json({"event": "credit", "tasks": "bad"})
    given = engine.give(1)
    engine.trouble = None
    assert await tasks_of(socket) == given


async def test_a_claim_of_a_connection_that_ends_is_given_up(socket: Socket, engine: FakeEngine) -> None:
    await grant(socket, 1)
    await engine.poll_started.wait()
    await socket.close()
    await asyncio.wait_for(engine.poll_cancelled.wait(), 5)


async def test_the_grant_of_a_replaced_connection_is_void(http: Http, engine: FakeEngine) -> None:
    first = await connected(http)
    await grant(first, 1)
    await engine.poll_started.wait()
    second = await connected(http)
    await asyncio.wait_for(engine.poll_cancelled.wait(), 5)
    given = engine.give(1)
    assert await nothing_comes(second)
    await grant(second, 1)
    assert await tasks_of(second) == given
    assert await close_code(first) == 4409


async def test_an_error_of_ours_ends_the_connection_and_not_the_worker(socket: Socket, engine: FakeEngine) -> None:
    engine.trouble = ZeroDivisionError("ours")
    await grant(socket, 1)
    assert await close_code(socket) == 1011


async def test_a_grant_says_how_many_of_a_type_it_may_bring(socket: Socket, engine: FakeEngine) -> None:
    await grant(socket, 3, free={"work": 1, "other": 0})
    await engine.poll_started.wait()
    assert engine.free is not None
    assert engine.free.counts == {"work": 1, "other": 0}
    given = engine.give(1)
    assert await tasks_of(socket) == given
    await until(lambda: len(engine.polls) == 2)
    assert engine.free.counts == {"work": 0, "other": 0}, "what came of the type is taken from it"


async def test_tasks_on_their_way_count_against_what_is_free_of_their_type(socket: Socket, engine: FakeEngine) -> None:
    given = engine.give(2)
    await grant(socket, 2, free={"work": 2})
    await until(lambda: len(engine.held) == 2)
    await grant(socket, 5, received=0, free={"work": 3})  # as if it had been sent before the two came
    await until(lambda: len(engine.polls) == 2)
    assert engine.free is not None
    assert engine.free.counts == {"work": 1}
    await grant(socket, 5, received=2, free={"work": 2})
    assert await tasks_of(socket) == given
    await until(lambda: engine.free is not None and engine.free.counts == {"work": 2})


async def test_a_grant_that_opens_a_type_changes_the_claim_under_way(socket: Socket, engine: FakeEngine) -> None:
    await grant(socket, 3, free={"work": 0})
    await engine.poll_started.wait()
    changes: list[int] = []
    assert engine.free is not None
    engine.free.on_change = lambda: changes.append(1)
    await grant(socket, 3, free={"work": 2})
    await until(lambda: bool(changes))
    assert engine.free.counts == {"work": 2}
    assert len(engine.polls) == 1
    assert not engine.poll_cancelled.is_set()


@pytest.mark.parametrize(
    "free", [["work"], {"work": -1}, {"work": 1.5}, {"": 1}, {"work": "1"}, {str(n): 1 for n in range(257)}]
)
async def test_a_grant_with_bad_free_slots_is_ignored(socket: Socket, engine: FakeEngine, free: Any) -> None:
    engine.give(1)
    await grant(socket, 3, free=free)
    assert await nothing_comes(socket)
