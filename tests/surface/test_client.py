"""surfaces.md 1.2: what a client with a token may do."""

import re
import uuid
from datetime import datetime
from typing import Any

import pytest

from tests.surface.conftest import NEVER, TASK
from tests.system.callers import Api, PlainWorker

JOB_FIELDS = {
    "id", "job_id", "blueprint_name", "status", "current_state", "initial_data", "state_history", "error_message",
    "webhook_url", "current_task_id", "task_worker_id", "retry_count", "batch_id", "created_at", "started_at",
    "finished_at", "updated_at",
}  # fmt: skip
EVENT_FIELDS = {
    "event_id", "job_id", "timestamp", "event_type", "state", "previous_state", "next_state", "task_id", "worker_id",
    "attempt_number", "duration_ms", "details",
}  # fmt: skip
EVENT_TYPES = {
    "job_created", "state_entered", "task_dispatched", "task_started", "task_finished", "task_retried",
    "approval_requested", "approval_received", "cancel_requested", "job_finished", "job_failed", "job_quarantined",
    "job_cancelled",
}  # fmt: skip
WORKER_FIELDS = {
    "worker_id", "worker_type", "supported_tasks", "status", "load", "current_tasks", "max_concurrent_tasks",
    "cost_per_second", "resources", "capabilities", "registered_at", "last_seen_at",
}  # fmt: skip
STATUSES = {
    "pending", "running", "waiting_for_worker", "waiting_for_parallel_tasks", "waiting_for_human", "waiting", "paused",
    "finished", "failed", "cancelled", "quarantined",
}  # fmt: skip


def moment(text: str) -> datetime:
    assert text.endswith("Z")
    return datetime.fromisoformat(text)


async def test_a_job_is_accepted_and_found_at_once(client: Api) -> None:
    body = {"initial_data": {"a": [1, {"ü": None}]}, "webhook_url": "http://127.0.0.1:9/hook", "unknown": "member"}
    reply = await client.call("POST", "/api/v1/jobs/simple_flow", body)
    assert (reply.status, set(reply.body)) == (202, {"status", "job_id"})
    assert reply.body["status"] == "accepted"
    job_id = reply.body["job_id"]
    assert str(uuid.UUID(job_id)) == job_id
    assert uuid.UUID(job_id).version == 7
    assert reply.headers["Location"] == f"/api/v1/jobs/{job_id}"
    job = await client.job(job_id)
    assert set(job) >= JOB_FIELDS
    assert (job["id"], job["job_id"], job["blueprint_name"]) == (job_id, job_id, "simple_flow")
    assert (job["initial_data"], job["webhook_url"]) == (body["initial_data"], body["webhook_url"])
    assert (job["status"], job["state_history"], job["retry_count"]) == ("waiting_for_worker", {}, 0)
    assert (job["error_message"], job["batch_id"], job["task_worker_id"]) == (None, None, None)
    assert job["current_task_id"]
    assert job["finished_at"] is None
    assert moment(job["created_at"]) <= moment(job["updated_at"])


@pytest.mark.parametrize("body", [b"", b"{}", b'{"initial_data": {}}', b'{"webhook_url": null}'])
async def test_no_body_means_no_data(client: Api, body: bytes) -> None:
    reply = await client.call("POST", "/api/v1/jobs/simple_flow", data=body)
    assert reply.status == 202
    assert (await client.job(reply.body["job_id"]))["initial_data"] == {}


async def test_the_content_type_of_json_is_not_checked(client: Api) -> None:
    reply = await client.call("POST", "/api/v1/jobs/simple_flow", data=b"{}", headers={"Content-Type": "text/plain"})
    assert reply.status == 202


