"""POST /run_selected, and the status and end of what it starts."""

from tests.conformance.connections.conftest import Pipelines, Source

BATCH = {"status", "kind", "canceled", "started_at", "finished_at", "active", "connections", "current", "completed"}


async def started(client: Pipelines) -> str:
    body = await client.ok("POST", "/run_selected")
    assert set(body) == {"message", "task_id", "connections"}
    task_id: str = body["task_id"]
    return task_id


async def test_all_enabled_connections_are_run_one_after_the_other(client: Pipelines, source: Source) -> None:
    body = await client.ok("POST", "/run_selected")
    assert body["connections"] == ["trello", "slow_source"]
    assert "2 connections" in body["message"]
    running = await client.reaches(body["task_id"], "running", current="slow_source")
    assert set(running) == BATCH
    assert (running["kind"], running["connections"]) == ("batch", ["trello", "slow_source"])
    assert (running["completed"], running["active"], running["canceled"]) == (["trello"], True, False)
    assert running["finished_at"] is None
    source.answers()
    done = await client.reaches(body["task_id"], "finished")
    assert (done["completed"], done["current"]) == (["trello", "slow_source"], None)
    assert (done["active"], done["canceled"]) == (False, False)
    assert done["finished_at"] >= done["started_at"]
    second, first = await client.ok("GET", "/history")
    assert (first["connection_name"], second["connection_name"]) == ("trello", "slow_source")
    assert first["finished_at"] <= second["started_at"]
    assert first["success"] is second["success"] is True


async def test_a_member_that_fails_does_not_stop_the_batch(mixed: Pipelines) -> None:
    body = await mixed.ok("POST", "/run_selected")
    names = ["trello", "slow_source", "failing", "after"]
    assert body["connections"] == names
    done = await mixed.reaches(body["task_id"], "finished")
    assert done["completed"] == names
    rows = await mixed.ok("GET", "/history?limit=4")
    assert [(row["connection_name"], row["success"]) for row in rows] == [
        ("after", True),
        ("failing", False),
        ("slow_source", True),
        ("trello", True),
    ]


async def test_a_cancelled_batch_stops_its_member_and_starts_no_more(mixed: Pipelines, source: Source) -> None:
    task_id = await started(mixed)
    await mixed.reaches(task_id, "running", current="slow_source")
    reply = await mixed.call("POST", f"/cancel_task/{task_id}")
    assert (reply.status, reply.body) == (200, {"message": f"Cancel signal sent to task {task_id}"})
    done = await mixed.reaches(task_id, "cancelled")
    assert (done["canceled"], done["active"], done["current"]) == (True, False, None)
    assert done["finished_at"] is not None
    (newest, *_) = await mixed.ok("GET", "/history")
    assert (newest["connection_name"], newest["error"]) == ("slow_source", "cancelled")
    again = await mixed.call("POST", f"/cancel_task/{task_id}")
    assert (again.status, again.body["code"]) == (404, "job_not_found")


async def test_a_batch_that_waits_for_a_worker_can_be_cancelled(lonely: Pipelines) -> None:
    task_id = await started(lonely)
    await lonely.ok("POST", f"/cancel_task/{task_id}")
    done = await lonely.reaches(task_id, "cancelled")
    assert (done["completed"], done["connections"]) == ([], ["trello", "slow_source"])


async def test_a_batch_of_another_tenant_is_an_unknown_one(client: Pipelines, other: Pipelines, source: Source) -> None:
    task_id = await started(client)
    assert (await other.call("GET", f"/task_status/{task_id}")).status == 404
    assert (await other.call("POST", f"/cancel_task/{task_id}")).status == 404
    await client.ok("POST", f"/cancel_task/{task_id}")


async def test_a_batch_that_is_over_cannot_be_cancelled(client: Pipelines) -> None:
    task_id = await started(client)
    await client.reaches(task_id, "finished")
    assert (await client.call("POST", f"/cancel_task/{task_id}")).status == 404


async def test_a_batch_is_not_a_run_and_not_in_the_history(client: Pipelines) -> None:
    task_id = await started(client)
    await client.reaches(task_id, "finished")
    assert task_id not in [row["run_id"] for row in await client.ok("GET", "/history")]


async def test_where_none_is_enabled_there_is_no_batch(lone_file: Pipelines) -> None:
    body = await lone_file.ok("POST", "/run_selected")
    assert (body["connections"], body["task_id"]) == ([], None)
    assert body["message"]
    assert await lone_file.ok("GET", "/pipelines?only_enabled=true") == []


async def test_a_job_that_only_carries_the_tag_of_batches_is_none(client: Pipelines) -> None:
    body = {"initial_data": {"argv": ["true"]}, "tags": ["connection-batch"]}
    reply = await client.call("POST", "/api/v1/jobs/command", body)
    assert reply.status == 202, reply
    for method, path in (("GET", "/task_status/"), ("POST", "/cancel_task/")):
        assert (await client.call(method, f"{path}{reply.body['job_id']}")).status == 404
