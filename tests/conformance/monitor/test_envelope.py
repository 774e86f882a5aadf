"""Errors that only a broken server gives have the envelope too; and what the buffer of a socket's client holds."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from muster.api.app import create_app
from muster.api.routes import OPERATIONS as CORE
from muster.settings import Settings
from muster.store.base import StoreUnavailable
from muster.surfaces.monitor import outbox
from muster.surfaces.monitor.outbox import NotReading, Outbox
from muster.surfaces.monitor.routes import ENVELOPES, OPERATIONS
from openapi_spec_validator import validate

from tests.api.conftest import ALICE, credentials
from tests.api.fake_engine import FakeEngine


class BrokenEngine(FakeEngine):
    """Raises *trouble* wherever a job is looked for."""

    trouble: Exception

    async def job(self, tenant: str, job_id: str) -> Any:
        raise self.trouble


@pytest.fixture
def engine() -> BrokenEngine:
    return BrokenEngine()


@pytest.fixture
async def http(engine: BrokenEngine) -> AsyncIterator[TestClient[Any, Any]]:
    app = create_app(engine, Settings(), credentials(), operations=OPERATIONS, envelopes=ENVELOPES)
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_a_mistake_of_ours_is_500_in_the_envelope(engine: BrokenEngine, http: TestClient[Any, Any]) -> None:
    engine.trouble = RuntimeError("a secret of the server")
    answer = await http.get("/api/executions/x", headers=ALICE)
    assert answer.status == 500
    body = await answer.json()
    assert (body["success"], body["data"]) == (False, None)
    assert "secret" not in await answer.text()


async def test_a_store_that_is_away_is_503_in_the_envelope(engine: BrokenEngine, http: TestClient[Any, Any]) -> None:
    engine.trouble = StoreUnavailable("nobody answers")
    answer = await http.get("/api/executions/x", headers=ALICE)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert (await answer.json())["success"] is False


async def test_the_reference_shows_every_operation_with_its_envelope() -> None:
    openapi = tuple(row for row in CORE if row.path == "/openapi.json")
    app = create_app(FakeEngine(), Settings(), credentials(), operations=(*openapi, *OPERATIONS))
    async with TestClient(TestServer(app)) as client:
        document = await (await client.get("/openapi.json")).json()
    validate(document)
    assert {row.path for row in OPERATIONS} <= set(document["paths"])
    schema = document["paths"]["/api/executions"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    envelope = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    assert list(envelope["properties"]) == ["success", "data", "error", "timestamp"]


class SlowSocket:
    """Takes a message whenever it is told to."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.may_take = asyncio.Event()

    async def send_frame(self, text: bytes, kind: web.WSMsgType) -> None:
        assert kind is web.WSMsgType.TEXT
        await self.may_take.wait()
        self.taken.append(text)


@pytest.fixture
def socket(monkeypatch: pytest.MonkeyPatch) -> SlowSocket:
    monkeypatch.setattr(outbox, "OUTBOX_BYTES_MAX", 100)
    monkeypatch.setattr(outbox, "STALL_S", 0.05)
    return SlowSocket()


async def test_a_full_buffer_ends_with_a_client_that_takes_nothing(socket: SlowSocket) -> None:
    box: Any = Outbox(socket)  # type: ignore[arg-type]
    sending = asyncio.ensure_future(box.send())
    await box.put({"a": "x" * 50})
    with pytest.raises(NotReading):
        await box.put({"a": "y" * 50})
    sending.cancel()


async def test_a_buffer_of_short_messages_takes_little_more_memory_than_they_are_long(
    socket: SlowSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "OUTBOX_BYTES_MAX", 100_000)
    box: Any = Outbox(socket)  # type: ignore[arg-type]
    tracemalloc.start()
    try:
        with pytest.raises(NotReading):
            await fill(box)
        held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held_bytes < 500_000


async def fill(box: Outbox) -> None:
    while True:
        await box.put({"a": "x" * 50})


async def test_a_message_that_is_larger_than_the_buffer_is_sent(socket: SlowSocket) -> None:
    box: Any = Outbox(socket)  # type: ignore[arg-type]
    socket.may_take.set()
    sending = asyncio.ensure_future(box.send())
    messages = [{"n": number, "a": "x" * 200} for number in range(20)]
    for message in messages:
        await box.put(message)
    async with asyncio.timeout(5):
        while len(socket.taken) < len(messages):
            await asyncio.sleep(0)
    assert [orjson.loads(text) for text in socket.taken] == messages
    sending.cancel()
