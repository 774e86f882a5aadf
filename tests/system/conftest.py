"""Clusters of real processes. Most are shared, since a server takes a second to start: leave them in order."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.system.callers import Api, PlainWorker, api_at, session
from tests.system.impatient import SHORT_TURN_LEASES, SHORT_TURNS
from tests.system.processes import BETA, Cluster, StoreProcess

QUICK = {"MUSTER_LEASE_SECONDS": "2", "MUSTER_DELIVERY_LEASE_SECONDS": "1", "MUSTER_SDK_HEARTBEAT_SECONDS": "0.4"}
SHORTEST = {
    "MUSTER_LEASE_SECONDS": "1",
    "MUSTER_DELIVERY_LEASE_SECONDS": "1",
    "MUSTER_SDK_HEARTBEAT_SECONDS": "0.25",
}
REGISTRATION_TTL_S = 1.6
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


SHARED: dict[str, dict[str, Any]] = {
    "fleet": {"replicas": 2, "MUSTER_CANCEL_GRACE_SECONDS": "1"},
    "quick": {**QUICK},
    "mortal": {"replicas": 2, "limits": SHORT_TURN_LEASES, "MUSTER_CANCEL_GRACE_SECONDS": "1", **QUICK},
    "forgetful": {**SHORTEST, "MUSTER_HEARTBEAT_INTERVAL_SECONDS": str(REGISTRATION_TTL_S / 2)},
    "mute": {"MUSTER_HISTORY_ENABLED": "false"},
    "hard": {"MUSTER_MODE": "production"},
    "shaky-valkey": {"replicas": 2, "limits": SHORT_TURN_LEASES, **QUICK},
    "shaky-redis": {"kind": "redis", "replicas": 2, "limits": SHORT_TURN_LEASES, **QUICK},
    "short": {"limits": SHORT_TURNS},
}
Shared = Callable[[str], Cluster]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """Clusters by the names above, each started when it is first wanted."""
    yield from started_on_demand(tmp_path_factory)


@pytest.fixture(scope="module")
def shared_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """The same, for those that one file alone uses."""
    yield from started_on_demand(tmp_path_factory)


def started_on_demand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    made: dict[str, Cluster] = {}

    def get(name: str) -> Cluster:
        if name not in made:
            made[name] = build(tmp_path_factory.mktemp(name), **SHARED[name])
        return made[name]

    yield get
    for cluster in made.values():
        cluster.close()


def lend(cluster: Cluster) -> Iterator[Cluster]:
    """All its orchestrators run; its workers end with the test."""
    regular = [*cluster.orchestrators]
    for orchestrator in regular:
        if orchestrator.has_ended:
            orchestrator.close()
            orchestrator.restart()
    yield cluster
    for process in (*cluster.workers, *cluster.orchestrators):
        if process not in regular:
            process.close()
    cluster.orchestrators[:] = regular


@pytest.fixture
def fleet(shared: Shared) -> Iterator[Cluster]:
    """Two orchestrators on one store, with the default settings but for the time a cancelled task may take."""
    yield from lend(shared("fleet"))


@pytest.fixture
def quick(shared: Shared) -> Iterator[Cluster]:
    """One orchestrator with short leases."""
    yield from lend(shared("quick"))


@pytest.fixture
def mortal(shared: Shared) -> Iterator[Cluster]:
    """Two orchestrators with short leases of tasks and turns, to be killed."""
    yield from lend(shared("mortal"))


@pytest.fixture
def forgetful(shared: Shared) -> Iterator[Cluster]:
    """Forgets a documented worker after REGISTRATION_TTL_S; the leases of the SDK are as short as can be."""
    yield from lend(shared("forgetful"))


@pytest.fixture
def mute(shared: Shared) -> Iterator[Cluster]:
    """Keeps no history."""
    yield from lend(shared("mute"))


@pytest.fixture
def hard(shared: Shared) -> Iterator[Cluster]:
    """In production mode."""
    yield from lend(shared("hard"))


@pytest.fixture(params=["valkey", "redis"])
def shaky(shared_here: Shared, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Two orchestrators whose store may be killed, paused and filled, once for each kind of store."""
    yield from lend(shared_here(f"shaky-{request.param}"))


@pytest.fixture
def shaky_valkey(shared_here: Shared) -> Iterator[Cluster]:
    yield from lend(shared_here("shaky-valkey"))


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
