"""Servers with connections and a worker that runs them, and others without. Each test has a tenant of its own."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.system.callers import Api, Caller, session, until
from tests.system.conftest import make_cluster as make_cluster
from tests.system.processes import ROOT, SECONDS_MAX, WORKER_TOKEN, Cluster, Process, StoreProcess

HERE = Path(__file__).parent
CONFORMANCE = ROOT / "blueprints" / "conformance_connections.toml"
FLOWS = HERE / "flows.py"
CLIENTS = 200
NEVER = "01890a5d-ac96-774b-bcce-b302099a8057"
"""An id that is well made and unknown."""
PREFIX = "key-of-connections-client"
MORE = """
[[connections]]
name = "failing"
type = "shell"
schema = "warehouse"
clients = ["special", "mixed"]
command = { argv = ["sh", "-c", "echo META:rows_inserted:1; exit 4"] }

[[connections]]
name = "after"
clients = ["mixed"]
command = { argv = ["true"] }

[[connections]]
name = "flaky"
enabled = false
clients = ["special"]
attempts = 3
command = { argv = ["sh", "-c", "echo try; test -e $F || { touch $F; exit 1; }"], environment = { F = "FOLDER/flaky" } }

[[connections]]
name = "hanging"
enabled = false
clients = ["special"]
command = { argv = ["sleep", "300"] }

[[connections]]
name = "talkative"
enabled = false
clients = ["special"]
command = { argv = ["printf", "STEP_START:load\\nMETA:rows_inserted:5\\nMETA:attempts:4\\nMETA:progress_counts:7\\n"] }

[[connections]]
name = "counted"
enabled = false
clients = ["special"]
blueprint = "counted"
initial_data = { rows = 7 }

[[connections]]
name = "declined"
enabled = false
clients = ["special"]
blueprint = "declined"

[[connections]]
name = "stuck"
enabled = false
clients = ["special"]
blueprint = "stuck"
"""
"""What only some tenants see, beside the three that everybody sees."""
_number = count()


SLEEP = "sleep 3"
"""What the slow source of the outside test does; here it waits for the test to let it go on."""


@dataclass(frozen=True)
class Source:
    """What `slow_source` waits for: it ends at once, but in tests that want to see it run."""

    file: Path

    def answers(self) -> None:
        self.file.touch()

    def is_silent(self) -> None:
        self.file.unlink(missing_ok=True)


def key_of(tenant: str | int) -> str:
    return f"{PREFIX}-{tenant:03}" if isinstance(tenant, int) else f"{PREFIX}-{tenant}"


@dataclass
class Pipelines(Api):
    """A client of the document's API."""

    tenant: str = ""

    async def ok(self, method: str, path: str, json: Any = None) -> Any:
        reply = await self.call(method, path, json)
        assert reply.status == 200, (reply.status, reply.raw)
        return reply.body

    async def run(self, name: str, query: str = "") -> dict[str, Any]:
        result: dict[str, Any] = await self.ok("POST", f"/connections/{name}/run{query}")
        return result

    async def run_async(self, name: str) -> str:
        task_id: str = (await self.ok("POST", f"/connections/{name}/run_async"))["task_id"]
        return task_id

    async def status(self, task_id: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.ok("GET", f"/task_status/{task_id}")
        return found

    async def reaches(self, task_id: str, status: str, seconds: float = SECONDS_MAX, **members: Any) -> dict[str, Any]:
        """The task once it has this status and these members."""
        found: dict[str, Any] = {}

        async def there() -> bool:
            found.update(await self.status(task_id))
            return {**found, "status": status, **members} == found

        await until(there, f"the task is {status} {members}", seconds)
        return found


@pytest.fixture(scope="session")
def source_of_all(tmp_path_factory: pytest.TempPathFactory) -> Source:
    made = Source(tmp_path_factory.mktemp("source") / "answers")
    made.answers()
    return made


@pytest.fixture
def source(source_of_all: Source) -> Iterator[Source]:
    """Silent until the test says that it answers."""
    source_of_all.is_silent()
    yield source_of_all
    source_of_all.answers()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, source_of_all: Source) -> Iterator[Cluster]:
    """`a` has everything; at `b` nobody works and nobody waits long; the third knows no client, nor any connection."""
    folder = tmp_path_factory.mktemp("connections")
    clients = folder / "many-clients.toml"
    tenants: list[str | int] = [*range(CLIENTS), "special", "mixed", "scheduler"]
    clients.write_text("".join(f'[{_tenant(one)}]\ntoken = "{key_of(one)}"\n' for one in tenants))
    clients.chmod(0o600)
    more = folder / "connections.toml"
    connections = CONFORMANCE.read_text()
    assert SLEEP in connections
    waiting = connections.replace(SLEEP, f"until [ -e {source_of_all.file} ]; do sleep 0.02; done")
    more.write_text(waiting + MORE.replace("FOLDER", str(folder)))
    cluster = Cluster(folder, StoreProcess(folder / "store", "valkey"))
    settings = {"MUSTER_BLUEPRINTS": str(FLOWS), "MUSTER_CLIENTS_FILE": str(clients), "MUSTER_LOG_LEVEL": "debug"}
    try:
        cluster.add_orchestrator(**settings, MUSTER_CONNECTIONS_FILE=str(more))
        lonely = {"MUSTER_NAMESPACE": "lonely", "MUSTER_SYNC_WAIT_SECONDS": "0.3", "MUSTER_HISTORY_ENABLED": "false"}
        cluster.add_orchestrator(**settings, **lonely, MUSTER_CONNECTIONS_FILE=str(CONFORMANCE))
        cluster.add_orchestrator(**{**settings, "MUSTER_CLIENTS_FILE": ""}, MUSTER_NAMESPACE="keyless")
        cluster.add_orchestrator(**settings, MUSTER_NAMESPACE="unused")
        for orchestrator in cluster.orchestrators:
            orchestrator.wait_until_ready()
        add_command_worker(cluster, folder / "tasks")
        yield cluster
        for orchestrator in cluster.orchestrators:
            assert not orchestrator.has_ended, "the server did not survive its tests"
            assert "http_failed" not in orchestrator.log, orchestrator.log
            assert "schedules_failed" not in orchestrator.log, orchestrator.log
            assert PREFIX not in orchestrator.log, "a key stands in the log"
    finally:
        cluster.close()


