"""A whole server over real sockets, on the store that needs no process; and the client that people use."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any, NamedTuple

import pytest
from aiohttp.test_utils import TestClient, TestServer
from muster.api.app import create_app
from muster.blueprint.registry import Registry
from muster.cli.app import run
from muster.engine.engine import Engine
from muster.engine.settings import EngineSettings
from muster.observe.metrics import Metrics
from muster.pytest_plugin import muster
from muster.settings import Settings
from muster.store.memory.store import MemoryState, MemoryStore
from muster_worker import Client

from tests.api.conftest import ALICE, credentials
from tests.operations.flows import FLOWS
from tests.support.reasons import reasons_are_true, wrong_reasons
from tests.support.waiting import eventually

__all__ = ["muster", "reasons_are_true"]


@dataclass
class Site:
    """A server, its client, and the bare HTTP beside it."""

    engine: Engine
    client: Client
    http: TestClient[Any, Any]
    url: str

    async def ask(self, method: str, path: str, body: object = None, *, by: dict[str, str] = ALICE) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        async with self.http.request(method, path, json=body, headers=by) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    state = MemoryState()
    store = MemoryStore(state, replica="r1")
    await store.open()
    registry = Registry()
    for blueprint in FLOWS:
        registry.add(blueprint)
    engine = Engine(store, registry, EngineSettings("r1"), Metrics(version="0"), "secret")
    engine.start()
    server = TestServer(create_app(engine, Settings(), credentials()))
    await server.start_server()
    url = str(server.make_url("")).rstrip("/")
    async with TestClient(server) as http, Client(url, "alice-token") as client:
        yield Site(engine, client, http, url)
        await eventually(lambda: _every_reason_is_true(state, engine))
    await engine.stop()


async def _every_reason_is_true(state: MemoryState, engine: Engine) -> bool:
    return not await wrong_reasons(state.partitions[0], engine)


class Said(NamedTuple):
    code: int
    out: str
    err: str


Type = Callable[..., Awaitable[Said]]


@pytest.fixture
def muster_cli(site: Site, monkeypatch: pytest.MonkeyPatch) -> Type:
    """Type a command as Alice."""
    monkeypatch.setenv("MUSTER_URL", site.url)
    monkeypatch.setenv("MUSTER_CLIENT_TOKEN", "alice-token")

    async def typed(*words: str) -> Said:
        out, err = StringIO(), StringIO()

        def one() -> int:
            with redirect_stdout(out), redirect_stderr(err):
                return run(words)

        return Said(await asyncio.to_thread(one), out.getvalue(), err.getvalue())

    return typed
