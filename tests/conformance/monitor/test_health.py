"""Health and figures over the API of document 003."""

from typing import Any

import psutil
from muster.surfaces.monitor import models

from tests.conformance.monitor.conftest import Monitor
from tests.system.callers import session, until
from tests.system.conftest import MakeCluster
from tests.system.processes import ALPHA, Cluster, wait_until


async def test_a_server_whose_parts_work_is_healthy(stranger: Monitor) -> None:
    data = await stranger.data("GET", "/api/health")
    models.Health.model_validate(data)
    parts = {name: data[name] for name in ("status", "database", "websocket", "storage")}
    assert parts == {
        "status": "healthy",
        "database": "connected",
        "websocket": "running",
        "storage": "accessible",
    }
    assert isinstance(data["uptime_seconds"], int)


async def test_a_part_that_does_not_work_is_named_with_503(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    async with session() as http:
        client = Monitor(http, cluster.a.url)

        async def health(part: str, word: str) -> None:
            async def so() -> bool:
                reply = await client.call("GET", "/api/health")
                return reply.status == 503 and bool(reply.body["data"][part] == word)

            await until(so, f"{part} is {word}")

        cluster.store.kill()
        await health("database", "disconnected")
        reply = await client.call("GET", "/api/health")
        assert (reply.body["success"], reply.body["data"]["status"]) == (False, "unhealthy")
        assert reply.body["error"]
        status = await client.data("GET", "/api/health/status")
        assert status["database"]["status"] == "disconnected"
        assert await client.error("GET", "/api/executions", status=503)
        cluster.store.start()
        wait_until(lambda: cluster.a.is_ready, "the server is ready again")
        cluster.files_folder.parent.joinpath("files").write_text("a file where a folder is wanted")
        await health("storage", "inaccessible")


async def test_status_has_the_load_of_the_machine_the_store_and_the_clients(client: Monitor) -> None:
    data = await client.data("GET", "/api/health/status")
    assert set(data) == {"system", "database", "websocket"}
    system, database = data["system"], data["database"]
    assert set(system) == {"cpu_percent", "memory_percent", "disk_usage_percent", "load_average"}
    assert all(0 <= system[name] <= 100 for name in ("cpu_percent", "memory_percent", "disk_usage_percent"))
    assert system["memory_percent"] > 0
    assert abs(system["memory_percent"] - psutil.virtual_memory().percent) < 30
    assert len(system["load_average"]) == 3
    assert set(database) == {"status", "size_mb", "wal_mode", "cache_hit_ratio"}
    assert database["status"] == "connected"
    assert database["size_mb"] > 0
    assert database["wal_mode"] is True
    assert 0 < database["cache_hit_ratio"] <= 1
    assert set(data["websocket"]) == {"status", "connected_clients", "total_messages"}
    assert data["websocket"]["status"] == "running"


async def test_connected_clients_and_their_messages_are_counted(client: Monitor) -> None:
    before = (await client.data("GET", "/api/health/status"))["websocket"]
    async with client.socket() as frames:
        assert (await frames.next())["data"]["connected_clients"] == before["connected_clients"] + 1
        await frames.say("ping")
        await frames.until("pong")
        during = (await client.data("GET", "/api/health/status"))["websocket"]
        assert during["connected_clients"] == before["connected_clients"] + 1
        assert during["total_messages"] == before["total_messages"] + 2

    async def left() -> bool:
        now = (await client.data("GET", "/api/health/status"))["websocket"]
        return bool(now["connected_clients"] == before["connected_clients"])

    await until(left, "the client has left")


async def test_metrics_have_the_figures_of_the_store_and_the_callers_counts(
    client: Monitor, other_client: Monitor, cluster: Cluster
) -> None:
    script = "echo STEP_START:a; echo STEP_START:b; echo x > f; echo ARTIFACT:f:it"
    await client.done(["sh", "-c", script])
    await client.start("simple_flow")
    data = await client.data("GET", "/api/health/metrics")
    models.Metrics.model_validate(data)
    database = data["database"]
    assert set(database) == {
        "database_size_bytes",
        "database_size_mb",
        "table_counts",
        "wal_mode",
        "cache_size",
        "storage_path",
    }
    assert database["table_counts"] == {"executions": 2, "steps": 2, "artifacts": 1}
    assert abs(database["database_size_mb"] - database["database_size_bytes"] / 1_048_576) < 0.01
    assert database["wal_mode"] == "aof"
    assert isinstance(database["cache_size"], int)
    assert database["storage_path"].startswith(str(cluster.files_folder))
    assert set(data["system"]) == {"cpu_percent", "memory_percent", "disk_usage_percent", "open_connections"}
    assert data["system"]["open_connections"] >= 1
    others = await other_client.data("GET", "/api/health/metrics")
    assert others["database"]["table_counts"] == {"executions": 0, "steps": 0, "artifacts": 0}


async def test_the_database_counts_what_is_the_callers(client: Monitor) -> None:
    empty = await client.data("GET", "/api/health/database")
    models.Database.model_validate(empty)
    assert (empty["total_executions"], empty["oldest_execution"], empty["newest_execution"]) == (0, None, None)
    first = (await client.done(["sh", "-c", "echo STEP_START:a; echo x > f; echo ARTIFACT:f:it"]))["execution"]
    await client.done("false")
    running = await client.run("sleep 300")
    await client.reaches(running, "running")
    pending = await client.start("simple_flow")
    data = await client.data("GET", "/api/health/database")
    size = data.pop("database_size_mb")
    assert size > 0
    newest = (await client.details(pending))["execution"]["created_at"]
    assert data == {
        "total_executions": 4,
        "running_executions": 1,
        "completed_executions": 1,
        "failed_executions": 1,
        "total_steps": 1,
        "total_artifacts": 1,
        "oldest_execution": first["created_at"],
        "newest_execution": newest,
    }
    await client.cancel(running)


async def test_optimizing_says_what_was_done_and_shows_the_figures(client: Monitor) -> None:
    data: dict[str, Any] = await client.data("POST", "/api/health/optimize")
    models.Optimized.model_validate(data)
    assert data["status"] == "optimization_completed"
    assert data["operations_performed"]
    assert all(isinstance(done, str) for done in data["operations_performed"])


async def test_in_production_the_storage_path_is_a_label(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(MUSTER_MODE="production", MUSTER_SURFACES="monitor")
    async with session() as http:
        nobody = Monitor(http, cluster.a.url)
        assert await nobody.error("GET", "/api/executions", status=401)
        assert await nobody.data("GET", "/api/health")
        owner = Monitor(http, cluster.a.url, {"X-Client-Token": ALPHA})
        data = await owner.data("GET", "/api/health/metrics")
        assert "/" not in data["database"]["storage_path"]
