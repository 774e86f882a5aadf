"""/api/v1/connections: what tenants save themselves, and what they cannot change."""

from typing import Any

import pytest

from tests.conformance.connections.conftest import NEVER, Pipelines
from tests.system.callers import Caller, until

OWN = {"name": "mine", "command": {"argv": ["sh", "-c", "echo META:rows_inserted:2"]}}


async def saved(client: Pipelines, **members: Any) -> dict[str, Any]:
    reply = await client.call("POST", "/api/v1/connections", {**OWN, **members})
    assert reply.status == 201, reply.raw
    assert reply.headers["Location"] == f"/api/v1/connections/{reply.body['name']}"
    made: dict[str, Any] = reply.body
    return made


async def test_a_saved_connection_is_run_as_any_other_and_seen_by_its_tenant_alone(
    client: Pipelines, other: Pipelines
) -> None:
    made = await saved(client, schema="rows")
    assert (made["source"], made["schedule"], made["next_run_at"], made["last_run"]) == ("api", None, None, None)
    assert [one["name"] for one in await client.ok("GET", "/connections")][3:] == ["mine"]
    result = await client.run("mine")
    assert (result["success"], result["rows_inserted"]) == (True, 2)
    shown = await client.ok("GET", "/api/v1/connections/mine")
    assert shown["last_run"]["job_id"] == result["run_id"]
    assert {**shown, "last_run": None} == made
    (row,) = await client.ok("GET", "/history")
    assert (row["connection_name"], row["schema_name"]) == ("mine", "rows")
    assert (await other.call("GET", "/api/v1/connections/mine")).status == 404
    assert len(await other.ok("GET", "/connections")) == 3


async def test_connections_are_listed_with_their_definitions(client: Pipelines) -> None:
    await saved(client)
    await saved(client, name="second")
    items = (await client.ok("GET", "/api/v1/connections"))["items"]
    assert [one["name"] for one in items] == ["trello", "slow_source", "broken_source", "mine", "second"]
    assert [one["source"] for one in items] == ["file"] * 3 + ["api"] * 2
    assert items[3]["command"] == OWN["command"]


async def test_of_a_connection_of_the_file_neither_clients_nor_values_of_variables_are_told(
    client: Pipelines, special: Pipelines
) -> None:
    items = (await special.ok("GET", "/api/v1/connections"))["items"]
    assert [one["name"] for one in items if "clients" in one] == []
    flaky = await special.ok("GET", "/api/v1/connections/flaky")
    assert flaky["command"]["environment"] == {"F": None}
    assert "clients" not in flaky
    own = await saved(client, command={"argv": ["true"], "environment": {"A": "b"}})
    assert (own["clients"], own["command"]["environment"]) == (None, {"A": "b"})


async def test_a_name_is_taken_once_and_replaced_on_purpose(client: Pipelines) -> None:
    await saved(client)
    again = await client.call("POST", "/api/v1/connections", OWN)
    assert (again.status, again.body["code"]) == (409, "connection_exists")
    replaced = await client.ok("PUT", "/api/v1/connections/mine", {"command": {"argv": ["false"]}, "type": "shell"})
    assert (replaced["command"], replaced["type"]) == ({"argv": ["false"]}, "shell")
    made = await client.ok("PUT", "/api/v1/connections/new", {"name": "new", "command": {"argv": ["true"]}})
    assert made["name"] == "new"
    wrong = await client.call("PUT", "/api/v1/connections/new", {"name": "old", "command": {"argv": ["true"]}})
    assert (wrong.status, wrong.body["errors"][0]["pointer"]) == (400, "/name")


async def test_a_deleted_connection_is_gone_and_its_runs_stay(client: Pipelines) -> None:
    await saved(client)
    run_id = (await client.run("mine"))["run_id"]
    assert (await client.call("DELETE", "/api/v1/connections/mine")).status == 204
    gone = await client.call("DELETE", "/api/v1/connections/mine")
    assert (gone.status, gone.body["code"]) == (404, "connection_not_found")
    (row,) = await client.ok("GET", "/history")
    assert (row["run_id"], row["connection_type"]) == (run_id, "command")
    assert (await client.status(run_id))["connection"] == "mine"


async def test_a_connection_of_the_file_cannot_be_changed(client: Pipelines) -> None:
    for method, path, body in [
        ("POST", "", {**OWN, "name": "trello"}),
        ("PUT", "/trello", {"command": {"argv": ["true"]}}),
        ("DELETE", "/trello", None),
    ]:
        reply = await client.call(method, f"/api/v1/connections{path}", body)
        assert (reply.status, reply.body["code"]) == (409, "connection_configured")
    assert (await client.run("trello"))["rows_inserted"] == 3


