"""surfaces.md 3: executions are made, read, listed and run again."""

from datetime import datetime
from typing import Any

import pytest
from muster.surfaces.executions.models import Execution

from tests.conformance.executions.conftest import NEVER, PRICE, RUNTIME, WORKER, Client, new_client
from tests.system.callers import Caller, PlainWorker

SCRIPT = "print('hi')"


async def test_a_script_runs_and_its_execution_tells_what_came_of_it(client: Client) -> None:
    made = await client.run("import sys\nprint('hi')\nprint('oh', file=sys.stderr)")
    done = await client.ended(made)
    assert done["execution_id"] == made["execution_id"]
    assert (done["status"], done["exit_code"], done["execution_error"]) == ("completed", 0, None)
    assert (done["stdout"], done["stderr"], done["output_truncated"]) == ("hi\n", "oh\n", False)
    assert done["created_at"] <= done["started_at"] <= done["completed_at"]
    for name in ("created_at", "started_at", "completed_at", "cost_finalized_at"):
        assert done[name].endswith("Z")
        datetime.fromisoformat(done[name])
    assert isinstance(done["duration_seconds"], int)
    assert done["worker_hostname"] == WORKER
    assert (done["retry_count"], done["max_retries"], done["execution_metadata"]) == (0, 0, {})


async def test_what_an_execution_is_when_it_is_made(client: Client) -> None:
    members = {
        "args": ["1", "b c"],
        "env_vars": {"A": "x"},
        "timeout_seconds": 20,
        "user_metadata": {"k": "v"},
        "batch_id": "b1",
    }
    made = await client.run(SCRIPT, runtime=RUNTIME, **members)
    Execution.model_validate(made)
    assert set(made) == set(Execution.model_fields)
    assert made["script_content"] == SCRIPT
    assert made["runtime"] == RUNTIME
    assert {name: made[name] for name in members} == members
    assert (made["status"], made["exit_code"], made["started_at"], made["completed_at"]) == ("queued", None, None, None)
    assert (made["input_files"], made["upload_urls"], made["download_urls"]) == ([], None, None)
    assert (made["cost_micros"], made["finalized_cost_micros"], made["cost_finalized_at"]) == (0, None, None)


async def test_members_have_their_defaults(client: Client) -> None:
    made = await client.run(SCRIPT)
    assert (made["runtime"], made["args"], made["env_vars"], made["timeout_seconds"]) == (RUNTIME, [], {}, 300)
    assert (made["input_files"], made["batch_id"], made["user_metadata"]) == ([], None, None)


async def test_a_script_gets_its_arguments_and_environment(client: Client) -> None:
    script = "import os, sys\nprint(sys.argv[1:], os.environ['COLOUR'], os.environ.get('MUSTER_WORKER_TOKEN'))"
    done = await client.done(script, args=["a", "b c", ""], env_vars={"COLOUR": "blue"})
    assert done["stdout"] == "['a', 'b c', ''] blue None\n"


async def test_a_script_that_exits_with_a_status_has_failed(client: Client) -> None:
    done = await client.done("import sys\nprint('so far')\nsys.exit(3)")
    assert (done["status"], done["exit_code"]) == ("failed", 3)
    assert done["execution_error"] == "command exited with status 3"
    assert done["stdout"] == "so far\n"


async def test_a_script_that_takes_too_long_is_ended(client: Client) -> None:
    done = await client.done("import time\ntime.sleep(60)", timeout_seconds=1)
    assert (done["status"], done["exit_code"]) == ("failed", -1)
    assert done["execution_error"] == "timed out after 1 s"


async def test_a_cancelled_execution_has_failed_and_says_why(client: Client, quiet: Client) -> None:
    queued = await quiet.run(SCRIPT)
    running = await client.run("import time\nprint('on', flush=True)\ntime.sleep(60)")
    await client.reaches(running, "running")
    for caller, execution in ((quiet, queued), (client, running)):
        assert (await caller.cancel(execution["execution_id"])).status == 200
        done = await caller.ended(execution)
        assert (done["status"], done["execution_error"], done["exit_code"]) == ("failed", "cancelled", None)


