"""Executions over the API of document 003."""

import asyncio
import sys
from typing import Any

import pytest
from muster.surfaces.monitor import models
from muster.surfaces.paging import PAGE_BYTES_MAX

from tests.conformance.monitor.conftest import NEVER, Monitor
from tests.system.callers import until
from tests.system.processes import Cluster

STEPS = (
    "echo 'STEP_START:load [duration=60] [description=reads it]'; echo one; echo 'STEP_COMPLETE:load'; "
    "echo 'STEP_START:train'; echo two >&2; echo 'META:accuracy:0.9'; echo three > result.csv; "
    "echo 'ARTIFACT:result.csv:the result'; echo 'STEP_COMPLETE:train'; echo 'META:rows:3'"
)


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


async def test_an_execution_is_accepted_with_its_id_and_runs(client: Monitor) -> None:
    body = {
        "name": "My Script Execution",
        "command": f"{sys.executable} -c \"import os; print(os.environ['MODEL_TYPE'])\"",
        "environment": {"MODEL_TYPE": "neural_network"},
        "tags": ["ml", "training"],
        "metadata": {"project": "image_classification", "version": "1.0"},
    }
    reply = await client.call("POST", "/api/executions", body)
    assert reply.status == 201
    made = reply.body["data"]
    assert set(made) == {"execution_id", "status", "created_at"}
    assert made["status"] == "pending"
    assert reply.headers["Location"] == f"/api/executions/{made['execution_id']}"
    execution = (await client.ended(made["execution_id"]))["execution"]
    assert {name: execution[name] for name in body} == body
    assert execution["created_at"] == made["created_at"]
    assert (execution["status"], execution["exit_code"], execution["error_message"]) == ("completed", 0, None)
    lines = await client.lines(made["execution_id"])
    assert [line["text"] for line in lines] == ["neural_network"]


async def test_an_execution_has_the_19_documented_members(client: Monitor) -> None:
    execution = (await client.done(shell(STEPS)))["execution"]
    assert set(execution) == set(models.Execution.model_fields)
    assert len(execution) == 19
    models.Execution.model_validate(execution)
    assert execution["user"] == client.tenant
    assert execution["total_steps"] == execution["completed_steps"] == 2
    assert (execution["current_step_index"], execution["progress_percentage"]) == (1, 100.0)
    assert execution["created_at"] <= execution["started_at"] <= execution["completed_at"]
    assert execution["duration_seconds"] >= 0
    assert execution["metadata"] == {"rows": "3"}


async def test_only_the_command_is_needed(client: Monitor) -> None:
    execution = (await client.done("echo hello"))["execution"]
    assert (execution["name"], execution["command"]) == ("echo hello", "echo hello")
    assert (execution["environment"], execution["tags"], execution["metadata"]) == ({}, [], {})
    assert (execution["total_steps"], execution["current_step_index"]) == (0, -1)
    assert execution["progress_percentage"] == 100.0


async def test_a_command_is_split_as_a_shell_would_and_run_without_one(client: Monitor) -> None:
    execution_id = await client.run("echo 'a  b' $HOME > x")
    await client.ended(execution_id)
    assert [line["text"] for line in await client.lines(execution_id)] == ["a  b $HOME > x"]


async def test_a_command_may_be_an_array(client: Monitor) -> None:
    execution_id = await client.run(["echo", "a  b"])
    assert (await client.ended(execution_id))["execution"]["command"] == "echo 'a  b'"
    assert [line["text"] for line in await client.lines(execution_id)] == ["a  b"]


async def test_a_command_that_fails_says_how(client: Monitor) -> None:
    execution = (await client.done(shell("exit 3")))["execution"]
    assert (execution["status"], execution["exit_code"]) == ("failed", 3)
    assert execution["error_message"] == "command exited with status 3"


async def test_a_command_that_takes_too_long_fails(client: Monitor) -> None:
    execution = (await client.done("sleep 30", timeout=0.3))["execution"]
    assert (execution["status"], execution["exit_code"]) == ("failed", -1)


async def test_a_relative_directory_lies_inside_the_tasks_own(client: Monitor) -> None:
    execution = (await client.done("pwd", working_directory="."))["execution"]
    assert (execution["status"], execution["working_directory"]) == ("completed", ".")