async def test_a_name_that_the_file_keeps_for_others_is_free(client: Pipelines) -> None:
    await saved(client, name="failing")
    assert (await client.run("failing"))["success"] is True


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"name": "a b"}, "/name"),
        ({"what": 1}, "/what"),
        ({"command": {"argv": []}}, "/command/argv"),
        ({"command": {"argv": ["x"], "timeout": 5}}, "/command"),
        ({"schedule": "61 * * * *"}, ""),
        ({"schedule": "0 0 30 2 *"}, ""),
        ({"schedule": "* * * * *", "timezone": "Mars/Olympus"}, ""),
        ({"command": None, "blueprint": "nobody_has_it"}, "/blueprint"),
        ({"command": None, "blueprint": "command", "initial_data": {}}, "/initial_data"),
        ({"clients": ["special"]}, "/clients"),
        ({"attempts": 0}, "/attempts"),
    ],
)
async def test_a_definition_that_makes_no_sense_is_refused_with_its_place(
    client: Pipelines, members: dict[str, Any], pointer: str
) -> None:
    reply = await client.call("POST", "/api/v1/connections", {**OWN, **members})
    assert (reply.status, reply.body["code"]) == (400, "invalid_body")
    assert [error["pointer"] for error in reply.body["errors"]] == [pointer]
    assert len((await client.ok("GET", "/api/v1/connections"))["items"]) == 3


async def test_bodies_that_are_no_objects_or_too_large_are_refused(client: Pipelines) -> None:
    for data, status in [(b"[]", 400), (b"{", 400), (b"", 400), (b'{"name":"' + b"x" * 300_000 + b'"}', 413)]:
        assert (await client.call("POST", "/api/v1/connections", data=data)).status == status


async def test_a_run_is_a_job_and_a_key_makes_one(client: Pipelines) -> None:
    await saved(client)
    replies = [
        await client.call("POST", "/api/v1/connections/mine/run", headers={"Idempotency-Key": "today"}) for _ in "12"
    ]
    assert [reply.status for reply in replies] == [202, 202]
    (job_id,) = {reply.body["job_id"] for reply in replies}
    assert replies[0].headers["Location"] == f"/api/v1/jobs/{job_id}"
    assert (await client.end_of(job_id))["status"] == "finished"
    unknown = await client.call("POST", "/api/v1/connections/other/run")
    assert (unknown.status, unknown.body["code"]) == (404, "connection_not_found")
    wrong = await client.call("POST", "/api/v1/connections/mine/run", headers={"Idempotency-Key": "a b"})
    assert (wrong.status, wrong.body["code"]) == (400, "invalid_parameter")


async def test_a_schedule_says_when_it_runs_next(client: Pipelines) -> None:
    made = await saved(client, schedule="30 6 * * *", timezone="Europe/Berlin")
    assert (made["schedule"], made["timezone"]) == ("30 6 * * *", "Europe/Berlin")
    assert made["next_run_at"].endswith(("04:30:00.000Z", "05:30:00.000Z"))
    assert made["last_slot"] is None
    disabled = await client.ok("PUT", "/api/v1/connections/mine", {**OWN, "schedule": "30 6 * * *", "enabled": False})
    assert disabled["next_run_at"] is None


async def test_native_urls_want_a_key_too(anybody: Caller) -> None:
    for method, path in [("GET", ""), ("POST", ""), ("GET", "/x"), ("PUT", "/x"), ("DELETE", "/x"), ("POST", "/x/run")]:
        assert (await anybody.call(method, f"/api/v1/connections{path}")).status == 401


async def test_scheduled_runs_of_a_shared_connection_are_in_the_history_of_who_sees_it(
    anybody: Caller, special: Pipelines, client: Pipelines
) -> None:
    """As the scheduler would start them: for the tenant `scheduler`, which is a client of this server."""
    scheduler = Pipelines(anybody.session, anybody.url, {"X-API-Key": "key-of-connections-client-scheduler"})
    run_id = (await scheduler.run("trello"))["run_id"]

    async def is_shown() -> bool:
        return any(row["run_id"] == run_id for row in await client.ok("GET", "/history"))

    await until(is_shown, "the run is in the history")
    status = await client.ok("GET", "/connections/trello/status")
    assert status["last_run_success"] is True
    assert (await client.call("GET", f"/task_status/{run_id}")).status == 404
    assert (await client.call("GET", f"/task_status/{NEVER}")).status == 404
    assert (await scheduler.call("DELETE", f"/api/v1/jobs/{run_id}")).status == 204
    assert await client.ok("GET", "/history") == []