async def test_an_execution_is_queued_until_a_worker_has_it_and_then_runs(quiet: Client, hands: PlainWorker) -> None:
    made = await quiet.run(SCRIPT)
    queued = await quiet.execution(made["execution_id"])
    assert (queued["status"], queued["started_at"], queued["worker_hostname"]) == ("queued", None, None)
    task = await hands.take()
    assert (task["type"], task["params"]["script_content"], task["params"]["collect"]) == ("command", SCRIPT, "all")
    running = await quiet.execution(made["execution_id"])
    assert (running["status"], running["worker_hostname"]) == ("running", "hands")
    assert running["started_at"] is not None
    assert (running["completed_at"], running["exit_code"], running["duration_seconds"]) == (None, None, None)
    await hands.say(task, 0, "so far")
    assert (await quiet.execution(made["execution_id"]))["stdout"] == "so far\n"
    await hands.report(task, data={"exit_code": 0})
    done = await quiet.ended(made)
    assert (done["status"], done["exit_code"], done["worker_hostname"]) == ("completed", 0, "hands")


async def test_metadata_markers_are_the_executions_own(client: Client) -> None:
    done = await client.done("print('META:rows:3')\nprint('STEP_START:a')")
    assert done["execution_metadata"]["rows"] in {3, "3"}
    assert done["stdout"] == "META:rows:3\nSTEP_START:a\n"


async def test_more_output_than_a_mebibyte_is_cut(client: Client) -> None:
    done = await client.done("for _ in range(2000): print('x' * 999)")
    assert done["output_truncated"] is True
    assert 900_000 < len(done["stdout"]) <= 1_048_576
    assert done["stderr"] == ""


async def test_a_second_costs_what_the_worker_asks(client: Client) -> None:
    done = await client.done("import time\ntime.sleep(0.3)")
    assert isinstance(done["cost_micros"], int)
    assert 0.3 * PRICE * 1_000_000 <= done["cost_micros"] < 10 * PRICE * 1_000_000
    assert done["finalized_cost_micros"] == done["cost_micros"]
    assert done["cost_finalized_at"] == done["completed_at"]


@pytest.mark.parametrize("name", [RUNTIME, "python", "python3", "python3.11", "python3.12"])
async def test_short_names_of_runtimes_are_understood(client: Client, name: str) -> None:
    made = await client.run(SCRIPT, runtime=name)
    assert made["runtime"] == RUNTIME
    await client.cancel(made["execution_id"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"script_content": None},
        {"script_content": ""},
        {"script_content": 1},
        {"runtime": "cobol:85"},
        {"runtime": "python2.7"},
        {"runtime": ""},
        {"runtime": 3},
        {"args": "a"},
        {"args": [1]},
        {"args": ["a\0b"]},
        {"env_vars": []},
        {"env_vars": {"A": 1}},
        {"env_vars": {"not a name": "x"}},
        {"env_vars": {"MUSTER_URL": "x"}},
        {"timeout_seconds": 0},
        {"timeout_seconds": 3601},
        {"timeout_seconds": 1.5},
        {"timeout_seconds": "10"},
        {"timeout_seconds": True},
        {"input_files": "a"},
        {"input_files": [""]},
        {"input_files": ["a b", "a_b"]},
        {"batch_id": ""},
        {"batch_id": "x" * 129},
        {"batch_id": 7},
        {"requirements_content": 1},
        {"user_metadata": {"a": 1}},
        {"user_metadata": []},
        {"cached_input_refs": {"a": "executions/none/inputs/a"}},
        {"cached_input_refs": {"a": 1}},
    ],
    ids=lambda wrong: str(wrong)[:60],
)
async def test_an_execution_that_makes_no_sense_is_422_and_not_made(client: Client, wrong: dict[str, Any]) -> None:
    body = {"script_content": SCRIPT, **wrong}
    reply = await client.call("POST", "/api/v1/executions", {k: v for k, v in body.items() if v is not None})
    assert (reply.status, reply.body["code"]) == (422, "unprocessable"), reply.body
    assert isinstance(reply.body["detail"], str)
    assert reply.body["error"] == reply.body["detail"]
    assert (await client.call("GET", "/api/v1/executions")).body == []


async def test_malformed_json_is_400_and_unknown_members_are_ignored(client: Client) -> None:
    reply = await client.call("POST", "/api/v1/executions", data=b"{")
    assert (reply.status, reply.body["code"]) == (400, "malformed_json")
    assert (await client.run(SCRIPT, colour="blue"))["status"] == "queued"


async def test_a_script_with_requirements_fails_on_a_worker_that_does_not_allow_them(client: Client) -> None:
    done = await client.done(SCRIPT, requirements_content="requests")
    assert done["status"] == "failed"
    assert "installs no requirements" in done["execution_error"]


