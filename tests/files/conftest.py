"""A whole server over real sockets, on the store that needs no process, with its files in a folder of the test."""

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from muster.api.app import create_app
from muster.blueprint.builtin import BUILTIN
from muster.blueprint.registry import Registry
from muster.engine.engine import Engine
from muster.engine.pruning import Pruning
from muster.engine.settings import EngineSettings, FileSettings
from muster.observe.metrics import Metrics
from muster.settings import Settings
from muster.store.memory.store import MemoryState, MemoryStore

from tests.api.conftest import ALICE, ANY_WORKER, credentials
from tests.system.processes import FLOWS

Http = TestClient[Any, Any]


@dataclass
class Held:
    """A task that worker `w1` holds; `headers` prove it."""

    job_id: str
    task_id: str
    headers: dict[str, str]


@dataclass
class Site:
    """A server and what lies on its disk."""

    engine: Engine
    http: Http
    folder: Path
    state: MemoryState
    pruning: Pruning
    extra: dict[str, Any] = field(default_factory=dict[str, Any])

    def on_disk(self) -> list[Path]:
        """Every file, finished or not."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    async def upload(self, content: bytes, name: str = "a.txt", headers: dict[str, str] = ALICE) -> str:
        answer = await self.http.post("/api/v1/files", params={"name": name}, data=io.BytesIO(content), headers=headers)
        assert answer.status == 201, await answer.text()
        file_id: str = (await answer.json())["file_id"]
        return file_id

    async def hold(
        self, headers: dict[str, str] = ALICE, *, worker: str = "w1", token: dict[str, str] = ANY_WORKER, **params: Any
    ) -> Held:
        """Start a job, and take its task as *worker*."""
        body = {"initial_data": {"type": "work", "params": params}}
        started = await self.http.post("/api/v1/jobs/one", json=body, headers=headers)
        assert started.status == 202, await started.text()
        path = f"/_worker/workers/{worker}/tasks/next?timeout=5"
        task = await (await self.http.get(path, headers=token)).json()
        proof = {"X-Task-Id": task["task_id"], "X-Task-Attempt": str(task["attempt"]), "X-Task-Fence": task["fence"]}
        return Held(task["job_id"], task["task_id"], {**token, **proof})

    async def keep(self, held: Held, content: bytes, name: str = "a.txt", **query: str) -> dict[str, Any]:
        path = f"/_worker/tasks/{held.task_id}/artifacts"
        answer = await self.http.put(
            path, params={"name": name, **query}, data=io.BytesIO(content), headers=held.headers
        )
        assert answer.status == 200, await answer.text()
        artifact: dict[str, Any] = await answer.json()
        return artifact

    async def end(self, held: Held) -> None:
        body = {"job_id": held.job_id, "task_id": held.task_id, "worker_id": "w1", "result": {"status": "success"}}
        answer = await self.http.post("/_worker/tasks/result", json=body, headers=ANY_WORKER)
        assert answer.status == 200, await answer.text()


MakeSite = Callable[..., Awaitable[Site]]
OF_THE_ENGINE = ("bucket_url", "upload_folder", "artifact_folder", "artifact_ttl_ms")


@pytest.fixture
async def make_site(tmp_path: Path) -> AsyncIterator[MakeSite]:
    """`make_site(quota_bytes=…, max_upload_bytes=…)`."""
    sites: list[Site] = []

    async def make(*, quota_bytes: int = 1 << 30, **settings: Any) -> Site:
        own = {name: settings.pop(name) for name in OF_THE_ENGINE if name in settings}
        folder = tmp_path / f"files-{len(sites)}"
        state = MemoryState()
        store = MemoryStore(state, replica="r1")
        await store.open()
        registry = Registry()
        registry.load(str(FLOWS))
        for blueprint in BUILTIN:
            registry.add(blueprint)
        chosen = Settings(files_dir=folder, **settings)
        kept = FileSettings(folder, chosen.max_upload_bytes, chosen.max_artifact_bytes, quota_bytes, **own)
        engine = Engine(store, registry, EngineSettings("r1", files=kept), Metrics(version="0"), "secret")
        engine.start()
        server = TestServer(create_app(engine, chosen, credentials()))
        await server.start_server()
        http: Http = TestClient(server)
        body = {"worker_id": "w1", "supported_tasks": ["work"], "protocol": 1}
        assert (await http.post("/_worker/workers/register", json=body, headers=ANY_WORKER)).status == 200
        pruning = Pruning(store, engine.files, kept, orphan_age_s=0)
        sites.append(Site(engine, http, folder, state, pruning))
        return sites[-1]

    yield make
    for site in sites:
        await site.http.close()
        await site.engine.stop()


@pytest.fixture
async def site(make_site: MakeSite) -> Site:
    return await make_site()


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        assert loop.time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)