def _tenant(one: str | int) -> str:
    return f"t{one}" if isinstance(one, int) else one


def add_command_worker(cluster: Cluster, folder: Path) -> Process:
    folder.mkdir()
    worker = Process(
        "pipelines",
        ("-m", "muster.cli.app", "worker", "run", "--commands"),
        {
            "MUSTER_URL": cluster.a.url,
            "MUSTER_WORKER_TOKEN": WORKER_TOKEN,
            "MUSTER_WORKER_ID": "pipelines",
            "TMPDIR": str(folder),
        },
        cluster.folder / "pipelines.log",
    )
    worker.start()
    cluster.workers.append(worker)
    return worker


@pytest.fixture
async def http(cluster: Cluster) -> AsyncIterator[aiohttp.ClientSession]:
    async with session() as opened:
        yield opened


@pytest.fixture
def anybody(cluster: Cluster, http: aiohttp.ClientSession) -> Caller:
    """Without credentials."""
    return Caller(http, cluster.a.url)


@pytest.fixture
def keyless(cluster: Cluster, http: aiohttp.ClientSession) -> Caller:
    """At the server that knows no client."""
    return Caller(http, cluster.orchestrators[2].url)


def client_at(caller: Caller, tenant: str | int) -> Pipelines:
    return Pipelines(caller.session, caller.url, {"X-API-Key": key_of(tenant)}, tenant=_tenant(tenant))


@pytest.fixture
def lone_file(cluster: Cluster, http: aiohttp.ClientSession) -> Pipelines:
    """At a server whose file has no connection that is enabled."""
    return client_at(Caller(http, cluster.orchestrators[3].url), next(_number))


@pytest.fixture
def client(anybody: Caller) -> Pipelines:
    """Nobody else's, and new."""
    return client_at(anybody, next(_number))


@pytest.fixture
def other(anybody: Caller) -> Pipelines:
    """Of another tenant."""
    return client_at(anybody, next(_number))


@pytest.fixture
def special(anybody: Caller) -> Pipelines:
    """Who sees more connections than the others."""
    return client_at(anybody, "special")


@pytest.fixture
def mixed(anybody: Caller) -> Pipelines:
    """Who sees one that fails, between others."""
    return client_at(anybody, "mixed")


@pytest.fixture
def lonely(cluster: Cluster, http: aiohttp.ClientSession) -> Pipelines:
    """At the server that nobody works for."""
    return client_at(Caller(http, cluster.b.url), next(_number))
