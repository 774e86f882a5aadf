import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from muster.api.app import create_app
from muster.api.auth import Client, Credentials, digest_of
from muster.settings import Settings
from pydantic import SecretStr

from tests.api.fake_engine import FakeEngine

ALICE = {"X-Client-Token": "alice-token"}
BOB = {"X-Client-Token": "bob-token"}
ANY_WORKER = {"X-Worker-Token": "global-token"}
OWN_WORKER = {"X-Worker-Token": "own-token"}
"""The individual token of worker `own`."""

Http = TestClient[Any, Any]
Serve = Callable[..., Awaitable[Http]]


def credentials() -> Credentials:
    return Credentials(
        clients={
            digest_of(b"alice-token"): Client("alice", "alice"),
            digest_of(b"bob-token"): Client("bob", "bob"),
        },
        workers={digest_of(b"own-token"): "own"},
        global_worker=digest_of(b"global-token"),
    )


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def serve(engine: FakeEngine) -> AsyncIterator[Serve]:
    """A server over a real socket; settings as keywords."""
    clients: list[Http] = []

    async def start(**settings: Any) -> Http:
        app = create_app(engine, Settings(**settings), credentials())
        client = TestClient(TestServer(app))
        await client.start_server()
        clients.append(client)
        return client

    yield start
    await asyncio.gather(*(client.close() for client in clients))


@pytest.fixture
async def http(serve: Serve) -> Http:
    return await serve()


@pytest.fixture
async def production(serve: Serve) -> Http:
    return await serve(mode="production", client_token=SecretStr("x" * 32))


async def until(condition: Callable[[], object], *, seconds: float = 5.0) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)