async def test_an_absolute_directory_that_no_worker_allows_fails_the_execution(client: Monitor) -> None:
    execution = (await client.done("pwd", working_directory="/workspace"))["execution"]
    assert (execution["status"], execution["working_directory"]) == ("failed", "/workspace")
    assert "/workspace" in execution["error_message"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "x"},
        {"command": ""},
        {"command": "   "},
        {"command": []},
        {"command": [""]},
        {"command": "echo 'unbalanced"},
        {"command": 7},
        {"command": "a\0b"},
        {"command": "echo", "name": 7},
        {"command": "echo", "working_directory": []},
        {"command": "echo", "environment": ["A"]},
        {"command": "echo", "environment": {"A": 1}},
        {"command": "echo", "environment": {"A-B": "1"}},
        {"command": "echo", "tags": "ml"},
        {"command": "echo", "tags": [1]},
        {"command": "echo", "metadata": []},
        {"command": "echo", "timeout": 0},
        {"command": "echo", "timeout": "5"},
    ],
)
async def test_a_body_that_is_not_valid_is_400(client: Monitor, body: dict[str, Any]) -> None:
    assert await client.error("POST", "/api/executions", body, status=400)
    assert (await client.listed())["total_count"] == 0


@pytest.mark.parametrize("data", [b"{", b"[]", b'"echo"', b"\xff", b""])
async def test_malformed_json_is_400(client: Monitor, data: bytes) -> None:
    assert await client.error("POST", "/api/executions", status=400, data=data)


async def test_a_body_over_the_limit_is_413(client: Monitor) -> None:
    assert await client.error("POST", "/api/executions", {"command": "a" * (1 << 20)}, status=413)


async def test_unknown_members_are_ignored_and_null_means_not_given(client: Monitor) -> None:
    execution = (await client.done("true", name=None, tags=None, environment=None, metadata=None, extra=1))["execution"]
    assert (execution["name"], execution["tags"], execution["environment"]) == ("true", [], {})


async def test_details_have_steps_by_index_with_the_15_documented_members(client: Monitor) -> None:
    details = await client.done(shell(STEPS))
    execution_id = details["execution"]["id"]
    steps = details["steps"]
    assert [(step["index"], step["name"], step["status"]) for step in steps] == [
        (0, "load", "completed"),
        (1, "train", "completed"),
    ]
    for step in steps:
        assert set(step) == set(models.Step.model_fields)
        assert len(step) == 15
        models.Step.model_validate(step)
        assert step["execution_id"] == execution_id
        assert step["started_at"] <= step["completed_at"]
        assert step["duration_seconds"] >= 0
    assert len({step["id"] for step in steps}) == 2
    assert (steps[0]["description"], steps[0]["estimated_duration"]) == ("reads it", 60.0)
    assert (steps[0]["exit_code"], steps[0]["stop_on_error"]) == (0, False)
    assert steps[1]["metadata"] == {"accuracy": "0.9"}


async def test_details_have_the_artifacts_of_its_steps(client: Monitor) -> None:
    details = await client.done(shell(STEPS))
    (artifact,) = details["artifacts"]
    models.Artifact.model_validate(artifact)
    assert artifact["step_id"] == details["steps"][1]["id"]
    assert (artifact["name"], artifact["description"]) == ("result.csv", "the result")


async def test_a_step_that_fails_says_why(client: Monitor) -> None:
    script = "echo 'STEP_START:load [stop_on_error=true]'; echo 'STEP_ERROR:no such table'; sleep 30"
    details = await client.done(shell(script))
    (step,) = details["steps"]
    assert (step["status"], step["exit_code"], step["error_message"]) == ("failed", 1, "no such table")
    assert step["stop_on_error"] is True
    execution = details["execution"]
    assert (execution["status"], execution["completed_steps"]) == ("failed", 0)
    assert execution["progress_percentage"] == 0.0


