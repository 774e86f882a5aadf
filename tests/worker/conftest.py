import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from muster_worker import Worker

from tests.worker.fake_orchestrator import TOKEN, FakeOrchestrator, until

Serving = Callable[..., AbstractAsyncContextManager[asyncio.Event]]


@pytest.fixture
async def fake() -> AsyncIterator[FakeOrchestrator]:
    async with FakeOrchestrator() as orchestrator:
        yield orchestrator


@pytest.fixture
def serving() -> Serving:
    """`async with serving(worker, fake) as stop:` runs a worker, and checks that it ends when stopped."""

    @contextlib.asynccontextmanager
    async def run(worker: Worker, *fakes: Any, **settings: Any) -> AsyncIterator[asyncio.Event]:
        stop = asyncio.Event()
        urls = settings.pop("url", [f.url for f in fakes])
        chosen = worker.settings(url=urls, token=TOKEN, worker_id="w1", **settings)
        serve = asyncio.create_task(worker.serve(stop, chosen))
        try:
            await until(lambda: serve.done() or any(f.registrations for f in fakes))
            if serve.done():
                serve.result()
            yield stop
        finally:
            stop.set()
            await asyncio.wait_for(serve, 20)

    return run
