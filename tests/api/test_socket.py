"""The worker's WebSocket."""

import asyncio

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError
from aiohttp.test_utils import TestClient, TestServer
from muster.api.app import create_app
from muster.settings import Settings
from muster.store.base import StoreUnavailable

from tests.api.conftest import ALICE, ANY_WORKER, OWN_WORKER, Http, Serve, credentials, until
from tests.api.fake_engine import FakeEngine

JOB = "018f0000-0000-7000-8000-0000000000ff"
TASK = f"{JOB}.0"
PROGRESS = {"event": "progress", "job_id": JOB, "task_id": TASK, "progress": 0.5, "message": "half"}


@pytest.fixture
async def worker(http: Http) -> Http:
    await http.post("/_worker/workers/register", json={"worker_id": "w1"}, headers=ANY_WORKER)
    return http


async def refused(http: Http, path: str = "/_worker/ws/w1", **headers: str) -> int:
    with pytest.raises(WSServerHandshakeError) as refusal:
        await http.ws_connect(path, headers=headers)
    return refusal.value.status


async def closed(socket: ClientWebSocketResponse) -> tuple[int | None, str | None]:
    message = await socket.receive(timeout=5)
    assert message.type in {WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING}
    return message.data, message.extra


async def test_commands_go_out(worker: Http, engine: FakeEngine) -> None:
    async with worker.ws_connect("/_worker/ws/w1", headers=ANY_WORKER) as socket:
        assert await engine.sockets["w1"].send_cancel(JOB, TASK) is True
        assert await socket.receive_json() == {"command": "cancel_task", "task_id": TASK, "job_id": JOB}
    await until(lambda: "w1" not in engine.sockets)


async def test_a_command_that_waited_is_sent_on_connect(worker: Http, engine: FakeEngine) -> None:
    engine.to_cancel["w1"] = [TASK]
    async with worker.ws_connect("/_worker/ws/w1", headers=ANY_WORKER) as socket:
        assert (await socket.receive_json(timeout=5))["task_id"] == TASK


async def test_a_socket_that_is_gone_takes_no_command(worker: Http, engine: FakeEngine) -> None:
    async with worker.ws_connect("/_worker/ws/w1", headers=ANY_WORKER):
        held = engine.sockets["w1"]
    await until(lambda: "w1" not in engine.sockets)
    assert await held.send_cancel(JOB, TASK) is False


async def test_progress_comes_in_and_anything_else_is_ignored(worker: Http, engine: FakeEngine) -> None:
    other_job = "018f0000-0000-7000-8000-0000000000fe"
    async with worker.ws_connect("/_worker/ws/w1", headers=ANY_WORKER) as socket:
        for text in ("", "{", "[]", "null", '"progress"', "[" * 60_000, '{"event": "dance"}'):
            await socket.send_str(text)
        for change in (
            {"progress": 1.5},
            {"progress": "0.5"},
            {"progress": None},
            {"progress": True},
            {"task_id": "x"},
            {"job_id": other_job},
            {"message": "x" * 2001},
        ):
            await socket.send_json({**PROGRESS, **change})
        await socket.send_bytes(b"\x00\x01")
        await socket.send_json(PROGRESS)
        await until(lambda: engine.progress_seen)
        engine.trouble = StoreUnavailable("down")
        await socket.send_json(PROGRESS)
        engine.trouble = None
        await socket.send_json({**PROGRESS, "progress": 1})
        await until(lambda: engine.progress_seen[-1][2] == 1.0)
    assert engine.progress_seen[0] == ("w1", TASK, 0.5, "half")
    assert {seen[1] for seen in engine.progress_seen} == {TASK}


async def test_the_handshake_is_refused_without_a_right(worker: Http, engine: FakeEngine) -> None:
    assert await refused(worker) == 401
    assert await refused(worker, **{"X-Worker-Token": "nobody"}) == 401
    assert await refused(worker, **ALICE) == 401
    assert await refused(worker, "/_worker/ws/w1?token=global-token") == 401
    assert await refused(worker, **OWN_WORKER) == 403
    assert await refused(worker, "/_worker/ws/own", **ANY_WORKER) == 403
    assert await refused(worker, "/_worker/ws/nobody", **ANY_WORKER) == 404
    assert await refused(worker, **ANY_WORKER, Origin="https://evil.example") == 403
    engine.trouble = StoreUnavailable("down")
    assert await refused(worker, **ANY_WORKER) == 503
    assert engine.sockets == {}


async def test_a_listed_origin_may_connect(serve: Serve, engine: FakeEngine) -> None:
    http = await serve(cors_origins=("https://ops.example",))
    await http.post("/_worker/workers/register", json={"worker_id": "w1"}, headers=ANY_WORKER)
    async with http.ws_connect("/_worker/ws/w1", headers={**ANY_WORKER, "Origin": "https://ops.example"}):
        assert "w1" in engine.sockets


async def test_a_program_that_names_the_server_itself_as_its_origin_may_connect(
    worker: Http, engine: FakeEngine
) -> None:
    own = str(worker.make_url("/").origin())
    async with worker.ws_connect("/_worker/ws/w1", headers={**ANY_WORKER, "Origin": own}):
        assert "w1" in engine.sockets


async def test_a_plain_request_is_400(worker: Http) -> None:
    answer = await worker.get("/_worker/ws/w1", headers=ANY_WORKER)
    assert (answer.status, (await answer.json())["code"]) == (400, "invalid_parameter")
    broken = await worker.get("/_worker/ws/w1", headers={**ANY_WORKER, "Upgrade": "websocket"})
    assert broken.status == 400


async def test_a_second_connection_replaces_the_first(worker: Http, engine: FakeEngine) -> None:
    first = await worker.ws_connect("/_worker/ws/w1", headers=ANY_WORKER)
    second = await worker.ws_connect("/_worker/ws/w1", headers=ANY_WORKER)
    assert await closed(first) == (4409, "replaced")
    await engine.sockets["w1"].send_cancel(JOB, TASK)
    assert (await second.receive_json(timeout=5))["task_id"] == TASK
    await second.close()


async def test_a_frame_over_64_kib_ends_the_connection_and_nothing_else(worker: Http, engine: FakeEngine) -> None:
    async with worker.ws_connect("/_worker/ws/w1", headers=ANY_WORKER) as socket:
        await socket.send_str("x" * 65_537)
        assert (await closed(socket))[0] == 1009
    await until(lambda: "w1" not in engine.sockets)
    async with worker.ws_connect("/_worker/ws/w1", headers=ANY_WORKER):
        pass


async def test_shutdown_closes_with_1001() -> None:
    engine = FakeEngine()
    http: Http = TestClient(TestServer(create_app(engine, Settings(), credentials())))
    await http.start_server()
    await http.post("/_worker/workers/register", json={"worker_id": "w1"}, headers=ANY_WORKER)
    socket = await http.ws_connect("/_worker/ws/w1", headers=ANY_WORKER)
    stopping = asyncio.create_task(http.server.close())
    assert (await closed(socket))[0] == 1001
    await stopping
    await http.close()


async def test_the_socket_counts_as_one_request_when_it_ends(worker: Http, engine: FakeEngine) -> None:
    async with worker.ws_connect("/_worker/ws/w1", headers=ANY_WORKER):
        pass
    counted = 'muster_http_requests_total{method="GET",route="/_worker/ws/{worker_id}",status="101"} 1.0'
    await until(lambda: counted in engine.counters.render().decode())
