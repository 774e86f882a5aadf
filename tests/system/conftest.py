"""Clusters of real processes. `fleet` is shared and must be left in order; `make_cluster` gives one to break."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.system.callers import Api, PlainWorker, api_at, session
from tests.system.processes import BETA, Cluster, StoreProcess

QUICK = {"MUSTER_LEASE_SECONDS": "2", "MUSTER_DELIVERY_LEASE_SECONDS": "1", "MUSTER_SDK_HEARTBEAT_SECONDS": "0.4"}
MakeCluster = Callable[..., Cluster]


def build(folder: Path, *, kind: str = "valkey", replicas: int = 1, limits: str = "", **variables: str) -> Cluster:
    folder.mkdir(parents=True, exist_ok=True)
    cluster = Cluster(folder, StoreProcess(folder / "store", kind))  # type: ignore[arg-type]
    try:
        for _ in range(replicas):
            if limits:
                cluster.add_orchestrator(program="tests.system.impatient", MUSTER_TEST_LIMITS=limits, **variables)
            else:
                cluster.add_orchestrator(**variables)
        for orchestrator in cluster.orchestrators:
            orchestrator.wait_until_ready()
    except BaseException:
        cluster.close()
        raise
    return cluster


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two orchestrators on one store, with the default settings but for the time a cancelled task may take."""
    cluster = build(tmp_path_factory.mktemp("fleet"), replicas=2, MUSTER_CANCEL_GRACE_SECONDS="1")
    yield cluster
    cluster.close()


@pytest.fixture
def make_cluster(tmp_path: Path) -> Iterator[MakeCluster]:
    """`make_cluster(kind=…, replicas=…, limits=…, MUSTER_…=…)`: one of your own, gone afterwards."""
    made: list[Cluster] = []

    def make(**options: object) -> Cluster:
        cluster = build(tmp_path / f"cluster-{len(made)}", **options)  # type: ignore[arg-type]
        made.append(cluster)
        return cluster

    yield make
    for cluster in made:
        cluster.close()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with session() as opened:
        yield opened


@pytest.fixture
def a(fleet: Cluster, http: aiohttp.ClientSession) -> Api:
    """Tenant alpha at the first replica."""
    return api_at(http, fleet.a.url)


@pytest.fixture
def b(fleet: Cluster, http: aiohttp.ClientSession) -> Api:
    """Tenant alpha at the second replica."""
    return api_at(http, fleet.b.url)


@pytest.fixture
def stranger(fleet: Cluster, http: aiohttp.ClientSession) -> Api:
    """Tenant beta."""
    return api_at(http, fleet.b.url, BETA)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Another word for each test: its task types and worker ids."""
    return "t" + str(abs(hash(request.node.nodeid)) % 10**8)


@pytest.fixture
def on_a(fleet: Cluster, http: aiohttp.ClientSession, name: str) -> PlainWorker:
    return PlainWorker(http, fleet.a.url, worker_id=f"{name}-a")


@pytest.fixture
def on_b(fleet: Cluster, http: aiohttp.ClientSession, name: str) -> PlainWorker:
    return PlainWorker(http, fleet.b.url, worker_id=f"{name}-b")