async def test_a_task_nobody_supports_waits_until_a_worker_appears(client: Api, new_worker: PlainWorker) -> None:
    job_id = await client.start("simple_flow", n=1)
    assert (await client.job(job_id))["status"] == "waiting_for_worker"
    await new_worker.register(TASK)
    task = await new_worker.take()
    job = await client.job(job_id)
    assert (job["task_worker_id"], job["current_task_id"]) == (new_worker.worker_id, task["task_id"])
    assert moment(job["started_at"]) >= moment(job["created_at"])
    await new_worker.report(task, data={"answer": 42})
    job = await client.end_of(job_id)
    assert (job["status"], job["state_history"], job["error_message"]) == ("finished", {"answer": 42}, None)
    assert moment(job["finished_at"]) >= moment(job["started_at"])


async def test_unknown_jobs_versions_endpoints_and_blueprints_are_404(client: Api) -> None:
    for path in (f"/api/v1/jobs/{NEVER}", "/api/v1/jobs/nonsense", f"/api/v1/jobs/{NEVER}/history"):
        reply = await client.call("GET", path)
        assert (reply.status, reply.body["detail"], reply.body["error"]) == (404, "Job not found", "Job not found")
    for path in ("/api/v9/jobs/simple_flow", "/api/v1/jobs/other_flow", "/api/v1/simple_flow", "/api/v1/jobs/a/b/c"):
        assert (await client.call("POST", path, {})).status == 404, path
    assert (await client.call("GET", "/api/v1/blueprints/none/graph")).body["code"] == "blueprint_not_found"
    assert (await client.call("POST", f"/api/v1/jobs/{NEVER}/cancel")).status == 404


async def test_a_wrong_method_is_405_with_allow_and_a_blueprints_url_is_404_for_others(client: Api) -> None:
    for method, path, allow in (
        ("DELETE", "/api/v1/workers", "GET"),
        ("POST", "/api/v1/dashboard", "GET"),
        ("GET", f"/api/v1/jobs/{NEVER}/cancel", "POST"),
        ("PUT", "/_public/status", "GET"),
    ):
        reply = await client.call(method, path)
        assert (reply.status, reply.body["code"]) == (405, "method_not_allowed"), path
        assert allow in reply.headers["Allow"].split(", ")
    assert (await client.call("DELETE", "/api/v1/some/flow")).status == 404
    assert (await client.call("GET", "/no/such/path")).body["code"] == "not_found"


async def test_another_tenants_job_is_not_there(client: Api, other_client: Api) -> None:
    job_id = await client.start("approval_flow")
    for method, rest in (("GET", ""), ("GET", "/history"), ("POST", "/cancel")):
        foreign = await other_client.call(method, f"/api/v1/jobs/{job_id}{rest}")
        unknown = await other_client.call(method, f"/api/v1/jobs/{NEVER}{rest}")
        assert foreign.status == 404
        assert foreign.raw.replace(job_id.encode(), b"") == unknown.raw.replace(NEVER.encode(), b"")
    assert (await client.job(job_id))["status"] == "waiting_for_human"


async def test_history_tells_the_whole_story_oldest_first(client: Api, worker: PlainWorker) -> None:
    job_id = await client.start("simple_flow")
    task = await worker.take()
    await worker.report(task, data={"x": 1})
    await client.end_of(job_id)
    events: list[dict[str, Any]] = (await client.call("GET", f"/api/v1/jobs/{job_id}/history")).body
    kinds = [event["event_type"] for event in events]
    assert kinds[0] == "job_created"
    assert kinds[-1] == "job_finished"
    assert set(kinds) <= EVENT_TYPES
    assert [k for k in kinds if k.startswith("task_")] in (
        ["task_dispatched", "task_finished"],
        ["task_dispatched", "task_started", "task_finished"],
        ["task_started", "task_finished"],
    )
    assert all(set(event) >= EVENT_FIELDS for event in events)
    assert {event["job_id"] for event in events} == {job_id}
    assert len({event["event_id"] for event in events}) == len(events)
    assert [event["timestamp"] for event in events] == sorted(event["timestamp"] for event in events)
    finished = next(event for event in events if event["event_type"] == "task_finished")
    assert (finished["task_id"], finished["worker_id"]) == (task["task_id"], worker.worker_id)
    assert isinstance(finished["details"], dict)


