"""A server in development mode with a worker that runs commands, as document 003 assumes it. Each test has a tenant."""

import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from tests.support.ports import free_port
from tests.system.callers import Api, session, until
from tests.system.conftest import make_cluster as make_cluster
from tests.system.processes import ROOT, SECONDS_MAX, WORKER_TOKEN, Cluster, Process, StoreProcess

CLIENTS = 200
NEVER = "01890a5d-ac96-774b-bcce-b302099a8057"
"""An id that is well made and unknown."""
_number = count()


def key_of(number: int) -> str:
    return f"key-of-monitor-client-{number:03}"


@dataclass
class Monitor(Api):
    """A client of the monitor's API. `tenant` is who it is."""

    tenant: str = ""

    async def data(self, method: str, path: str, json: Any = None, *, status: int = 200) -> Any:
        """What the envelope holds."""
        reply = await self.call(method, path, json)
        assert reply.status == status, (reply.status, reply.raw)
        body = reply.body
        assert list(body) == ["success", "data", "error", "timestamp"]
        assert (body["success"], body["error"]) == (True, None)
        return body["data"]

    async def error(self, method: str, path: str, json: Any = None, *, status: int, data: bytes | None = None) -> str:
        """The sentence of an error."""
        reply = await self.call(method, path, json, data=data)
        assert reply.status == status, (reply.status, reply.raw)
        body = reply.body
        assert list(body) == ["success", "data", "error", "timestamp"]
        assert (body["success"], body["data"]) == (False, None)
        assert body["timestamp"].endswith("Z")
        text: str = body["error"]
        return text

    async def run(self, command: Any, /, **members: Any) -> str:
        """Create an execution."""
        made = await self.data("POST", "/api/executions", {"command": command, **members}, status=201)
        execution_id: str = made["execution_id"]
        return execution_id

    async def details(self, execution_id: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.data("GET", f"/api/executions/{execution_id}")
        return found

    async def ended(self, execution_id: str) -> dict[str, Any]:
        """Its details once it has ended."""
        found: dict[str, Any] = {}

        async def so() -> bool:
            found.update(await self.details(execution_id))
            return found["execution"]["status"] in {"completed", "failed", "cancelled"}

        await until(so, "the execution has ended", 2 * SECONDS_MAX)
        return found

    async def done(self, command: Any, /, **members: Any) -> dict[str, Any]:
        """Run to its end."""
        return await self.ended(await self.run(command, **members))

    async def reaches(self, execution_id: str, status: str) -> None:
        async def there() -> bool:
            return bool((await self.details(execution_id))["execution"]["status"] == status)

        await until(there, f"the execution is {status}")

    async def lines(self, execution_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.log(execution_id))["items"]
        return found

    async def listed(self, query: str = "") -> dict[str, Any]:
        found: dict[str, Any] = await self.data("GET", f"/api/executions{query}")
        return found

    @asynccontextmanager
    async def socket(self, path: str = "/ws") -> AsyncIterator["Frames"]:
        async with self.session.ws_connect(self.url + path, headers=self.headers) as opened:
            yield Frames(opened)


@dataclass
class Frames:
    """The messages of one WebSocket."""

    socket: aiohttp.ClientWebSocketResponse

    async def next(self) -> dict[str, Any]:
        frame = await self.socket.receive(SECONDS_MAX)
        assert frame.type is aiohttp.WSMsgType.TEXT, frame
        said: dict[str, Any] = orjson.loads(frame.data)
        assert list(said) == ["type", "data", "timestamp"]
        return said

    async def until(self, kind: str, **members: Any) -> list[dict[str, Any]]:
        """Messages up to the first of *kind* with these members of `data`, which is the last."""
        said = [await self.next()]
        while said[-1]["type"] != kind or members.items() - said[-1]["data"].items():
            said.append(await self.next())
        return said

    async def say(self, kind: str, execution_id: str | None = None) -> None:
        data = {} if execution_id is None else {"data": {"execution_id": execution_id}}
        await self.socket.send_str(orjson.dumps({"type": kind, **data}).decode())

    async def subscribe(self, execution_id: str) -> None:
        await self.say("subscribe", execution_id)
        await self.until("subscribed", execution_id=execution_id)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The second orchestrator wants a key from everybody; the first has a separate listener as well."""
    folder = tmp_path_factory.mktemp("monitor")
    clients = folder / "many-clients.toml"
    clients.write_text("".join(f'[t{number}]\ntoken = "{key_of(number)}"\n' for number in range(CLIENTS)))
    clients.chmod(0o600)
    cluster = Cluster(folder, StoreProcess(folder / "store", "valkey"))
    common = {
        "MUSTER_BLUEPRINTS": str(ROOT / "blueprints" / "conformance.py"),
        "MUSTER_CLIENTS_FILE": str(clients),
        "MUSTER_LOG_LEVEL": "debug",
        "MUSTER_CANCEL_GRACE_SECONDS": "2",
    }
    try:
        cluster.add_orchestrator(**common, MUSTER_STEPFLOW_WS_PORT=str(free_port()))
        cluster.add_orchestrator(**common, MUSTER_STEPFLOW_AUTH_ENABLED="true", MUSTER_MAX_UPLOAD_BYTES="4096")
        for orchestrator in cluster.orchestrators:
            orchestrator.wait_until_ready()
        _add_command_worker(cluster, folder / "tasks")
        yield cluster
        for orchestrator in cluster.orchestrators:
            assert not orchestrator.has_ended, "the server did not survive its tests"
            wrong = ("http_failed", "monitor_socket_failed", "task_crashed", "key-of-monitor")
            assert [line for line in orchestrator.log.splitlines() if any(word in line for word in wrong)] == []
    finally:
        cluster.close()


def _add_command_worker(cluster: Cluster, folder: Path) -> None:
    folder.mkdir()
    worker = Process(
        "commands",
        ("-m", "muster.cli.app", "worker", "run", "--commands"),
        {
            "MUSTER_URL": cluster.a.url,
            "MUSTER_WORKER_TOKEN": WORKER_TOKEN,
            "MUSTER_WORKER_ID": "monitor-commands",
            "TMPDIR": str(folder),
        },
        cluster.folder / "commands.log",
    )
    worker.start()
    cluster.workers.append(worker)


@pytest.fixture
async def http(cluster: Cluster) -> AsyncIterator[aiohttp.ClientSession]:
    async with session() as opened:
        yield opened


def _client(http: aiohttp.ClientSession, url: str) -> Monitor:
    number = next(_number)
    return Monitor(http, url, {"X-Client-Token": key_of(number)}, tenant=f"t{number}")


@pytest.fixture
def client(cluster: Cluster, http: aiohttp.ClientSession) -> Monitor:
    """A tenant that has nothing yet."""
    return _client(http, cluster.a.url)


@pytest.fixture
def other_client(cluster: Cluster, http: aiohttp.ClientSession) -> Monitor:
    return _client(http, cluster.a.url)


@pytest.fixture
def anybody(cluster: Cluster, http: aiohttp.ClientSession) -> Monitor:
    """Without a key, where none is needed."""
    return Monitor(http, cluster.a.url, tenant="anonymous")


@pytest.fixture
def stranger(cluster: Cluster, http: aiohttp.ClientSession) -> Monitor:
    """Without a key, where one is needed."""
    return Monitor(http, cluster.b.url)


@pytest.fixture
def listener_url(cluster: Cluster) -> str:
    """Of the separate listener."""
    return f"http://127.0.0.1:{cluster.a.variables['MUSTER_STEPFLOW_WS_PORT']}"


@pytest.fixture(scope="session")
def shared_execution(cluster: Cluster) -> str:
    """An execution of the anonymous tenant, for files to be added to."""
    body = orjson.dumps({"command": "true"})
    asked = urllib.request.Request(f"{cluster.a.url}/api/executions", data=body, method="POST")
    with urllib.request.urlopen(asked, timeout=SECONDS_MAX) as answer:
        made = orjson.loads(answer.read())
    return str(made["data"]["execution_id"])


@pytest.fixture
def make_small(cluster: Cluster, http: aiohttp.ClientSession) -> Monitor:
    """A client of the orchestrator that takes files of 4096 bytes at most."""
    return _client(http, cluster.b.url)