async def test_unknown_and_foreign_executions_are_404_alike(client: Client, other: Client) -> None:
    made = await client.run(SCRIPT)
    for execution_id in (NEVER, "nonsense", "%00", "x" * 300, made["execution_id"]):
        for method, path in (("GET", ""), ("POST", "/retry"), ("GET", "/artifacts")):
            reply = await other.call(method, f"/api/v1/executions/{execution_id}{path}")
            assert (reply.status, reply.body["code"], reply.body["detail"]) == (
                404,
                "job_not_found",
                "Execution not found",
            )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/executions"),
        ("GET", "/api/v1/executions"),
        ("GET", f"/api/v1/executions/{NEVER}"),
        ("POST", f"/api/v1/executions/{NEVER}/retry"),
        ("GET", f"/api/v1/executions/{NEVER}/artifacts"),
        ("POST", "/api/v1/artifacts/download-url"),
        ("GET", "/api/v1/batches/b/status"),
        ("GET", "/api/v1/batches/b/executions"),
        ("GET", "/api/v1/cost"),
        ("GET", "/api/v1/estimate"),
        ("POST", f"/api/v1/executions/{NEVER}/logs/stream"),
    ],
)
async def test_without_a_valid_key_everything_but_health_is_401(anybody: Caller, method: str, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}, {"X-API-Key": "wrong"}):
        reply = await anybody.call(method, path, headers=headers, data=b"{")
        assert (reply.status, reply.body["code"]) == (401, "unauthenticated"), (path, headers)
        assert reply.headers["WWW-Authenticate"] == "Bearer"
    in_url = await anybody.call(method, f"{path}?api_key=api-key-of-executions-client-000")
    assert in_url.status == 401


async def test_the_key_may_come_in_any_of_the_three_headers(client: Client, anybody: Caller) -> None:
    for header in ("X-Client-Token", "X-API-Key"):
        reply = await anybody.call("GET", "/api/v1/executions", headers={header: client.key})
        assert reply.status == 200
    mixed = await client.call("GET", "/api/v1/executions", headers={"X-API-Key": "other"})
    assert mixed.status == 401


async def test_other_methods_on_the_documented_paths_are_405(client: Client) -> None:
    for method, path in (
        ("DELETE", "/api/v1/executions"),
        ("POST", "/api/v1/cost"),
        ("POST", "/api/v1/estimate"),
        ("POST", "/api/v1/health"),
        ("GET", "/api/v1/artifacts/download-url"),
        ("DELETE", f"/api/v1/executions/{NEVER}"),
        ("GET", f"/api/v1/executions/{NEVER}/retry"),
        ("GET", f"/api/v1/executions/{NEVER}/logs/stream"),
        ("POST", "/api/v1/batches/b/status"),
    ):
        reply = await client.call(method, path)
        assert (reply.status, "Allow" in reply.headers) == (405, True), path


async def test_an_execution_is_a_job_on_every_other_surface(client: Client) -> None:
    done = await client.done(SCRIPT)
    job = await client.job(done["execution_id"])
    assert (job["blueprint_name"], job["status"]) == ("command", "finished")
    started = await client.start("simple_flow", text="a")
    found = await client.execution(started)
    assert set(found) == set(Execution.model_fields)
    assert (found["status"], found["script_content"], found["runtime"]) == ("queued", None, None)


async def test_running_an_execution_again_makes_a_new_one_and_leaves_the_old(client: Client) -> None:
    members = {"args": ["x"], "env_vars": {"A": "b"}, "timeout_seconds": 9, "user_metadata": {"k": "v"}}
    old = await client.done("import sys\nprint(sys.argv[1])\nsys.exit(1)", batch_id="b", **members)
    reply = await client.call("POST", f"/api/v1/executions/{old['execution_id']}/retry")
    assert reply.status == 200
    new = reply.body
    assert new["execution_id"] != old["execution_id"]
    assert (new["status"], new["batch_id"], new["exit_code"], new["cost_micros"]) == ("queued", None, None, 0)
    assert {name: new[name] for name in members} == members
    assert new["script_content"] == old["script_content"]
    done = await client.ended(new)
    assert (done["status"], done["stdout"]) == ("failed", "x\n")
    assert await client.execution(old["execution_id"]) == old
    members_of_batch = (await client.call("GET", "/api/v1/batches/b/executions")).body
    assert [member["execution_id"] for member in members_of_batch] == [old["execution_id"]]