async def test_the_graph_is_dot_with_every_state_and_word(client: Api) -> None:
    reply = await client.call("GET", "/api/v1/blueprints/approval_flow/graph")
    text = reply.raw.decode()
    assert (reply.status, reply.headers["Content-Type"].split(";")[0]) == (200, "text/vnd.graphviz")
    assert text.startswith("digraph")
    for word in ("review", "finished", "failed", "approved", "rejected"):
        assert word in text


async def test_workers_are_listed_with_all_they_told_and_no_token(client: Api, new_worker: PlainWorker) -> None:
    assert (await client.call("GET", "/api/v1/workers")).body == []
    described = {
        "worker_type": "gpu", "resources": {"gpu": 1}, "capabilities": {"websockets": True}, "max_concurrent_tasks": 4,
        "cost_per_second": 0.25, "address": "10.0.0.1", "installed_software": {"ffmpeg": "7"}, "runtimes": ["sh"],
    }  # fmt: skip
    await new_worker.register(TASK, "other", **described)
    listed = await client.call("GET", "/api/v1/workers")
    (found,) = listed.body
    assert set(found) >= WORKER_FIELDS
    assert (found["worker_id"], found["supported_tasks"], found["status"]) == (
        new_worker.worker_id,
        [TASK, "other"],
        "idle",
    )
    for member in ("worker_type", "resources", "capabilities", "max_concurrent_tasks", "cost_per_second"):
        assert found[member] == described[member]
    assert (found["load"], found["current_tasks"]) == (0, [])
    assert moment(found["registered_at"]) <= moment(found["last_seen_at"])
    assert b"token" not in listed.raw


async def test_the_dashboard_counts_workers_jobs_and_tasks(client: Api, worker: PlainWorker) -> None:
    await client.start("approval_flow")
    await client.start("simple_flow")
    await client.start("simple_flow")
    await worker.take()
    await worker.beat(status="busy")
    counts = (await client.call("GET", "/api/v1/dashboard")).body
    assert counts["workers"] == {"total": 1, "idle": 0, "busy": 1}
    assert set(counts["jobs"]) == {"queued", *STATUSES}
    assert (counts["jobs"]["waiting_for_human"], counts["jobs"]["waiting_for_worker"]) == (1, 2)
    assert counts["tasks"] == {"queued": 1, "running": 1}
    moment(counts["timestamp"])


