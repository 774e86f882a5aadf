"""Routes of limits and pauses: every answer they may give, and bad input, which changes nothing."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from muster.core.flow import Limit, Scope
from muster.core.limits import LIMIT_NAME_CHARACTERS_MAX, LIMIT_TASKS_MAX
from muster.engine.limits import dump_limit, name_of
from muster.store.base import StoreUnavailable
from muster.store.flow import Part

from tests.api.conftest import ALICE, ANY_WORKER, BOB, Http
from tests.api.fake_engine import FakeEngine

LONG = "x" * (LIMIT_NAME_CHARACTERS_MAX + 1)
PAUSES = [f"/api/v1/{kind}/resize/{verb}" for kind in ("queues", "blueprints") for verb in ("pause", "resume")]
EVERY = [("GET", "/api/v1/limits"), ("PUT", "/api/v1/limits/task/t"), ("DELETE", "/api/v1/limits/task/t")]
EVERY += [("POST", path) for path in PAUSES]
Ask = Callable[..., Awaitable[tuple[int, Any]]]


@pytest.fixture
def ask(http: Http) -> Ask:
    return asking(http)


def asking(http: Http) -> Ask:
    async def one(method: str, path: str, body: Any = None, *, by: dict[str, str] = ALICE, data: Any = None) -> Any:
        sent: dict[str, Any] = {"data": data} if data is not None else {"json": body}
        async with http.request(method, path, headers=by, **sent) as answer:
            return answer.status, await answer.json() if answer.status != 204 else None

    return one


async def kept(engine: FakeEngine) -> list[Limit]:
    return [view.limit for view in await engine.limits.all()]


async def file_says(engine: FakeEngine, limit: Limit) -> None:
    await engine.limits.apply_file([limit])


# What they answer


async def test_a_limit_is_set_listed_and_lifted(ask: Ask) -> None:
    status, made = await ask("PUT", "/api/v1/limits/task/image.resize", {"rate": 6, "per": "1m", "burst": 2, "max": 4})
    assert status == 200
    assert made == {
        "scope": "task", "name": "image.resize", "tenant": None, "max": 4, "rate": 6, "per_seconds": 60.0, "burst": 2,
        "weight": None, "paused": False, "source": "api", "opens_at": None, "running": 0, "held_by": [],
    }  # fmt: skip
    assert await ask("GET", "/api/v1/limits") == (200, {"items": [made]})
    assert await ask("DELETE", "/api/v1/limits/task/image.resize") == (204, None)
    assert await ask("GET", "/api/v1/limits") == (200, {"items": []})


async def test_setting_a_limit_puts_it_in_place_of_the_one_before(ask: Ask) -> None:
    await ask("PUT", "/api/v1/limits/tenant/acme", {"max": 4, "weight": 2})
    _, made = await ask("PUT", "/api/v1/limits/tenant/acme", {"max": 5})
    assert (made["max"], made["weight"]) == (5, None)


async def test_lifting_what_is_not_set_is_told(ask: Ask) -> None:
    status, problem = await ask("DELETE", "/api/v1/limits/task/nobody")
    assert (status, problem["code"]) == (404, "limit_not_found")


async def test_a_limit_of_the_file_says_so_and_cannot_be_lifted(ask: Ask, engine: FakeEngine) -> None:
    await file_says(engine, Limit(Scope.TASK, "t", max=3))
    _, found = await ask("GET", "/api/v1/limits")
    assert found["items"][0]["source"] == "file"
    status, problem = await ask("DELETE", "/api/v1/limits/task/t")
    assert (status, problem["code"]) == (409, "limit_of_file")
    assert await kept(engine) == [Limit(Scope.TASK, "t", max=3)]


@pytest.mark.parametrize("kind", ["queues", "blueprints"])
async def test_what_is_paused_says_so_twice_as_once_and_is_resumed(ask: Ask, kind: str) -> None:
    for _ in range(2):
        status, paused = await ask("POST", f"/api/v1/{kind}/a%20b/pause")
        assert (status, paused["paused"], paused["name"], paused["source"]) == (200, True, "a b", None)
    for _ in range(2):
        status, resumed = await ask("POST", f"/api/v1/{kind}/a%20b/resume")
        assert (status, resumed["paused"]) == (200, False)
    assert await ask("GET", "/api/v1/limits") == (200, {"items": []})


async def test_a_limit_that_is_set_while_it_is_paused_holds_when_it_is_resumed(ask: Ask) -> None:
    await ask("POST", "/api/v1/queues/t/pause")
    _, made = await ask("PUT", "/api/v1/limits/task/t", {"max": 3})
    assert (made["max"], made["paused"]) == (3, True)
    _, resumed = await ask("POST", "/api/v1/queues/t/resume")
    assert (resumed["max"], resumed["paused"], resumed["source"]) == (3, False, "api")


# Who may


@pytest.mark.parametrize(("method", "path"), EVERY)
async def test_who_shows_no_clients_token_is_refused(ask: Ask, method: str, path: str) -> None:
    for nobody in ({}, {"X-Client-Token": "wrong"}, ANY_WORKER):
        status, problem = await ask(method, path, {"max": 1}, by=nobody)
        assert (status, problem["code"]) == (401, "unauthenticated")


async def test_in_production_a_client_sets_limits_of_its_own_keys_alone(production: Http, engine: FakeEngine) -> None:
    ask = asking(production)
    for method, path in EVERY[1:]:
        status, problem = await ask(method, path, {"max": 1})
        assert (status, problem["code"]) == (403, "forbidden"), path
    for scope in ("global/*", "tenant/alice", "blueprint/b"):
        status, _ = await ask("PUT", f"/api/v1/limits/{scope}", {"max": 1})
        assert status == 403, scope
    assert await kept(engine) == []
    status, made = await ask("PUT", "/api/v1/limits/key/site:*", {"max": 1})
    assert (status, made["tenant"]) == (200, "alice")


async def test_a_key_is_its_tenants_and_others_do_not_see_it(ask: Ask) -> None:
    await ask("PUT", "/api/v1/limits/key/k", {"max": 1})
    await ask("PUT", "/api/v1/limits/tenant/alice", {"max": 1})
    await ask("PUT", "/api/v1/limits/global/*", {"max": 9})
    _, bobs = await ask("GET", "/api/v1/limits", by=BOB)
    assert [item["scope"] for item in bobs["items"]] == ["global"]
    assert (await ask("DELETE", "/api/v1/limits/key/k", by=BOB))[0] == 404
    await ask("PUT", "/api/v1/limits/key/k", {"max": 2}, by=BOB)
    _, alices = await ask("GET", "/api/v1/limits")
    assert [(item["scope"], item["max"]) for item in alices["items"]] == [("global", 9), ("tenant", 1), ("key", 1)]


# Bad input


@pytest.mark.parametrize(
    ("path", "body", "why"),
    [
        ("taks/t", {"max": 1}, "there is no scope 'taks'"),
        ("Task/t", {"max": 1}, "there is no scope 'Task'"),
        ("global/all", {"max": 1}, "the global limit is called '*'"),
        ("key/si*te", {"max": 1}, "stands for a whole group"),
        (f"task/{LONG}", {"max": 1}, "printable characters"),
        ("task/a%07b", {"max": 1}, "printable characters"),
        ("task/t", {}, "a limit limits something"),
        ("task/t", {"max": None}, "a limit limits something"),
        ("task/t", {"max": -1}, "max is a whole number from 0"),
        ("task/t", {"max": LIMIT_TASKS_MAX + 1}, "max is a whole number"),
        ("task/t", {"max": 2**63}, "max is a whole number"),
        ("task/t", {"max": "many"}, "not 'many'"),
        ("task/t", {"max": 0.5}, "max is a whole number"),
        ("task/t", {"max": {"a": 1}}, "max is a whole number"),
        ("task/t", {"rate": 0, "per": "1s"}, "rate is a whole number from 1"),
        ("task/t", {"rate": -1, "per": "1s"}, "rate is a whole number from 1"),
        ("task/t", {"rate": 1, "per": 0}, "per is"),
        ("task/t", {"rate": 1, "per": -3}, "per is"),
        ("task/t", {"rate": 1, "per": 1e12}, "per is"),
        ("task/t", {"rate": 1}, "a rate needs a period"),
        ("task/t", {"burst": 3}, "burst goes with rate"),
        ("task/t", {"weight": 3}, "only a tenant has a weight"),
        ("tenant/t", {"weight": 0}, "weight is a number"),
        ("task/t", {"max": 1, "paused": True}, "a limit has no 'paused'"),
    ],
)
async def test_a_limit_that_cannot_be_is_refused_and_nothing_is_set(
    ask: Ask, engine: FakeEngine, path: str, body: Any, why: str
) -> None:
    status, problem = await ask("PUT", f"/api/v1/limits/{path}", body)
    assert (status, problem["code"]) == (400, "invalid_limit")
    assert why in problem["detail"]
    assert await kept(engine) == []


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"{", "malformed_json"), (b'{"max": NaN}', "malformed_json"), (b"\xff", "malformed_json")]
    + [(data, "invalid_body") for data in (b"[]", b"7", b'"max"', b"null")],
)
async def test_a_body_that_is_no_object_is_refused(ask: Ask, engine: FakeEngine, data: bytes, code: str) -> None:
    status, problem = await ask("PUT", "/api/v1/limits/task/t", data=data)
    assert (status, problem["code"]) == (400, code)
    assert await kept(engine) == []


async def test_a_body_that_is_too_large_is_refused(ask: Ask) -> None:
    status, problem = await ask("PUT", "/api/v1/limits/task/t", {"max": 1, "x": "y" * 20_000})
    assert (status, problem["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("path", ["taks/t", "global/all", f"task/{LONG}", "key/si*te"])
async def test_lifting_what_cannot_be_a_limit_says_why(ask: Ask, path: str) -> None:
    status, problem = await ask("DELETE", f"/api/v1/limits/{path}")
    assert (status, problem["code"]) == (400, "invalid_limit")


@pytest.mark.parametrize("path", PAUSES)
async def test_a_name_that_cannot_be_is_not_paused(ask: Ask, engine: FakeEngine, path: str) -> None:
    for name in (LONG, "a%07b"):
        status, problem = await ask("POST", path.replace("resize", name))
        assert (status, problem["code"]) == (400, "invalid_limit")
    assert await kept(engine) == []


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_other_methods_are_refused(ask: Ask, method: str) -> None:
    assert (await ask(method, "/api/v1/limits/task/t", {"max": 1}))[0] == 405


# Limits of limits, and a store in trouble


async def test_more_limits_than_there_may_be_are_refused_and_those_there_are_may_be_changed(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muster.engine.limits.LIMITS_MAX", 1)
    await ask("PUT", "/api/v1/limits/task/a", {"max": 1})
    for method, path in (("PUT", "/api/v1/limits/task/b"), ("POST", "/api/v1/queues/b/pause")):
        status, problem = await ask(method, path, {"max": 1})
        assert (status, problem["code"]) == (409, "too_many_limits")
    assert (await ask("PUT", "/api/v1/limits/task/a", {"max": 2}))[0] == 200
    assert (await ask("POST", "/api/v1/queues/a/pause"))[0] == 200
    assert (await ask("POST", "/api/v1/queues/b/resume"))[0] == 200


async def test_a_store_in_trouble_is_told_with_when_to_come_again(
    http: Http, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise StoreUnavailable("gone")

    for name in ("limits", "limit", "write_limit"):
        monkeypatch.setattr(engine.limits._store.flow, name, broken)
    for method, path in EVERY:
        async with http.request(method, path, json={"max": 1}, headers=ALICE) as answer:
            assert (answer.status, (await answer.json())["code"]) == (503, "store_unavailable"), path
            assert int(answer.headers["Retry-After"]) >= 1


async def test_what_is_kept_besides_is_never_lost_by_a_pause(engine: FakeEngine, ask: Ask) -> None:
    limit = Limit(Scope.TASK, "t", max=3)
    await engine.limits._store.flow.write_limit(name_of(limit), {Part.FILE: dump_limit(limit)}, 9)
    await ask("POST", "/api/v1/queues/t/pause")
    await ask("DELETE", "/api/v1/limits/task/t")
    assert await kept(engine) == [limit]