async def test_an_execution_may_be_run_again_whatever_its_status(quiet: Client, hands: PlainWorker) -> None:
    made = await quiet.run(SCRIPT)
    for status in ("queued", "running", "failed"):
        assert (await quiet.execution(made["execution_id"]))["status"] == status
        reply = await quiet.call("POST", f"/api/v1/executions/{made['execution_id']}/retry")
        assert (reply.status, reply.body["status"]) == (200, "queued")
        if status == "queued":
            task = await hands.take()
        elif status == "running":
            await hands.report(task, "failure", error={"code": "COMMAND_FAILED", "message": "no"})
            await quiet.end_of(made["execution_id"])
    assert len((await quiet.call("GET", "/api/v1/executions")).body) == 4


async def test_a_job_of_another_blueprint_can_be_run_again_too(client: Client) -> None:
    started = await client.start("simple_flow", text="a")
    reply = await client.call("POST", f"/api/v1/executions/{started}/retry")
    assert reply.status == 200
    again = await client.job(reply.body["execution_id"])
    assert (again["blueprint_name"], again["initial_data"]) == ("simple_flow", {"text": "a"})


async def test_executions_are_listed_newest_first_and_by_status_and_metadata(quiet: Client, hands: PlainWorker) -> None:
    one = await quiet.run(SCRIPT, user_metadata={"project": "x", "day": "1"})
    await hands.report(await hands.take(), data={"exit_code": 0})
    two = await quiet.run(SCRIPT, user_metadata={"project": "x"})
    await hands.report(await hands.take(), "failure", error={"code": "COMMAND_FAILED", "message": "no"})
    three = await quiet.run(SCRIPT, user_metadata={"project": "y"})
    await hands.take()
    four = await quiet.run(SCRIPT)
    await new_client(quiet).run(SCRIPT)
    for ended in (one, two):
        await quiet.end_of(ended["execution_id"])

    async def listed(query: str = "") -> list[str]:
        reply = await quiet.call("GET", f"/api/v1/executions{query}")
        assert reply.status == 200, reply.body
        return [execution["execution_id"] for execution in reply.body]

    first, second, third, fourth = (execution["execution_id"] for execution in (one, two, three, four))
    assert await listed() == [fourth, third, second, first]
    assert await listed("?limit=2") == [fourth, third]
    assert await listed("?status=completed") == [first]
    assert await listed("?status=failed") == [second]
    assert await listed("?status=running") == [third]
    assert await listed("?status=queued") == [fourth]
    assert await listed("?metadata[project]=x") == [second, first]
    assert await listed("?metadata%5Bproject%5D=x&metadata[day]=1") == [first]
    assert await listed("?metadata[project]=x&status=failed&limit=1") == [second]
    shown = (await quiet.call("GET", "/api/v1/executions")).body[0]
    assert set(shown) == set(Execution.model_fields)
    assert shown["stdout"] is None
    for wrong in ("limit=0", "limit=x", "status=finished"):
        assert (await quiet.call("GET", f"/api/v1/executions?{wrong}")).status == 422


async def test_health_needs_no_key_and_says_that_the_store_answers(anybody: Caller) -> None:
    reply = await anybody.call("GET", "/api/v1/health")
    assert reply.status == 200
    assert set(reply.body) == {"status", "version", "timestamp"}
    assert reply.body["status"] == "ok (db: connected)"
    assert reply.body["timestamp"].endswith("Z")


async def test_limits_of_other_surfaces_jobs_are_shown_as_integers(quiet: Client) -> None:
    made = await quiet.call("POST", "/api/executions", {"command": "true", "timeout": 2.5})
    shown = await quiet.execution(made.body["data"]["execution_id"])
    assert (type(shown["timeout_seconds"]), shown["timeout_seconds"]) == (int, 3)


@pytest.mark.parametrize("value", [None, 7, "text", ["a", 1], {"a": {"b": 1}}, True], ids=str)
async def test_a_job_may_say_anything_of_itself_and_is_shown(quiet: Client, value: Any) -> None:
    names = (
        *("name", "command", "tags", "metadata", "environment", "type", "schema"),
        *("batch_id", "user_metadata", "input_files", "uploads"),
    )
    labels = {**dict.fromkeys(names, value), "surface": "executions"}
    execution_id = await quiet.start("command", argv=["true"], labels=labels)
    assert Execution.model_validate(await quiet.execution(execution_id))
    for query in ("", "?metadata[a]=1"):
        assert (await quiet.call("GET", f"/api/v1/executions{query}")).status == 200
    assert (await quiet.call("POST", f"/api/v1/executions/{execution_id}/retry")).status == 200
    assert (await quiet.call("GET", f"/api/v1/executions/{execution_id}/artifacts")).status == 200
