"""Batches: many jobs in one request, all or none, found and cancelled together."""

from typing import Any

import pytest
from muster.blueprint.builtin.command import command

from tests.api.conftest import ALICE, BOB
from tests.files.conftest import Site


def member(kind: str = "nobody", **more: Any) -> dict[str, Any]:
    return {"blueprint": "one", "initial_data": {"type": kind}, **more}


async def post(site: Site, body: Any, headers: dict[str, str] = ALICE) -> tuple[int, Any]:
    answer = await site.http.post("/api/v1/batches", json=body, headers=headers)
    return answer.status, await answer.json()


async def get(site: Site, path: str, headers: dict[str, str] = ALICE) -> tuple[int, Any]:
    answer = await site.http.get(path, headers=headers)
    return answer.status, await answer.json()


async def test_all_jobs_of_a_batch_are_started_in_order_and_know_it(site: Site) -> None:
    status, started = await post(site, {"id": "b/1 ü", "jobs": [member(), member(tags=["x"]), member()]})
    assert (status, started["batch_id"], len(started["jobs"])) == (201, "b/1 ü", 3)
    status, batch = await get(site, "/api/v1/batches/b%2F1%20%C3%BC")
    assert (status, batch["batch_id"], batch["total"], batch["cost_micros"]) == (200, "b/1 ü", 3, 0)
    assert batch["counts"] == {"waiting_for_worker": 3}
    assert sorted(job["job_id"] for job in batch["jobs"]) == sorted(started["jobs"])
    assert {job["status"] for job in batch["jobs"]} == {"waiting_for_worker"}
    _, job = await get(site, f"/api/v1/jobs/{started['jobs'][1]}")
    assert (job["batch_id"], job["tags"]) == ("b/1 ü", ["batch:b/1 ü", "x"])


async def test_members_are_shown_in_the_order_of_their_creation(site: Site) -> None:
    _, started = await post(site, {"id": "b", "jobs": [member() for _ in range(20)]})
    _, batch = await get(site, "/api/v1/batches/b")
    created = [(await site.engine.job("alice", job["job_id"])).created_at for job in batch["jobs"]]
    assert created == sorted(created)
    given = [(await site.engine.job("alice", job)).created_at for job in started["jobs"]]
    assert given == sorted(given)


async def test_a_batch_sent_again_starts_nothing_twice_and_what_is_missing(site: Site) -> None:
    _, first = await post(site, {"id": "b", "jobs": [member("a"), member("b")]})
    _, again = await post(site, {"id": "b", "jobs": [member("a"), member("b"), member("c")]})
    assert again["jobs"][:2] == first["jobs"]
    assert (await get(site, "/api/v1/batches/b"))[1]["total"] == 3
    status, refused = await post(site, {"id": "b", "jobs": [member("a"), member("other")]})
    assert (status, refused["code"], refused["member"]) == (409, "idempotency_conflict", 1)
    _, others = await post(site, {"id": "b", "jobs": [member("a")]}, BOB)
    assert others["jobs"] != first["jobs"][:1]
    unnamed = [(await post(site, {"jobs": [member()]}))[1]["batch_id"] for _ in range(2)]
    assert unnamed[0] != unnamed[1]


@pytest.mark.parametrize(
    ("wrong", "status", "code"),
    [
        ({"blueprint": "no such"}, 404, "blueprint_not_found"),
        ({"blueprint": "command", "initial_data": {}}, 400, "invalid_input"),
    ],
)
async def test_nothing_is_started_where_one_job_is_not_valid(
    site: Site, wrong: dict[str, Any], status: int, code: str
) -> None:
    site.engine._jobs._blueprints.add(command)
    answered, refused = await post(site, {"id": "b", "jobs": [member(), member(), wrong]})
    assert (answered, refused["code"], refused["member"]) == (status, code, 2)
    assert refused["detail"].startswith("jobs[2]: ")
    assert (await get(site, "/api/v1/jobs"))[1]["items"] == []
    assert (await get(site, "/api/v1/batches/b"))[0] == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"jobs": []},
        {"jobs": [{}]},
        {"jobs": ["one"]},
        {"jobs": [member(tags=["x"] * 8)]},
        {"jobs": [member()] * 1001},
        {"id": "", "jobs": [member()]},
        {"order": "sequence", "jobs": [member()]},
        {"id": "x" * 129, "jobs": [member()]},
        {"id": 5, "jobs": [member()]},
    ],
    ids=str,
)
async def test_a_batch_that_cannot_be_read_is_400(site: Site, body: Any) -> None:
    status, refused = await post(site, body)
    assert (status, refused["code"]) == (400, "invalid_body")


async def test_a_batch_is_cancelled_as_a_whole(site: Site) -> None:
    _, started = await post(site, {"id": "b", "jobs": [member() for _ in range(3)]})
    await site.http.post(f"/api/v1/jobs/{started['jobs'][0]}/cancel", headers=ALICE)
    answer = await site.http.post("/api/v1/batches/b/cancel", headers=ALICE)
    assert (answer.status, await answer.json()) == (200, {"batch_id": "b", "cancelling": 2})
    _, batch = await get(site, "/api/v1/batches/b")
    assert batch["counts"] == {"cancelled": 3}
    again = await site.http.post("/api/v1/batches/b/cancel", headers=ALICE)
    assert (await again.json())["cancelling"] == 0


async def test_an_unknown_batch_and_another_tenants_are_404_alike(site: Site) -> None:
    await post(site, {"id": "b", "jobs": [member()]})
    refusals = [
        await get(site, "/api/v1/batches/b", BOB),
        await get(site, "/api/v1/batches/nothing"),
        await get(site, f"/api/v1/batches/{'x' * 300}"),
    ]
    assert {(status, body["code"], body["detail"]) for status, body in refusals} == {
        (404, "batch_not_found", "Batch not found")
    }
    assert (await site.http.post("/api/v1/batches/b/cancel", headers=BOB)).status == 404


async def test_a_batch_counts_the_jobs_that_were_started_with_its_tag(site: Site) -> None:
    await post(site, {"id": "b", "jobs": [member()]})
    body = {"initial_data": {"type": "nobody"}, "tags": ["batch:b"]}
    await site.http.post("/api/v1/jobs/one", json=body, headers=ALICE)
    assert (await get(site, "/api/v1/batches/b"))[1]["total"] == 2
