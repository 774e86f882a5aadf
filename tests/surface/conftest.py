"""One server as a conformance suite gets it, emptied before each test, and known by its URL alone."""

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from tests.system.callers import Api, Caller, PlainWorker, api_at, session
from tests.system.processes import ALPHA, BETA, ROOT, Cluster, StoreProcess

TASK = "conformance_task"
NEVER = "01890a5d-ac96-774b-bcce-b302099a8057"
"""A job id that is well made and unknown."""
OWN_ID, OWN_TOKEN = "own", "token-of-the-worker-that-has-its-own"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("surface")
    workers_file = folder / "workers.toml"
    workers_file.write_text(f'[{OWN_ID}]\ntoken = "{OWN_TOKEN}"\n')
    workers_file.chmod(0o600)
    cluster = Cluster(folder, StoreProcess(folder / "store", "valkey"))
    try:
        cluster.add_orchestrator(
            MUSTER_BLUEPRINTS=str(ROOT / "blueprints" / "conformance.py"),
            MUSTER_WORKERS_FILE=str(workers_file),
            MUSTER_API_KEY_HEADER="X-API-Key",
        )
        cluster.a.wait_until_ready()
        yield cluster
        assert not cluster.a.has_ended, "the server did not survive its tests"
        assert "http_failed" not in cluster.a.log, cluster.a.log
        assert "task_crashed" not in cluster.a.log, cluster.a.log
    finally:
        cluster.close()


@pytest.fixture
async def http(cluster: Cluster) -> AsyncIterator[aiohttp.ClientSession]:
    async with session() as opened:
        yield opened


@pytest.fixture
async def anybody(cluster: Cluster, http: aiohttp.ClientSession) -> Caller:
    """Without credentials. The store is empty."""
    caller = Caller(http, cluster.a.url)
    flushed = await caller.call("POST", "/_public/debug/flush_db")
    assert (flushed.status, flushed.body) == (200, {"status": "db_flushed"})
    return caller


@pytest.fixture
def client(anybody: Caller) -> Api:
    return api_at(anybody.session, anybody.url, ALPHA)


@pytest.fixture
def other_client(anybody: Caller) -> Api:
    return api_at(anybody.session, anybody.url, BETA)


@pytest.fixture
async def worker(anybody: Caller) -> PlainWorker:
    """Registered for the conformance task."""
    made = PlainWorker(anybody.session, anybody.url, worker_id="conformance-worker")
    await made.register(TASK)
    return made


@pytest.fixture
def new_worker(anybody: Caller) -> PlainWorker:
    return PlainWorker(anybody.session, anybody.url, worker_id="conformance-spare")
