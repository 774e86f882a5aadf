"""Tags: words of the client's by which jobs are found again."""

import secrets
from typing import Any

import pytest
from muster.core.status import FINAL, JobStatus
from muster.engine.views import JobOrder
from muster.errors import MusterError

from tests.api.conftest import ALICE, BOB
from tests.files.conftest import Site


async def start(site: Site, *tags: str, kind: str | None = None, headers: dict[str, str] = ALICE) -> str:
    body = {"initial_data": {"type": kind or secrets.token_hex(4)}, "tags": tags}
    answer = await site.http.post("/api/v1/jobs/one", json=body, headers=headers)
    assert answer.status == 202, await answer.text()
    job_id: str = (await answer.json())["job_id"]
    return job_id


async def listed(site: Site, query: str, headers: dict[str, str] = ALICE) -> Any:
    answer = await site.http.get(f"/api/v1/jobs?{query}", headers=headers)
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def test_jobs_are_listed_by_tag_newest_first_with_pages(site: Site) -> None:
    made = [await start(site, "nightly", "extra") for _ in range(5)]
    await start(site, "other")
    await start(site, "nightly", headers=BOB)
    await site.http.post(f"/api/v1/jobs/{made[1]}/cancel", headers=ALICE)
    found: list[str] = []
    cursor = ""
    while True:
        page = await listed(site, f"tag=nightly&limit=2{cursor}")
        found += [job["id"] for job in page["items"]]
        assert all(job["tags"] == ["nightly", "extra"] for job in page["items"])
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert sorted(found) == sorted(made)
    created = [(await site.engine.job("alice", job)).created_at for job in found]
    assert created == sorted(created, reverse=True)


async def test_a_job_without_tags_says_so_and_the_batch_is_taken_from_its_tag(site: Site) -> None:
    plain, member = await start(site), await start(site, "x", "batch:b 1")
    jobs = {job["id"]: job for job in (await listed(site, ""))["items"]}
    assert (jobs[plain]["tags"], jobs[plain]["batch_id"]) == ([], None)
    assert (jobs[member]["tags"], jobs[member]["batch_id"]) == (["x", "batch:b 1"], "b 1")


@pytest.mark.parametrize("tags", ["one", [1], [""], ["x" * 201], [None], {"a": 1}, [str(n) for n in range(9)]])
async def test_wrong_tags_are_400_and_start_nothing(site: Site, tags: Any) -> None:
    body = {"initial_data": {"type": "work"}, "tags": tags}
    answer = await site.http.post("/api/v1/jobs/one", json=body, headers=ALICE)
    assert (answer.status, (await answer.json())["code"]) == (400, "invalid_body")
    assert (await listed(site, ""))["items"] == []


async def test_the_same_key_with_other_tags_is_another_request(site: Site) -> None:
    body = {"initial_data": {"type": "work"}, "tags": ["a"]}
    keyed = {**ALICE, "Idempotency-Key": "k"}
    first = await site.http.post("/api/v1/jobs/one", json=body, headers=keyed)
    again = await site.http.post("/api/v1/jobs/one", json=body, headers=keyed)
    assert (await first.json())["job_id"] == (await again.json())["job_id"]
    other = await site.http.post("/api/v1/jobs/one", json={**body, "tags": ["b"]}, headers=keyed)
    assert (other.status, (await other.json())["code"]) == (409, "idempotency_conflict")


async def test_the_engine_refuses_too_many_tags_and_takes_repeated_ones_once(site: Site) -> None:
    with pytest.raises(MusterError, match="at most 8"):
        await site.engine.submit(JobOrder("alice", "one", {"type": "x"}, tags=tuple("abcdefghi")))
    started = await site.engine.submit(JobOrder("alice", "one", {"type": "x"}, tags=("a",) * 20))
    assert (await site.engine.job("alice", started.job_id)).submission.tags == ("a",)


async def test_a_search_counts_all_and_shows_a_page_newest_created_first(site: Site) -> None:
    made = [await start(site) for _ in range(7)]
    for job in made[:3]:
        await site.http.post(f"/api/v1/jobs/{job}/cancel", headers=ALICE)
    found = await site.engine.find("alice", statuses=None, limit=4, offset=2)
    assert (len(found.items), found.total) == (4, 7)
    created = [record.created_at for record in found.items]
    assert created == sorted(created, reverse=True)
    over = await site.engine.find("alice", statuses=FINAL, limit=10, offset=0)
    assert ({record.id for record in over.items}, over.total) == (set(made[:3]), 3)
    assert all(record.status is JobStatus.CANCELLED for record in over.items)
    none = await site.engine.find("alice", statuses=frozenset({JobStatus.FAILED}), limit=10, offset=0)
    assert (none.items, none.total) == ((), 0)
    assert (await site.engine.find("bob", statuses=None, limit=10, offset=0)).total == 0
    assert (await site.engine.find("alice", statuses=None, limit=10, offset=90)).items == ()