async def test_a_running_execution_shows_its_open_step(client: Monitor) -> None:
    execution_id = await client.run(shell("echo STEP_START:a; echo STEP_START:b; sleep 300"))

    async def in_b() -> bool:
        return len((await client.details(execution_id))["steps"]) == 2

    await until(in_b, "the second step has begun")
    details = await client.details(execution_id)
    assert [step["status"] for step in details["steps"]] == ["completed", "running"]
    execution = details["execution"]
    assert (execution["status"], execution["exit_code"]) == ("running", None)
    assert (execution["completed_at"], execution["duration_seconds"]) == (None, None)
    assert (execution["total_steps"], execution["completed_steps"], execution["current_step_index"]) == (2, 1, 1)
    assert execution["progress_percentage"] == 50.0
    await client.cancel(execution_id)
    details = await client.ended(execution_id)
    assert details["execution"]["status"] == "cancelled"
    assert details["execution"]["exit_code"] is None
    assert details["steps"][1]["status"] == "failed"


async def test_executions_are_listed_newest_first_by_pages(client: Monitor) -> None:
    made = [await client.run("true") for _ in range(3)]
    page = await client.listed("?limit=2")
    assert [execution["id"] for execution in page["executions"]] == [made[2], made[1]]
    assert (page["total_count"], page["has_more"]) == (3, True)
    page = await client.listed("?limit=2&offset=2")
    assert [execution["id"] for execution in page["executions"]] == [made[0]]
    assert (page["total_count"], page["has_more"]) == (3, False)
    page = await client.listed("?offset=5")
    assert (page["executions"], page["total_count"], page["has_more"]) == ([], 3, False)
    assert set(page) == {"executions", "total_count", "has_more"}


async def test_a_listed_execution_is_as_in_its_details(client: Monitor) -> None:
    details = await client.done(shell(STEPS), name="one")
    assert (await client.listed())["executions"] == [details["execution"]]


async def test_executions_are_found_by_each_of_the_five_statuses(client: Monitor) -> None:
    completed = (await client.done("true"))["execution"]["id"]
    failed = (await client.done("false"))["execution"]["id"]
    running = await client.run("sleep 300")
    await client.reaches(running, "running")
    cancelled = await client.run("sleep 300")
    await client.reaches(cancelled, "running")
    await client.cancel(cancelled)
    await client.ended(cancelled)
    pending = await client.start("simple_flow")
    for status, execution_id in (
        ("completed", completed),
        ("failed", failed),
        ("running", running),
        ("cancelled", cancelled),
        ("pending", pending),
    ):
        page = await client.listed(f"?status={status}")
        assert [execution["id"] for execution in page["executions"]] == [execution_id]
        assert page["executions"][0]["status"] == status
        assert (page["total_count"], page["has_more"]) == (1, False)
    await client.cancel(running)


async def test_executions_of_another_user_are_none(client: Monitor) -> None:
    await client.run("true")
    assert (await client.listed(f"?user={client.tenant}"))["total_count"] == 1
    page = await client.listed("?user=developer")
    assert (page["executions"], page["total_count"], page["has_more"]) == ([], 0, False)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "limit=1.5", "limit=-1", "limit=", "offset=-1", "offset=x",
              "status=queued", "status="],
)  # fmt: skip
async def test_a_parameter_out_of_bounds_is_400(client: Monitor, query: str) -> None:
    assert query.partition("=")[0] in await client.error("GET", f"/api/executions?{query}", status=400)


async def test_a_thousand_at_once_may_be_asked_for(client: Monitor) -> None:
    assert (await client.listed("?limit=1000"))["executions"] == []


async def test_jobs_of_other_blueprints_are_executions_whose_steps_are_states(client: Monitor) -> None:
    job_id = await client.start("approval_flow")
    await client.is_(job_id, "waiting_for_human")
    details = await client.details(job_id)
    execution = details["execution"]
    assert (execution["name"], execution["command"], execution["status"]) == ("approval_flow", "", "running")
    for step in details["steps"]:
        models.Step.model_validate(step)
    assert [step["index"] for step in details["steps"]] == list(range(len(details["steps"])))
    assert details["steps"][-1]["status"] == "running"
    reply = await client.call("POST", f"/api/v1/jobs/{job_id}/decision", {"decision": "rejected"})
    assert reply.status == 200
    details = await client.ended(job_id)
    assert details["execution"]["status"] == "failed"
    assert details["steps"][-1]["status"] == "failed"
    assert {step["status"] for step in details["steps"]} <= {"completed", "failed"}
    assert len({step["name"] for step in details["steps"]}) == len(details["steps"])


