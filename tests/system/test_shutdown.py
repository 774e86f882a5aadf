"""A server that is told to stop answers those who wait before it goes."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from tests.system.callers import api_at, until
from tests.system.conftest import QUICK, MakeCluster

END_S = 3.0
CONNECTIONS = """
[[connections]]
name = "slow"
command = { argv = ["sleep", "300"] }
"""
STAGES = """
[stages.demo.slow]
argv = ["sleep", "300"]
"""


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "id_name"),
    [
        ("POST", "/connections/slow/run", None, 500, "run_id"),
        ("POST", "/cli/run", {"stage": "demo", "command": "slow", "args": {}, "mode": "sync"}, 504, "job_id"),
        ("POST", "/api/v1/jobs/command", {"initial_data": {"argv": ["sleep", "300"]}}, 202, "job_id"),
        ("GET", "/api/v1/jobs/{job_id}?wait=50", None, 200, "job_id"),
    ],
)
async def test_who_waits_for_a_job_is_answered_when_the_server_stops(
    make_cluster: MakeCluster,
    http: aiohttp.ClientSession,
    tmp_path: Path,
    method: str,
    path: str,
    body: object,
    status: int,
    id_name: str,
) -> None:
    connections, stages = tmp_path / "connections.toml", tmp_path / "cli.toml"
    connections.write_text(CONNECTIONS)
    stages.write_text(STAGES)
    cluster = make_cluster(**QUICK, MUSTER_CONNECTIONS_FILE=str(connections), MUSTER_CLI_FILE=str(stages))
    api = api_at(http, cluster.a.url)
    if method == "GET":
        started = await api.call("POST", "/api/v1/jobs/command", {"initial_data": {"argv": ["sleep", "300"]}})
        path = path.format(job_id=started.body["job_id"])
    waiting = asyncio.ensure_future(api.call(method, path, body, headers={"Prefer": "wait=50"}))

    async def there() -> bool:
        return bool((await api.call("GET", "/api/v1/jobs")).body["items"])

    await until(there, "the job is there")
    began = asyncio.get_running_loop().time()
    assert await asyncio.to_thread(cluster.a.stop) == 0
    assert asyncio.get_running_loop().time() - began < END_S
    reply = await waiting
    assert (reply.status, len(reply.body[id_name])) == (status, 36), reply.raw
