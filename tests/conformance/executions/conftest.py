"""A server with a worker that runs scripts for a price, and one without. Each test has clients of its own."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from tests.system.callers import Api, Caller, PlainWorker, session, until
from tests.system.processes import ROOT, SECONDS_MAX, WORKER_TOKEN, Cluster, Process, StoreProcess, wait_until

RUNTIME = "python:3.11"
UNSERVED = "python:4.0"
"""A runtime that is configured, and that no worker has."""
PRICE = 0.5
"""EUR per second of the worker that is there."""
ASSUMED_PRICE = 0.25
"""What estimates assume for the other runtime."""
WORKER = "scripts"
OWN_ID, OWN_TOKEN = "own", "token-of-the-worker-that-has-its-own"
CLIENTS = 200
NEVER = "01890a5d-ac96-774b-bcce-b302099a8057"
"""An id that is well made and unknown."""
_number = count()


def key_of(number: int) -> str:
    return f"api-key-of-executions-client-{number:03}"


@dataclass
class Client(Api):
    """A client of RGrid's API."""

    tenant: str = ""

    @property
    def key(self) -> str:
        return self.headers["Authorization"].removeprefix("Bearer ")

    async def run(self, script: str, /, **members: Any) -> dict[str, Any]:
        """The execution as the server answers when it is made."""
        reply = await self.call("POST", "/api/v1/executions", {"script_content": script, **members})
        assert reply.status == 200, (reply, reply.body)
        made: dict[str, Any] = reply.body
        return made

    async def execution(self, execution_id: str) -> dict[str, Any]:
        reply = await self.call("GET", f"/api/v1/executions/{execution_id}")
        assert reply.status == 200, (reply, reply.body)
        found: dict[str, Any] = reply.body
        return found

    async def ended(self, made: dict[str, Any] | str, seconds: float = SECONDS_MAX) -> dict[str, Any]:
        """The execution once it is completed or failed."""
        execution_id = made if isinstance(made, str) else made["execution_id"]
        await self.end_of(execution_id, seconds)
        return await self.execution(execution_id)

    async def done(self, script: str, /, **members: Any) -> dict[str, Any]:
        """Run to its end."""
        return await self.ended(await self.run(script, **members))

    async def reaches(self, made: dict[str, Any], status: str) -> dict[str, Any]:
        found: dict[str, Any] = {}

        async def there() -> bool:
            found.update(await self.execution(made["execution_id"]))
            return bool(found["status"] == status)

        await until(there, f"the execution is {status}")
        return found

    async def artifacts(self, execution_id: str) -> list[dict[str, Any]]:
        reply = await self.call("GET", f"/api/v1/executions/{execution_id}/artifacts")
        assert reply.status == 200, reply
        listed: list[dict[str, Any]] = reply.body
        return listed

    def log_url(self, execution_id: str, query: str = "") -> str:
        return f"{self.url}/ws/executions/{execution_id}/logs{query}"

    async def frames(self, execution_id: str, query: str = "") -> tuple[list[dict[str, Any]], int | None]:
        """Every frame of the log's socket until it is closed, and the code with which it is."""
        async with self.session.ws_connect(self.log_url(execution_id, query), headers=self.headers) as socket:
            frames = [orjson.loads(message.data) async for message in socket]
            return frames, socket.close_code


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("executions")
    clients = folder / "many-clients.toml"
    clients.write_text("".join(f'[t{number}]\ntoken = "{key_of(number)}"\n' for number in range(CLIENTS)))
    clients.chmod(0o600)
    workers = folder / "workers.toml"
    workers.write_text(f'[{OWN_ID}]\ntoken = "{OWN_TOKEN}"\n')
    workers.chmod(0o600)
    cluster = Cluster(folder, StoreProcess(folder / "store", "valkey"))
    settings = {
        "MUSTER_BLUEPRINTS": str(ROOT / "blueprints" / "conformance.py"),
        "MUSTER_CLIENTS_FILE": str(clients),
        "MUSTER_WORKERS_FILE": str(workers),
        "MUSTER_RUNTIMES": f"{RUNTIME},{UNSERVED}",
        "MUSTER_PRICE_PER_SECOND": str(ASSUMED_PRICE),
        "MUSTER_LOG_LEVEL": "debug",
    }
    try:
        cluster.add_orchestrator(**settings)
        cluster.add_orchestrator(**settings, MUSTER_NAMESPACE="quiet")
        for orchestrator in cluster.orchestrators:
            orchestrator.wait_until_ready()
        add_script_worker(cluster, folder / "tasks")
        yield cluster
        for orchestrator in cluster.orchestrators:
            assert not orchestrator.has_ended, "the server did not survive its tests"
            assert "http_failed" not in orchestrator.log, orchestrator.log
            assert "api-key-of" not in orchestrator.log, "a key stands in the log"
    finally:
        cluster.close()


def add_script_worker(cluster: Cluster, folder: Path) -> Process:
    """`muster worker run --commands`, for a price."""
    folder.mkdir()
    worker = Process(
        WORKER,
        ("-m", "muster.cli.app", "worker", "run", "--commands", "--price-per-second", str(PRICE)),
        {
            "MUSTER_URL": cluster.a.url,
            "MUSTER_WORKER_TOKEN": WORKER_TOKEN,
            "MUSTER_WORKER_ID": WORKER,
            "TMPDIR": str(folder),
        },
        cluster.folder / "scripts.log",
    )
    worker.start()
    cluster.workers.append(worker)
    wait_until(lambda: "/_worker/workers/register" in cluster.a.log, "the worker has registered")
    return worker


@pytest.fixture
async def http(cluster: Cluster) -> AsyncIterator[aiohttp.ClientSession]:
    async with session() as opened:
        yield opened


@pytest.fixture
def anybody(cluster: Cluster, http: aiohttp.ClientSession) -> Caller:
    """Without credentials."""
    return Caller(http, cluster.a.url)


def new_client(caller: Caller) -> Client:
    number = next(_number)
    return Client(caller.session, caller.url, {"Authorization": f"Bearer {key_of(number)}"}, tenant=f"t{number}")


@pytest.fixture
def client(anybody: Caller) -> Client:
    """Nobody else's, and new."""
    return new_client(anybody)


@pytest.fixture
def other(anybody: Caller) -> Client:
    """Of another tenant."""
    return new_client(anybody)


@pytest.fixture
def runner(anybody: Caller) -> Caller:
    """Somebody with a worker's token."""
    return PlainWorker(anybody.session, anybody.url)


@pytest.fixture
async def quiet(cluster: Cluster, http: aiohttp.ClientSession) -> Client:
    """At a server that nobody works for; it is empty."""
    caller = Caller(http, cluster.b.url)
    assert (await caller.call("POST", "/_public/debug/flush_db")).status == 200
    return new_client(caller)


@pytest.fixture
async def hands(quiet: Client) -> PlainWorker:
    """A worker of the quiet server, which does what the test says: 2 EUR a second."""
    worker = PlainWorker(quiet.session, quiet.url, worker_id="hands")
    await worker.register("command", cost_per_second=2, runtimes=[RUNTIME])
    return worker
