"""Malformed, mistyped, oversized, too deep, unknown, foreign: the documented status, nothing written, the server up."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.surface.conftest import NEVER, TASK
from tests.system.callers import Api, Caller, PlainWorker
from tests.system.processes import Cluster

CREATE = "/api/v1/jobs/simple_flow"
REGISTER = "/_worker/workers/register"
RESULT = "/_worker/tasks/result"
BEAT = "/_worker/workers/conformance-worker"
BODIES = {
    "create": ("POST", CREATE),
    "register": ("POST", REGISTER),
    "result": ("POST", RESULT),
    "beat": ("PATCH", BEAT),
}


class Snapshot:
    """All that the store holds, but for what time changes by itself."""

    def __init__(self, cluster: Cluster) -> None:
        with cluster.store.client() as store:
            self.keys = {key: self._value(store, key) for key in store.scan_iter("*")}

    @staticmethod
    def _value(store: Any, key: str) -> Any:
        kind = store.type(key)
        if kind == "hash":
            return {k: v for k, v in store.hgetall(key).items() if k != "last_seen_at"}
        if kind == "set":
            return store.smembers(key)
        if kind == "list":
            return store.lrange(key, 0, -1)
        if kind == "zset":
            return [] if key.endswith(("}D", "ws")) else store.zrange(key, 0, -1)
        return store.get(key) if kind == "string" else kind


async def send(client: Api, worker: PlainWorker, which: str, body: bytes) -> tuple[int, str]:
    method, path = BODIES[which]
    caller: Caller = client if which == "create" else worker
    reply = await caller.call(method, path, data=body)
    return reply.status, reply.body.get("code", "")


@pytest.mark.parametrize("which", BODIES)
@pytest.mark.parametrize(
    "body",
    [
        b"{", b"nonsense", b'{"a": NaN}', b'{"a": 1e999}', b'{"a": "\\ud800"}', b"\xff\xfe", b"{} {}", b"\x00",
        b'{"a":' * 30_000 + b"1" + b"}" * 30_000, b"[" * 200_000, b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}",
    ],
    ids=["cut", "word", "nan", "huge", "surrogate", "not-utf8", "two", "zero", "objects", "cut-arrays", "arrays"],
)  # fmt: skip
async def test_malformed_json_is_400_and_nothing_is_written(
    cluster: Cluster, client: Api, worker: PlainWorker, which: str, body: bytes
) -> None:
    before = Snapshot(cluster).keys
    assert await send(client, worker, which, body) == (400, "malformed_json")
    assert Snapshot(cluster).keys == before


@pytest.mark.parametrize("which", BODIES)
@pytest.mark.parametrize("body", [b"[]", b"1", b'"text"', b"null", b"true"])
async def test_a_body_that_is_no_object_is_400(client: Api, worker: PlainWorker, which: str, body: bytes) -> None:
    assert await send(client, worker, which, body) == (400, "invalid_body")


WRONG: dict[str, list[Any]] = {
    "create": [
        {"initial_data": []},
        {"initial_data": "x"},
        {"initial_data": None},
        {"webhook_url": 1},
        {"webhook_url": ""},
        {"webhook_url": "not a url"},
        {"webhook_url": "/relative"},
        {"webhook_url": "ftp://example.org/x"},
        {"webhook_url": "javascript:alert(1)"},
        {"webhook_url": "http://"},
        {"webhook_url": "http://" + "x" * 3000},
        {"webhook_url": "http://example.org:99999/"},
    ],
    "register": [
        {},
        {"worker_id": ""},
        {"worker_id": 7},
        {"worker_id": "x" * 129},
        {"worker_id": "a/b"},
        {"worker_id": "a b"},
        {"worker_id": "ä"},
        {"worker_id": "w\n"},
        {"worker_id": "w", "supported_tasks": "x"},
        {"worker_id": "w", "supported_tasks": [1]},
        {"worker_id": "w", "supported_tasks": {"a": 1}},
        {"worker_id": "w", "supported_tasks": None},
        {"worker_id": "w", "cost_per_second": -1},
        {"worker_id": "w", "cost_per_second": "1"},
        {"worker_id": "w", "max_concurrent_tasks": 0},
        {"worker_id": "w", "max_concurrent_tasks": "4"},
        {"worker_id": "w", "resources": []},
        {"worker_id": "w", "capabilities": "x"},
    ],
    "beat": [
        {"load": 1.1},
        {"load": -0.1},
        {"load": "0.5"},
        {"load": True},
        {"status": "asleep"},
        {"status": 1},
        {"supported_tasks": "x"},
        {"supported_tasks": [None]},
        {"current_tasks": "x"},
        {"max_concurrent_tasks": -1},
        {"cost_per_second": -0.5},
        {"resources": 1},
        {"worker_id": "someone-else"},
    ],
    "result": [
        {},
        {"job_id": NEVER, "task_id": f"{NEVER}.1", "result": {"status": "success"}},
        {"job_id": NEVER, "worker_id": "w", "result": {"status": "success"}},
        {"task_id": f"{NEVER}.1", "worker_id": "w", "result": {"status": "success"}},
        {"job_id": NEVER, "task_id": f"{NEVER}.1", "worker_id": "w"},
        {"job_id": 1, "task_id": f"{NEVER}.1", "worker_id": "w", "result": {}},
        {"job_id": NEVER, "task_id": 1, "worker_id": "w", "result": {}},
        {"job_id": NEVER, "task_id": f"{NEVER}.1", "worker_id": "w", "result": "success"},
        {"job_id": NEVER, "task_id": f"{NEVER}.1", "worker_id": "w", "result": {"status": 1}},
        {"job_id": NEVER, "task_id": f"{NEVER}.1", "worker_id": "w", "result": {"status": "failure", "error": 3}},
        {"job_id": NEVER, "task_id": f"{NEVER}.1", "worker_id": "w", "result": {"status": "x", "error": {"code": 1}}},
    ],
}


@pytest.mark.parametrize("which", WRONG)
async def test_wrong_types_and_values_are_400_and_nothing_is_written(
    cluster: Cluster, client: Api, worker: PlainWorker, which: str
) -> None:
    before = Snapshot(cluster).keys
    for body in WRONG[which]:
        assert await send(client, worker, which, json.dumps(body).encode()) == (400, "invalid_body"), body
    assert Snapshot(cluster).keys == before


@pytest.mark.parametrize("which", BODIES)
async def test_a_body_over_the_limit_is_413(client: Api, worker: PlainWorker, which: str) -> None:
    body = json.dumps({"initial_data": {"x": "y" * 1_100_000}}).encode()
    assert await send(client, worker, which, body) == (413, "body_too_large")


async def test_a_body_over_the_limit_without_a_length_is_413_too(client: Api) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"initial_data": {"x": "'
        for _ in range(20):
            yield b"y" * 100_000
        yield b'"}}'

    async with client.session.post(client.url + CREATE, data=pieces(), headers=client.headers) as answer:
        assert (answer.status, (await answer.json(content_type=None))["code"]) == (413, "body_too_large")


async def test_a_body_just_under_the_limit_is_taken(client: Api, worker: PlainWorker) -> None:
    job_id = await client.start("simple_flow", x="y" * 1_000_000)
    task = await worker.take()
    assert len(task["params"]["x"]) == 1_000_000
    assert (await worker.report(task, data={"big": "z" * 900_000})).status == 200
    assert len((await client.end_of(job_id))["state_history"]["big"]) == 900_000


@pytest.mark.parametrize("text", ["x", "-1", "nan", "inf", "1e3", "", "0x1", "1;2"])
async def test_a_time_out_that_is_no_number_is_400(worker: PlainWorker, text: str) -> None:
    reply = await worker.call("GET", f"/_worker/workers/{worker.worker_id}/tasks/next?timeout={text}")
    assert (reply.status, reply.body["code"]) == (400, "invalid_parameter")


async def test_strange_values_come_back_as_they_were_sent(client: Api, worker: PlainWorker) -> None:
    strange: dict[str, Any] = {
        "": "", "a.b": 1, "$x": [], "{}": {}, "\n": "\t", "ü": "\U0001f600", "n": -0.0, "big": 9007199254740993,
        "null": None, "deep": [[[[[[]]]]]], "sep": "a|b|c", "lua": "cjson.null", "num": 1.5e-9, "__proto__": {"x": 1},
    }  # fmt: skip
    job_id = await client.start("simple_flow", **strange)
    task = await worker.take()
    assert task["params"] == strange
    await worker.report(task, data=strange)
    job = await client.end_of(job_id)
    assert (job["initial_data"], job["state_history"]) == (strange, strange)


async def test_numbers_beyond_64_bits_do_not_hurt(client: Api) -> None:
    reply = await client.call("POST", CREATE, data=b'{"initial_data": {"n": 123456789012345678901234567890}}')
    assert reply.status in {202, 400}
    assert (await client.call("GET", "/api/v1/dashboard")).status == 200


async def test_strange_paths_are_404(client: Api) -> None:
    for path in (
        "/api/v1/jobs/%00",
        "/api/v1/jobs/..%2f..%2fetc",
        "/api/v1/jobs/%ff",
        "/api//jobs",
        "/api/v1/jobs/",
        "//",
    ):
        assert (await client.call("GET", path)).status == 404, path


async def test_what_is_no_http_is_closed_and_hurts_nobody(cluster: Cluster, client: Api) -> None:
    for raw in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST " + CREATE.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST " + CREATE.encode() + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: " + b"b" * 100_000 + b"\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", cluster.a.port)
        writer.write(raw)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 10)
        assert answer == b"" or answer.split()[1] in {b"400", b"401", b"404", b"413", b"414", b"431", b"505"}, answer[
            :200
        ]
        writer.close()
    assert (await client.call("GET", "/api/v1/workers")).status == 200


async def test_compressed_bodies_are_refused_rather_than_blown_up(client: Api) -> None:
    reply = await client.call("POST", CREATE, data=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    assert (reply.status, reply.body["code"]) == (400, "invalid_body")


async def test_secrets_stand_in_no_answer_and_no_log(cluster: Cluster, client: Api, worker: PlainWorker) -> None:
    job_id = await client.start("simple_flow")
    await worker.take()
    paths = (
        f"/api/v1/jobs/{job_id}",
        f"/api/v1/jobs/{job_id}/history",
        "/api/v1/workers",
        "/api/v1/jobs",
        "/openapi.json",
    )
    shown = b"".join([(await client.call("GET", path)).raw for path in paths])
    await client.call("GET", "/api/v1/workers?api_key=client-token-of-tenant-alpha")
    for token in ("client-token-of-tenant-alpha", "worker-token-of-the-system-tests", "the-secret-of-the-system-tests"):
        assert token.encode() not in shown
        assert token not in cluster.a.log
    with cluster.store.client() as store:
        for key in store.scan_iter("*"):
            assert "client-token" not in key


async def test_a_task_type_of_any_text_is_only_a_text(client: Api, new_worker: PlainWorker) -> None:
    await new_worker.register(TASK, "a|b", "a b", "{x}", "ü", "*", "x" * 256)
    assert await new_worker.poll(0) is None
    await client.start("simple_flow")
    assert (await new_worker.take())["type"] == TASK
