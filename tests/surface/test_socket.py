"""surfaces.md 1.3: the worker's WebSocket."""

import signal

import aiohttp
import pytest
from aiohttp import WSMsgType, WSServerHandshakeError

from tests.surface.conftest import OWN_ID, OWN_TOKEN, TASK
from tests.system.callers import Api, PlainWorker, until
from tests.system.processes import ALPHA, Cluster


def address(worker: PlainWorker, worker_id: str | None = None) -> str:
    return f"{worker.url}/_worker/ws/{worker_id or worker.worker_id}"


@pytest.mark.parametrize(
    ("worker_id", "headers", "status"),
    [
        ("conformance-worker", {}, 401),
        ("conformance-worker", {"X-Worker-Token": "wrong"}, 401),
        ("conformance-worker", {"X-Worker-Token": ALPHA}, 401),
        ("conformance-worker", {"X-Worker-Token": OWN_TOKEN}, 403),
        (OWN_ID, None, 403),
        ("not-registered", None, 404),
    ],
)
async def test_a_handshake_that_may_not_be_is_refused_with_its_status(
    worker: PlainWorker, worker_id: str, headers: dict[str, str] | None, status: int
) -> None:
    headers = worker.headers if headers is None else headers
    with pytest.raises(WSServerHandshakeError) as refused:
        await worker.session.ws_connect(address(worker, worker_id), headers=headers)
    assert refused.value.status == status


async def test_progress_is_shown_with_the_job_and_other_frames_are_ignored(client: Api, worker: PlainWorker) -> None:
    job_id = await client.start("simple_flow")
    task = await worker.take()
    frame = {"event": "progress", "job_id": job_id, "task_id": task["task_id"], "progress": 0.5, "message": "half"}
    async with worker.session.ws_connect(address(worker), headers=worker.headers) as socket:
        for text in ("{", "[]", "1", '{"event": "dance"}', '{"event": "progress"}', "[" * 5000, "\x00"):
            await socket.send_str(text)
        await socket.send_bytes(b"\xff\xfe")
        await socket.send_json({**frame, "progress": 7})
        await socket.send_json({**frame, "progress": "0.9"})
        await socket.send_json(frame)

        async def shown() -> bool:
            job = await client.job(job_id)
            return bool((job["progress"], job["progress_message"]) == (0.5, "half"))

        await until(shown, "the progress is shown")
        assert not socket.closed


async def test_progress_for_a_task_that_one_does_not_hold_changes_nothing(
    client: Api, worker: PlainWorker, new_worker: PlainWorker
) -> None:
    await new_worker.register(TASK)
    job_id = await client.start("simple_flow")
    task = await worker.take()
    before = await client.job(job_id)
    frame = {"event": "progress", "job_id": job_id, "task_id": task["task_id"], "progress": 0.9, "message": "evil"}
    async with (
        worker.session.ws_connect(address(new_worker), headers=new_worker.headers) as thief,
        worker.session.ws_connect(address(worker), headers=worker.headers) as socket,
    ):
        await thief.send_json(frame)
        await thief.send_json({**frame, "job_id": "01890a5d-ac96-774b-bcce-b302099a8057"})
        await thief.ping()
        await thief.close()
        await socket.send_json({**frame, "progress": 0.1, "message": "mine"})

        async def shown() -> bool:
            return bool((await client.job(job_id))["progress_message"] == "mine")

        await until(shown, "the holder's progress is shown")
    after = await client.job(job_id)
    assert after["progress"] == 0.1
    assert {**after, "progress": None, "progress_message": None, "version": 0, "updated_at": ""} == {
        **before, "progress": None, "progress_message": None, "version": 0, "updated_at": "",
    }  # fmt: skip


async def test_a_second_connection_replaces_the_first(client: Api, worker: PlainWorker) -> None:
    async with (
        worker.session.ws_connect(address(worker), headers=worker.headers) as first,
        worker.session.ws_connect(address(worker), headers=worker.headers) as second,
    ):
        closing = await first.receive(timeout=15)
        assert (closing.type, closing.data, closing.extra) == (WSMsgType.CLOSE, 4409, "replaced")
        job_id = await client.start("simple_flow")
        task = await worker.take()
        assert (await client.cancel(job_id)).body == {"status": "cancellation_request_sent"}
        assert (await second.receive_json(timeout=15))["task_id"] == task["task_id"]


async def test_a_cancel_that_waits_is_sent_on_connect_while_its_task_runs(client: Api, worker: PlainWorker) -> None:
    job_id = await client.start("simple_flow")
    task = await worker.take()
    assert (await client.cancel(job_id)).body == {"status": "cancellation_request_accepted"}
    for _ in range(2):  # again on every connect
        async with worker.session.ws_connect(address(worker), headers=worker.headers) as socket:
            frame = await socket.receive_json(timeout=15)
            assert frame == {"command": "cancel_task", "task_id": task["task_id"], "job_id": job_id}
    await worker.report(task, "cancelled")
    async with worker.session.ws_connect(address(worker), headers=worker.headers) as socket:
        with pytest.raises(TimeoutError):
            await socket.receive_json(timeout=0.3)


async def test_a_frame_that_is_too_large_costs_only_its_connection(client: Api, worker: PlainWorker) -> None:
    async with worker.session.ws_connect(address(worker), headers=worker.headers) as socket:
        await socket.send_str("x" * 70_000)
        closing = await socket.receive(timeout=15)
        assert (closing.type, closing.data) == (WSMsgType.CLOSE, 1009)
    assert (await client.call("GET", "/api/v1/workers")).status == 200


async def test_a_plain_request_is_told_what_it_should_be(worker: PlainWorker) -> None:
    reply = await worker.call("GET", f"/_worker/ws/{worker.worker_id}")
    assert (reply.status, reply.body["code"]) == (400, "invalid_parameter")


async def test_pages_of_other_sites_may_not_connect(worker: PlainWorker) -> None:
    with pytest.raises(WSServerHandshakeError) as refused:
        await worker.session.ws_connect(address(worker), headers={**worker.headers, "Origin": "https://evil.example"})
    assert refused.value.status == 403


async def test_a_shutdown_is_told_with_1001(cluster: Cluster, http: aiohttp.ClientSession) -> None:
    spare = cluster.add_orchestrator(MUSTER_BLUEPRINTS=cluster.a.variables["MUSTER_BLUEPRINTS"])
    spare.wait_until_ready()
    worker = PlainWorker(http, spare.url, worker_id="conformance-spare")
    await worker.register(TASK)
    async with http.ws_connect(address(worker), headers=worker.headers) as socket:
        spare.signal(signal.SIGTERM)
        closing = await socket.receive(timeout=15)
        assert (closing.type, closing.data) == (WSMsgType.CLOSE, 1001)
    cluster.orchestrators.remove(spare)
    assert spare.wait() == 0
