"""A development server with a real command worker; beside it, on the same store, servers with other settings."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.system.callers import Caller, Reply, session, until
from tests.system.processes import ALPHA, BETA, ROOT, WORKER_TOKEN, Cluster, Orchestrator, Process, StoreProcess

NEVER = "01890a5d-ac96-774b-bcce-b302099a8057"
"""A job id that is well made and unknown."""
UNKNOWN_FILE = "0123456789abcdef0123456789abcdef"
CLI_FILE = """\
[stages.text.upper]
argv = ["tr", "a-z", "A-Z"]

[stages.text.slow]
argv = ["sleep", "1.5"]

[stages.text.list]
argv = ["sh", "-c", "mkdir -p out/deep; for w; do echo \\"$w\\"; echo \\"$w\\" > \\"out/deep/$w.txt\\"; done", "sh"]
more_arguments = true

[[stages.text.list.args]]
name = "output_dir"
default = "out"

[[examples]]
name = "Words"
request = { stage = "text", command = "list", args = { _positional = ["a", "b"] } }
"""


@dataclass
class Frames:
    """What a WebSocket of a job said, and how it was closed."""

    items: list[dict[str, Any]]
    code: int | None

    def of(self, key: str) -> list[Any]:
        return [frame[key] for frame in self.items[:-1] if key in frame]

    @property
    def last(self) -> dict[str, Any]:
        return self.items[-1]


@dataclass
class Cli(Caller):
    """A client of the surface."""

    async def run(self, command: str, args: dict[str, Any] | None = None, stage: str = "demo", **more: Any) -> Reply:
        return await self.call("POST", "/cli/run", {"stage": stage, "command": command, "args": args or {}, **more})

    async def start(self, command: str, args: dict[str, Any] | None = None, stage: str = "demo") -> str:
        reply = await self.run(command, args, stage, mode="async")
        assert reply.status == 200, reply
        job_id: str = reply.body["job_id"]
        return job_id

    async def upload(self, name: str, content: bytes) -> str:
        form = aiohttp.FormData(quote_fields=False)  # as browsers and curl send names
        form.add_field("file", content, filename=name)
        async with self.session.post(f"{self.url}/upload", data=form, headers=self.headers) as answer:
            body = await answer.json()
            assert answer.status == 200, body
            file_id: str = body["file_id"]
            return file_id

    async def job(self, job_id: str) -> dict[str, Any]:
        reply = await self.call("GET", f"/jobs/{job_id}")
        assert reply.status == 200, reply
        found: dict[str, Any] = reply.body
        return found

    async def end_of(self, job_id: str) -> dict[str, Any]:
        job: dict[str, Any] = {}

        async def ended() -> bool:
            nonlocal job
            job = await self.job(job_id)
            return job["status"] not in {"queued", "running"}

        await until(ended, "the job has ended")
        return job

    async def becomes(self, job_id: str, status: str) -> None:
        async def is_so() -> bool:
            return bool((await self.job(job_id))["status"] == status)

        await until(is_so, f"the job is {status}")

    @asynccontextmanager
    async def socket(self, job_id: str, query: str = "") -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        key = self.headers.get("X-API-Key")
        query += f"&api_key={key}" if key else ""
        async with self.session.ws_connect(f"{self.url}/ws/jobs/{job_id}?{query}") as opened:
            yield opened

    async def frames(self, job_id: str, query: str = "") -> Frames:
        """All of them, until the server closes."""
        async with self.socket(job_id, query) as opened:
            items = [json.loads(message.data) async for message in opened]
            return Frames(items, opened.close_code)


def start_worker(cluster: Cluster, folder: Path, at: Orchestrator) -> Process:
    folder.mkdir(exist_ok=True)
    worker = Process(
        "commands",
        ("-m", "muster.cli.app", "worker", "run", "--commands"),
        {"MUSTER_URL": at.url, "MUSTER_WORKER_TOKEN": WORKER_TOKEN, "TMPDIR": str(folder)},
        cluster.folder / "commands.log",
    )
    worker.start()
    cluster.workers.append(worker)
    return worker


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three servers: as usual; one of other settings on the same jobs; one without clients, workers and jobs."""
    folder = tmp_path_factory.mktemp("cli")
    cli_file = folder / "cli.toml"
    cli_file.write_text(CLI_FILE)
    blueprints = str(ROOT / "blueprints" / "conformance.py")
    cluster = Cluster(folder, StoreProcess(folder / "store", "valkey"))
    try:
        cluster.add_orchestrator(MUSTER_BLUEPRINTS=blueprints)
        cluster.add_orchestrator(
            MUSTER_BLUEPRINTS=blueprints,
            MUSTER_CLI_FILE=str(cli_file),
            MUSTER_SYNC_WAIT_SECONDS="0.2",
            DATAVIZHUB_RESULTS_TTL_SECONDS="1",
            DATAVIZHUB_REQUIRE_KEY_FOR_EXAMPLES="1",
        )
        cluster.add_orchestrator(MUSTER_BLUEPRINTS=blueprints, MUSTER_CLIENTS_FILE="", MUSTER_NAMESPACE="lonely")
        for orchestrator in cluster.orchestrators:
            orchestrator.wait_until_ready()
        start_worker(cluster, folder / "tasks", cluster.a)
        yield cluster
        for orchestrator in cluster.orchestrators:
            assert not orchestrator.has_ended, "a server did not survive its tests"
            assert "http_failed" not in orchestrator.log, orchestrator.log
    finally:
        cluster.close()


@pytest.fixture
async def http(cluster: Cluster) -> AsyncIterator[aiohttp.ClientSession]:
    async with session() as opened:
        yield opened


def at(http: aiohttp.ClientSession, server: Orchestrator, token: str | None = ALPHA) -> Cli:
    return Cli(http, server.url, {"X-API-Key": token} if token else {})


@pytest.fixture
def cli(cluster: Cluster, http: aiohttp.ClientSession) -> Cli:
    """Tenant alpha at the first server."""
    return at(http, cluster.a)


@pytest.fixture
def strict(cluster: Cluster, http: aiohttp.ClientSession) -> Cli:
    """Tenant alpha at the server with stages of its own, a short wait, a short life of results, and a closed page."""
    return at(http, cluster.b)


@pytest.fixture
def lonely(cluster: Cluster, http: aiohttp.ClientSession) -> Cli:
    """Anybody at a server for which no client is configured, and which no worker serves."""
    return at(http, cluster.orchestrators[2], None)


@pytest.fixture
def stranger(cluster: Cluster, http: aiohttp.ClientSession) -> Cli:
    return at(http, cluster.a, BETA)


@pytest.fixture
def anybody(cluster: Cluster, http: aiohttp.ClientSession) -> Cli:
    """Without a key."""
    return at(http, cluster.a, None)