async def test_a_command_of_the_core_is_an_execution_too(client: Monitor) -> None:
    job_id = await client.start("command", argv=["echo", "a b"], environment={"A": "1"})
    execution = (await client.ended(job_id))["execution"]
    assert (execution["command"], execution["name"]) == ("echo 'a b'", "echo 'a b'")
    assert execution["environment"] == {"A": "1"}
    job_id = await client.start("command", script_content="print(1)", runtime="python:3.11", args=["x y"])
    assert (await client.details(job_id))["execution"]["command"] == "python:3.11 'x y'"


async def test_an_execution_is_a_job_of_the_core(client: Monitor) -> None:
    execution_id = await client.run("true", name="n")
    job = await client.end_of(execution_id)
    assert (job["blueprint_name"], job["status"]) == ("command", "finished")
    assert job["initial_data"]["labels"]["name"] == "n"


async def test_a_deleted_execution_is_gone_everywhere(client: Monitor, cluster: Cluster) -> None:
    details = await client.done(shell(STEPS))
    execution_id, artifact_id = details["execution"]["id"], details["artifacts"][0]["id"]
    files = len(cluster.files())
    gone = await client.data("DELETE", f"/api/executions/{execution_id}")
    assert gone == {"message": "Execution deleted successfully"}
    for path in (f"/api/executions/{execution_id}", f"/api/artifacts/{artifact_id}"):
        await client.error("GET", path, status=404)
    for path in ("", "/logs", "/steps", "/history", "/artifacts"):
        assert (await client.call("GET", f"/api/v1/jobs/{execution_id}{path}")).status == 404
    assert (await client.listed())["total_count"] == 0
    assert len(cluster.files()) == files - 1
    await client.error("DELETE", f"/api/executions/{execution_id}", status=404)


async def test_an_active_execution_is_cancelled_before_it_is_deleted(client: Monitor) -> None:
    execution_id = await client.run(shell("echo on; sleep 300"))
    await client.reaches(execution_id, "running")
    async with client.socket() as frames:
        await frames.subscribe(execution_id)
        deleting = asyncio.create_task(client.data("DELETE", f"/api/executions/{execution_id}"))
        completed = (await frames.until("execution_completed", execution_id=execution_id))[-1]
        assert completed["data"]["status"] == "cancelled"
        await deleting
    await client.error("GET", f"/api/executions/{execution_id}", status=404)


@pytest.mark.parametrize("execution_id", [NEVER, "uuid-string", "..%2f..", "%00", "a" * 2000])
async def test_an_unknown_execution_is_404(client: Monitor, execution_id: str) -> None:
    for method in ("GET", "DELETE"):
        assert await client.error(method, f"/api/executions/{execution_id}", status=404) == "Execution not found"


async def test_another_tenants_execution_is_not_there(client: Monitor, other_client: Monitor) -> None:
    execution_id = await client.run("true")
    for method in ("GET", "DELETE"):
        text = await other_client.error(method, f"/api/executions/{execution_id}", status=404)
        assert text == "Execution not found"
    assert (await other_client.listed())["total_count"] == 0
    assert (await client.listed())["total_count"] == 1


async def test_who_has_no_key_is_the_anonymous_tenant_in_development(anybody: Monitor, client: Monitor) -> None:
    execution_id = await anybody.run("true")
    assert (await anybody.details(execution_id))["execution"]["user"] == "anonymous"
    await client.error("GET", f"/api/executions/{execution_id}", status=404)