async def test_cancelling_answers_by_who_took_the_command(client: Api, worker: PlainWorker) -> None:
    unfetched = await client.start("simple_flow")
    reply = await client.cancel(unfetched)
    assert (reply.status, reply.body) == (200, {"status": "cancellation_request_accepted"})
    assert (await client.job(unfetched))["status"] == "cancelled"
    assert await worker.poll(0) is None
    fetched = await client.start("simple_flow")
    task = await worker.take()
    url = f"{worker.url}/_worker/ws/{worker.worker_id}"
    async with worker.session.ws_connect(url, headers=worker.headers) as socket:
        assert (await client.cancel(fetched)).body == {"status": "cancellation_request_sent"}
        command = {"command": "cancel_task", "task_id": task["task_id"], "job_id": fetched}
        assert await socket.receive_json(timeout=15) == command
    assert (await client.cancel(fetched)).status == 200
    assert (await worker.report(task)).body == {"status": "result_accepted_cancelled"}
    assert (await client.end_of(fetched))["status"] == "cancelled"
    final = await client.cancel(fetched)
    assert (final.status, final.body["code"]) == (409, "job_final")
    assert "cancel_requested" in await client.events(fetched)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Client-Token": "client-token-of-tenant-alpha"},
        {"X-API-Key": "client-token-of-tenant-alpha"},
        {"Authorization": "Bearer client-token-of-tenant-alpha"},
        {"X-API-Key": "client-token-of-tenant-alpha", "Authorization": "bearer client-token-of-tenant-alpha"},
    ],
)
async def test_a_client_token_may_come_in_any_of_three_headers(anybody: Api, headers: dict[str, str]) -> None:
    assert (await anybody.call("GET", "/api/v1/workers", headers=headers)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Client-Token": ""},
        {"X-Client-Token": "wrong"},
        {"X-Client-Token": "client-token-of-tenant-alpha\u00e9"},
        {"X-Client-Token": "worker-token-of-the-system-tests"},
        {"X-Worker-Token": "worker-token-of-the-system-tests"},
        {"Authorization": "Basic Y2xpZW50OnRva2Vu"},
        {"Authorization": "Bearer"},
        {"X-Client-Token": "client-token-of-tenant-alpha", "X-API-Key": "client-token-of-tenant-beta"},
    ],
)
async def test_without_a_valid_client_token_everything_of_clients_is_401(anybody: Api, headers: dict[str, str]) -> None:
    routes = [
        ("POST", "/api/v1/jobs/simple_flow"), ("GET", f"/api/v1/jobs/{NEVER}"),
        ("POST", f"/api/v1/jobs/{NEVER}/cancel"),
        ("GET", f"/api/v1/jobs/{NEVER}/history"), ("GET", "/api/v1/blueprints/simple_flow/graph"),
        ("GET", "/api/v1/workers"), ("GET", "/api/v1/dashboard"),
        ("GET", "/api/v1/workers?api_key=client-token-of-tenant-alpha"),
    ]  # fmt: skip
    for method, path in routes:
        reply = await anybody.call(method, path, headers=headers)
        assert (reply.status, reply.body["code"]) == (401, "unauthenticated"), path
        assert reply.headers["WWW-Authenticate"] == "Bearer"


async def test_errors_are_problem_documents(client: Api) -> None:
    reply = await client.call("GET", f"/api/v1/jobs/{NEVER}")
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.body["type"] == "about:blank"
    assert (reply.body["title"], reply.body["status"]) == ("Not Found", 404)
    assert (reply.body["detail"], reply.body["error"]) == ("Job not found", "Job not found")
    assert (reply.body["instance"], reply.body["code"]) == (f"/api/v1/jobs/{NEVER}", "job_not_found")


async def test_checks_come_in_the_documented_order(anybody: Api, client: Api, other_client: Api) -> None:
    """Who, then what it says, then whether it exists, then whether it may be: nothing is learned about foreign ids."""
    job_id = await client.start("approval_flow")
    await client.cancel(job_id)
    path = f"/api/v1/jobs/{job_id}/decision"
    assert (await anybody.call("POST", path, data=b"{")).status == 401
    assert (await client.call("POST", path, data=b"{")).status == 400
    assert (await other_client.call("POST", path, data=b"{}")).status == 400
    assert (await other_client.call("POST", path, {"decision": "approved"})).status == 404
    assert (await client.call("POST", path, {"decision": "approved"})).status == 409


async def test_pages_of_every_origin_may_call_in_development(anybody: Api) -> None:
    asked = {"Origin": "https://any.example", "Access-Control-Request-Method": "POST"}
    preflight = await anybody.call("OPTIONS", "/api/v1/jobs/simple_flow", headers=asked)
    assert preflight.status in {200, 204}
    assert preflight.headers["Access-Control-Allow-Origin"] == "*"
    allowed = preflight.headers["Access-Control-Allow-Headers"].lower()
    assert all(name in allowed for name in ("x-client-token", "x-api-key", "authorization"))
    plain = await anybody.call("GET", "/_public/status", headers={"Origin": "https://any.example"})
    assert plain.headers["Access-Control-Allow-Origin"] == "*"


async def test_times_are_rfc_3339_in_utc(client: Api) -> None:
    job = await client.job(await client.start("simple_flow"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", job["created_at"])
