"""Schedules on real servers: what was missed while all were down, and one job whoever is up."""

import time
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import redis

from tests.conformance.connections.conftest import Pipelines
from tests.system.callers import until
from tests.system.conftest import MakeCluster
from tests.system.processes import ALPHA, Cluster, wait_until

SCHEDULE = "*/5 * * * *"
FILE = f"""
[[connections]]
name = "ticking"
clients = ["alpha"]
schedule = "{SCHEDULE}"
command = {{ argv = ["true"] }}
"""


def noted(store: "redis.Redis") -> tuple[str, list[Any]] | None:
    """The key and what is noted of the schedule's last slot."""
    for key in map(str, store.keys("*ss")):
        if (note := store.hget(key, "/ticking")) is not None:
            return key, orjson.loads(note)
    return None


async def runs(client: Pipelines) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await client.ok("GET", "/api/v1/jobs?tag=connection:ticking"))["items"]
    return items


def stop_all(cluster: Cluster) -> None:
    for orchestrator in cluster.orchestrators:
        assert orchestrator.stop() == 0


async def test_when_servers_come_back_the_newest_missed_slot_is_run_once(
    make_cluster: MakeCluster, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    file = tmp_path / "connections.toml"
    file.write_text(FILE)
    cluster = make_cluster(replicas=2, MUSTER_CONNECTIONS_FILE=str(file))
    with cluster.store.client() as store:
        wait_until(lambda: noted(store) is not None, "the schedule is known")
        stop_all(cluster)
        found = noted(store)
        assert found is not None
        half_an_hour_ago = int(time.time() * 1000) - 1_800_000
        store.hset(found[0], "/ticking", orjson.dumps([found[1][0], half_an_hour_ago, "seen", ""]).decode())
        for orchestrator in cluster.orchestrators:
            orchestrator.restart()
        client = Pipelines(http, cluster.b.url, {"X-API-Key": ALPHA})

        async def has_run() -> bool:
            return bool(await runs(client))

        await until(has_run, "the slot is run")
        (run,) = await runs(client)
        slot = next(int(tag.removeprefix("slot:")) for tag in run["tags"] if tag.startswith("slot:"))
        assert slot % 300_000 == 0
        assert half_an_hour_ago + 1_000_000 < slot <= time.time() * 1000
        wait_until(lambda: (noted(store) or ("", [""] * 4))[1][2] == "run", "it is noted")
        shown = (await client.ok("GET", "/api/v1/connections/ticking"))["last_slot"]
        assert (shown["outcome"], shown["detail"]) == ("run", run["id"])
        assert store.get(found[0][: -len("ss")] + "sl") is not None
        stop_all(cluster)
        assert store.get(found[0][: -len("ss")] + "sl") is None, "a server that stops gives the schedules up"


async def test_a_file_with_mistakes_stops_the_server_and_all_are_told(
    make_cluster: MakeCluster, tmp_path: Path
) -> None:
    cluster = make_cluster()
    file = tmp_path / "connections.toml"
    file.write_text(
        FILE
        + FILE
        + '[[connections]]\nname = "a b"\nattempts = 0\ncommand = { argv = [] }\n'
        + '[[connections]]\nname = "late"\nblueprint = "nobody_has_it"\nschedule = "0 0 */31 * MON#5"\n'
        + '[[connections]]\nname = "lost"\nblueprint = "nobody_has_it"\n'
        + '[[connections]]\nname = "half"\nblueprint = "command"\n'
    )
    refused = cluster.add_orchestrator(MUSTER_CONNECTIONS_FILE=str(file))
    assert refused.wait() == 2
    for text in (
        "connection 'ticking' is there 2 times",
        "connection 'a b': name: 'a b' is not a name",
        "connection 'a b': attempts: ",
        "connection 'a b': command.argv: ",
        "connection 'late': '0 0 */31 * MON#5' never fires",
        "connection 'lost': blueprint: there is no blueprint 'nobody_has_it'",
        "connection 'half': initial_data: does not fit blueprint 'command'",
    ):
        assert text in refused.log, refused.log
    cluster.orchestrators[:] = cluster.orchestrators[:1]
