"""surfaces.md 3, servers that lack something: a store that is gone, and keys that nobody configured."""

import asyncio
from pathlib import Path

import aiohttp

from tests.conformance.executions.conftest import NEVER
from tests.system.callers import Caller
from tests.system.processes import Cluster, StoreProcess, wait_until


async def test_a_store_that_is_gone_is_told_with_200(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    cluster = Cluster(tmp_path, StoreProcess(tmp_path / "store", "valkey"))
    try:
        cluster.add_orchestrator().wait_until_ready()
        anybody = Caller(http, cluster.a.url)
        assert (await anybody.call("GET", "/api/v1/health")).body["status"] == "ok (db: connected)"
        cluster.store.stop()
        reply = await anybody.call("GET", "/api/v1/health")
        assert (reply.status, reply.body["status"]) == (200, "ok (db: disconnected)")
        assert set(reply.body) == {"status", "version", "timestamp"}
    finally:
        cluster.close()


async def test_without_any_key_configured_everything_is_401(cluster: Cluster, http: aiohttp.ClientSession) -> None:
    server = cluster.add_orchestrator(MUSTER_NAMESPACE="keyless", MUSTER_CLIENTS_FILE="")
    try:
        await asyncio.to_thread(wait_until, lambda: server.is_ready, "the server is ready")
        anybody = Caller(http, server.url)
        assert (await anybody.call("GET", "/api/v1/health")).status == 200
        for headers in ({}, {"Authorization": "Bearer x"}):
            for path in ("executions", f"executions/{NEVER}", "cost", "estimate", "batches/b/status"):
                reply = await anybody.call("GET", f"/api/v1/{path}", headers=headers)
                assert (reply.status, reply.body["code"]) == (401, "unauthenticated")
    finally:
        server.close()
        cluster.orchestrators.remove(server)
