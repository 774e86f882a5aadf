"""The machine that is broken in a chaos run: two orchestrators, two SDK workers, a plain one, and a durable store."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.chaos.nemesis import durable
from tests.system.processes import WORKER_TOKEN, Cluster, Process, StoreProcess

HANDS: Final = Path(__file__).with_name("hands.py")
SETTINGS: Final = {
    "MUSTER_LEASE_SECONDS": "2",
    "MUSTER_DELIVERY_LEASE_SECONDS": "1",
    "MUSTER_SDK_HEARTBEAT_SECONDS": "0.4",
    "MUSTER_HEARTBEAT_INTERVAL_SECONDS": "1",
    "MUSTER_CANCEL_GRACE_SECONDS": "2",
    "MUSTER_TASK_TIMEOUT_SECONDS": "5",
    "MUSTER_JOB_MAX_RETRIES": "20",
}
"""A task that a plain worker never got comes back by its timeout, which counts as a failure: hence the retries."""
START_S: Final = 30.0


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    cluster = Cluster(folder, StoreProcess(folder / "store", "valkey"))
    try:
        durable(cluster)
        for _ in range(2):
            cluster.add_orchestrator(program="tests.chaos.hasty", **SETTINGS)
        for orchestrator in cluster.orchestrators:
            orchestrator.wait_until_ready()
        commands = [("-m", "muster.cli.app", "worker", "run", str(HANDS))] * 2 + [("-m", "tests.chaos.plain_hands")]
        for number, command in enumerate(commands, 1):
            cluster.workers.append(_worker(cluster, f"worker-{number}", command))
        yield cluster
    finally:
        cluster.close()


def _worker(cluster: Cluster, name: str, command: tuple[str, ...]) -> Process:
    process = Process(
        name,
        command,
        {
            "MUSTER_URL": ",".join(orchestrator.url for orchestrator in cluster.orchestrators),
            "MUSTER_WORKER_TOKEN": WORKER_TOKEN,
            "MUSTER_WORKER_ID": name,
            "CHAOS_RUNS": str(runs_file(cluster)),
            "CHAOS_RECEIPTS": str(receipts_file(cluster)),
        },
        cluster.folder / f"{name}.log",
    )
    process.start()
    return process


def runs_file(cluster: Cluster) -> Path:
    return cluster.folder / "runs"


def receipts_file(cluster: Cluster) -> Path:
    return cluster.folder / "receipts"


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def is_up(cluster: Cluster) -> bool:
    return all(orchestrator.is_ready for orchestrator in cluster.orchestrators)


def wait_until_up(cluster: Cluster) -> None:
    deadline = time.monotonic() + START_S
    while not is_up(cluster):
        assert time.monotonic() < deadline, "the servers did not come back"
        time.sleep(0.05)