@pytest.mark.parametrize(
    "headers", [{"X-Client-Token": "wrong"}, {"Authorization": "Basic eA=="}, {"Authorization": "Bearer wrong"}]
)
async def test_a_wrong_key_is_never_taken_for_none(anybody: Monitor, headers: dict[str, str]) -> None:
    for method, path in (("GET", "/api/executions"), ("GET", "/api/artifacts"), ("GET", "/api/health/status")):
        reply = await anybody.call(method, path, headers=headers)
        assert (reply.status, reply.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert reply.body["success"] is False


async def test_everything_but_health_needs_a_key_where_that_is_switched_on(stranger: Monitor) -> None:
    for method, path in (
        ("GET", "/api/executions"),
        ("POST", "/api/executions"),
        ("GET", f"/api/executions/{NEVER}"),
        ("DELETE", f"/api/executions/{NEVER}"),
        ("GET", "/api/artifacts"),
        ("POST", "/api/artifacts"),
        ("GET", "/api/artifacts/x"),
        ("GET", "/api/artifacts/x/download"),
        ("DELETE", "/api/artifacts/x"),
        ("GET", "/api/health/status"),
        ("GET", "/api/health/metrics"),
        ("GET", "/api/health/database"),
        ("POST", "/api/health/optimize"),
    ):
        assert await stranger.error(method, path, status=401)
    assert await stranger.data("GET", "/api/health")


async def test_a_key_may_come_in_any_of_the_three_headers(client: Monitor) -> None:
    key = client.headers["X-Client-Token"]
    for headers in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}):
        caller = Monitor(client.session, client.url, headers)
        execution = (await caller.ended(await caller.run("true")))["execution"]
        assert execution["user"] == client.tenant


async def test_a_key_in_the_url_of_a_plain_request_is_not_looked_at(stranger: Monitor, client: Monitor) -> None:
    key = client.headers["X-Client-Token"]
    assert await stranger.error("GET", f"/api/executions?api_key={key}", status=401)


async def test_errors_have_the_envelope_whoever_found_them(client: Monitor) -> None:
    reply = await client.call("PUT", "/api/executions")
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD, POST")
    assert set(reply.body) == {"success", "data", "error", "timestamp"}
    for path in ("/api/executions/a/b", "/api/artifacts/a/b", "/api/health/unknown"):
        assert await client.error("GET", path, status=404)
    elsewhere = await client.call("GET", "/api/healthy")
    assert (elsewhere.status, elsewhere.headers["Content-Type"]) == (404, "application/problem+json")


async def test_pages_of_every_origin_may_call_in_development(anybody: Monitor) -> None:
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    preflight = await anybody.call("OPTIONS", "/api/executions", headers=asked)
    assert (preflight.status, preflight.headers["Access-Control-Allow-Origin"]) == (204, "*")
    reply = await anybody.call("GET", "/api/executions", headers={"Origin": "https://a.example"})
    assert reply.headers["Access-Control-Allow-Origin"] == "*"


async def test_there_is_no_rate_limit(client: Monitor) -> None:
    replies = await asyncio.gather(*(client.call("GET", "/api/executions?limit=1") for _ in range(200)))
    assert {reply.status for reply in replies} == {200}


@pytest.mark.parametrize("value", [None, 7, "text", ["a", 1], {"a": {"b": 1}}, True], ids=str)
async def test_a_job_may_say_anything_of_itself_and_is_shown(client: Monitor, value: Any) -> None:
    names = (
        *("name", "command", "tags", "metadata", "environment", "type", "schema"),
        *("batch_id", "user_metadata", "input_files", "uploads"),
    )
    labels = {**dict.fromkeys(names, value), "surface": "monitor"}
    execution_id = await client.start("command", argv=["true"], labels=labels)
    shown = (await client.details(execution_id))["execution"]
    assert models.Execution.model_validate(shown)
    assert (await client.listed())["executions"][0]["id"] == execution_id


async def test_a_page_of_very_large_executions_ends_early_and_says_so(client: Monitor) -> None:
    whole = [await client.run("true", metadata={"a": "x" * 900_000}) for _ in range(20)][::-1]
    seen: list[str] = []
    has_more = True
    while has_more:
        reply = await client.call("GET", f"/api/executions?offset={len(seen)}")
        assert len(reply.raw) <= PAGE_BYTES_MAX + 10_000
        assert reply.body["data"]["total_count"] == len(whole)
        seen += [execution["id"] for execution in reply.body["data"]["executions"]]
        has_more = reply.body["data"]["has_more"]
        assert has_more is (len(seen) < len(whole))
    assert seen == whole
