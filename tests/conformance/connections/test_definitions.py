"""GET /connections, /pipelines and /connections/{name}/status."""

import pytest

from tests.conformance.connections.conftest import Pipelines, Source
from tests.system.callers import Caller

NAMES = ["trello", "slow_source", "broken_source"]
ENTRY = {"name", "type", "enabled", "schema_name", "last_run_at"}
LAST = {"last_run_success", "last_run_error", "last_run_duration_ms", "last_run_attempts"}
URLS = [
    ("GET", "/connections"),
    ("GET", "/pipelines"),
    ("POST", "/connections/trello/run"),
    ("POST", "/connections/trello/run_async"),
    ("POST", "/run_selected"),
    ("POST", "/cancel_task/x"),
    ("GET", "/task_status/x"),
    ("GET", "/history"),
    ("GET", "/connections/trello/status"),
]


async def test_connections_are_listed_in_the_order_of_their_file(client: Pipelines) -> None:
    found = await client.ok("GET", "/connections")
    assert [one["name"] for one in found] == NAMES
    assert [one["enabled"] for one in found] == [True, True, False]
    assert all(set(one) == ENTRY for one in found)
    assert found[0] == {
        "name": "trello",
        "type": "command",
        "enabled": True,
        "schema_name": "trello",
        "last_run_at": None,
    }


async def test_the_last_run_of_a_connection_is_when_the_callers_own_ended(client: Pipelines, other: Pipelines) -> None:
    await client.run("trello")
    (entry, *rest) = await client.ok("GET", "/connections")
    (row,) = await client.ok("GET", "/history")
    assert entry["last_run_at"] == row["finished_at"]
    assert [one["last_run_at"] for one in rest] == [None, None]
    assert (await other.ok("GET", "/connections"))[0]["last_run_at"] is None


async def test_pipelines_are_the_same_and_may_be_the_enabled_ones_only(client: Pipelines) -> None:
    everything = await client.ok("GET", "/connections")
    assert await client.ok("GET", "/pipelines") == everything
    assert await client.ok("GET", "/pipelines?only_enabled=false") == everything
    for yes in ("true", "True", "1"):
        assert await client.ok("GET", f"/pipelines?only_enabled={yes}") == everything[:2]


@pytest.mark.parametrize("value", ["", "maybe", "2", "nul"])
async def test_a_boolean_that_is_none_is_unprocessable(client: Pipelines, value: str) -> None:
    for method, path in [("GET", "/pipelines?only_enabled="), ("POST", "/connections/trello/run?include_report=")]:
        reply = await client.call(method, path + value)
        assert (reply.status, reply.body["code"]) == (422, "unprocessable")
        assert isinstance(reply.body["detail"], str)


async def test_a_status_tells_of_the_last_run_good_or_bad(client: Pipelines) -> None:
    before = await client.ok("GET", "/connections/broken_source/status")
    assert set(before) == ENTRY | LAST
    assert (before["name"], before["enabled"], before["last_run_at"]) == ("broken_source", False, None)
    assert {before[name] for name in LAST} == {None}
    good, bad = await client.run("trello"), await client.run("broken_source")
    for name, result in (("trello", good), ("broken_source", bad)):
        status = await client.ok("GET", f"/connections/{name}/status")
        assert status["last_run_at"] is not None
        assert {member: status[f"last_run_{member}"] for member in ("success", "error", "duration_ms", "attempts")} == {
            member: result[member] for member in ("success", "error", "duration_ms", "attempts")
        }


async def test_a_run_that_has_not_ended_does_not_hide_the_one_before(client: Pipelines, source: Source) -> None:
    source.answers()
    await client.run("slow_source")
    source.is_silent()
    task_id = await client.run_async("slow_source")
    status = await client.ok("GET", "/connections/slow_source/status")
    assert status["last_run_success"] is True
    await client.call("POST", f"/cancel_task/{task_id}")
    await client.reaches(task_id, "cancelled")
    status = await client.ok("GET", "/connections/slow_source/status")
    assert (status["last_run_success"], status["last_run_error"]) == (False, "cancelled")


async def test_without_history_a_status_still_knows_when_the_last_run_ended(lonely: Pipelines) -> None:
    task_id = await lonely.run_async("trello")
    await lonely.call("POST", f"/cancel_task/{task_id}")
    await lonely.reaches(task_id, "cancelled")
    status = await lonely.ok("GET", "/connections/trello/status")
    assert status["last_run_at"] is not None
    assert {status[name] for name in LAST} == {None}
    assert await lonely.ok("GET", "/history") == []


@pytest.mark.parametrize("name", ["unknown", "..", "failing", "%00", "x" * 300])
async def test_an_unknown_connection_and_one_for_others_are_the_same(client: Pipelines, name: str) -> None:
    for method, path in [("GET", "status"), ("POST", "run"), ("POST", "run_async")]:
        reply = await client.call(method, f"/connections/{name}/{path}")
        assert reply.status == 404, (path, reply.status)
    assert "failing" not in [one["name"] for one in await client.ok("GET", "/connections")]


async def test_only_its_clients_see_a_connection_that_names_them(mixed: Pipelines) -> None:
    found = await mixed.ok("GET", "/connections")
    assert [one["name"] for one in found] == [*NAMES, "failing", "after"]
    assert (found[3]["type"], found[3]["schema_name"]) == ("shell", "warehouse")


@pytest.mark.parametrize(("method", "path"), URLS)
async def test_every_url_wants_a_valid_key(anybody: Caller, method: str, path: str) -> None:
    for headers in ({}, {"X-API-Key": "wrong"}):
        reply = await anybody.call(method, path, headers=headers)
        assert (reply.status, reply.body["code"]) == (401, "unauthenticated")
    assert (await anybody.call(method, path + "?api_key=wrong")).status == 401


@pytest.mark.parametrize(("method", "path"), URLS)
async def test_every_url_is_broken_where_no_key_is_configured(keyless: Caller, method: str, path: str) -> None:
    for headers in ({}, {"X-API-Key": "any"}):
        reply = await keyless.call(method, path, headers=headers)
        assert (reply.status, reply.body["code"]) == (500, "no_client_configured")
        assert "DATAPIPELINES_API_KEY" in reply.body["hint"]


@pytest.mark.parametrize(("method", "path"), URLS)
async def test_other_methods_are_refused(client: Pipelines, method: str, path: str) -> None:
    reply = await client.call("DELETE", path)
    assert reply.status == 405
    assert method in reply.headers["Allow"]
