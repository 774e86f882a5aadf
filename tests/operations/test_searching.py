"""Jobs found by what they are, what fails most, and one verb for many of them."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from muster.blueprint import Blueprint
from muster.cli import job_operations
from muster.engine import searching
from muster.engine.many_jobs import BulkOrder, BulkOutcome
from muster.errors import ErrorCode, MusterError
from muster.testing import TestMuster
from muster_worker import Client

from tests.operations.conftest import Site, Type


async def some_jobs(client: Client) -> dict[str, str]:
    """Three that failed (two alike), one that finished, one put aside, one that asks."""
    found = {
        "small": await client.start("packer", {"size": 3}, tags=["night"]),
        "tiny": await client.start("packer", {"size": 1}),
        "fits": await client.start("packer", {"size": 12}, tags=["night"]),
        "asks": await client.start("asker", tags=["night"]),
    }
    for name in ("small", "tiny", "fits"):
        await client.wait(found[name], timeout_s=10)
    return found


async def names(site: Site, jobs: dict[str, str], **wanted: Any) -> set[str]:
    page = await site.client.jobs(**wanted)
    assert page.next is None
    return {name for name, job in jobs.items() if job in {one.id for one in page.items}}


async def test_filters_may_be_combined(site: Site) -> None:
    jobs = await some_jobs(site.client)
    error = (await site.client.job(jobs["small"])).error_fingerprint
    assert error is not None
    assert await names(site, jobs, status=["failed"]) == {"small", "tiny"}
    assert await names(site, jobs, status=["failed", "finished"], blueprint="packer") == {"small", "tiny", "fits"}
    assert await names(site, jobs, tag="night", status=["failed", "waiting_for_human"]) == {"small", "asks"}
    assert await names(site, jobs, error=error) == {"small", "tiny"}
    assert await names(site, jobs, error=error, tag="night") == {"small"}
    soon, before = datetime.now(UTC) + timedelta(hours=1), datetime.now(UTC) - timedelta(hours=1)
    assert await names(site, jobs, created_since=before, created_until=soon, tag="night") == {"small", "fits", "asks"}
    assert await names(site, jobs, finished_until=before) == set()
    assert await names(site, jobs, finished_since=before, status=["failed", "finished"]) == {"small", "tiny", "fits"}


async def test_pages_of_a_search_follow_one_another_without_gaps(site: Site) -> None:
    jobs = [await site.client.start("packer", {"size": 1}, tags=["many"]) for _ in range(5)]
    for job in jobs:
        await site.client.wait(job, timeout_s=10)
    for wanted in (
        {"status": ["failed"]},
        {"tag": "many", "status": ["failed"]},
        {"tag": "many", "blueprint": "packer"},
    ):
        found: list[str] = []
        cursor: str | None = None
        while True:
            page = await site.client.jobs(limit=2, cursor=cursor, **wanted)
            found += [one.id for one in page.items]
            cursor = page.next
            if cursor is None:
                break
        assert sorted(found) == sorted(jobs)


@pytest.mark.parametrize(
    "query",
    ["error=nonsense", "created_since=yesterday", "finished_until=9999999", "status=sleeping&tag=x", "cursor=x"],
)
async def test_a_filter_of_a_wrong_type_is_refused(site: Site, query: str) -> None:
    status, problem = await site.ask("GET", f"/api/v1/jobs?{query}")
    assert (status, problem["code"]) == (400, "invalid_parameter"), problem


async def test_errors_of_one_kind_are_told_together_the_most_frequent_first(site: Site) -> None:
    jobs = await some_jobs(site.client)
    aside = await site.client.start("packer", {"size": -1})
    await site.client.wait(aside, timeout_s=20)
    first, second = await site.client.errors()
    assert (first.count, first.blueprint_name) == (2, "packer")
    assert first.message in {"box 3 is too small", "box 1 is too small"}
    assert first.job_id in {jobs["small"], jobs["tiny"]}
    assert second.count == 1
    await site.client.retry(jobs["small"], argument={"size": 10})
    await site.client.wait(jobs["small"], timeout_s=5)
    assert {group.count for group in await site.client.errors()} == {1}
    status, problem = await site.ask("GET", "/api/v1/errors?since=2020-01-01")
    assert (status, problem["code"]) == (400, "invalid_parameter")


async def test_many_jobs_are_dealt_with_by_one_verb_and_a_dry_run_changes_nothing(site: Site) -> None:
    jobs = await some_jobs(site.client)
    look = await site.client.bulk("retry", status=["failed"], dry_run=True)
    assert (look.matched, look.done, set(look.jobs)) == (2, 0, {jobs["small"], jobs["tiny"]})
    assert (await site.client.job(jobs["tiny"])).status == "failed"
    part = await site.client.bulk("retry", status=["failed"], limit=1)
    assert (part.matched, part.done) == (1, 1)
    held = await site.client.bulk("pause", tag="night", status=["waiting_for_human"], reason="later")
    assert held.done == 1
    assert (await site.client.job(jobs["asks"])).status == "paused"
    assert (await site.client.bulk("resume", status=["paused"])).done == 1
    assert (await site.client.bulk("cancel", status=["waiting_for_human"])).done == 1
    assert (await site.client.job(jobs["asks"])).status == "cancelled"
    gone = await site.client.bulk("delete", blueprint="packer")
    assert gone.done == 3
    assert [one.id for one in (await site.client.jobs()).items] == [jobs["asks"]]


async def test_what_a_job_refuses_is_told_for_it_and_the_others_go_on(site: Site) -> None:
    jobs = await some_jobs(site.client)
    outcome = await site.client.bulk("retry", blueprint="packer", status=["failed", "finished"])
    assert (outcome.matched, outcome.done) == (3, 2)
    assert [(one.job_id, one.code) for one in outcome.errors] == [(jobs["fits"], "job_finished")]


async def test_without_a_status_a_verb_is_for_the_jobs_that_it_can_be_done_to(site: Site) -> None:
    await some_jobs(site.client)
    found = {
        verb: (await site.client.bulk(verb, tag="night", dry_run=True)).matched
        for verb in ("cancel", "retry", "pause", "resume", "delete")
    }
    assert found == {"cancel": 1, "retry": 1, "pause": 1, "resume": 0, "delete": 3}
    await site.client.bulk("pause", tag="night")
    paused = await site.client.bulk("cancel", tag="night", dry_run=True)
    assert paused.matched == 1, "what is held can be cancelled"


async def asking(site: Site, count: int) -> list[str]:
    """Jobs that wait for people."""
    body = {"jobs": [{"blueprint": "asker", "tags": ["many"]} for _ in range(count)]}
    status, told = await site.ask("POST", "/api/v1/batches", body)
    assert status == 201
    jobs: list[str] = told["jobs"]
    return jobs


async def test_all_jobs_of_a_filter_are_gone_through_and_the_rest_after_a_crash_half_way(
    site: Site, muster_cli: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = await asking(site, 230)
    look = await muster_cli("job", "bulk", "cancel", "--tag", "many", "--dry-run")
    assert (look.code, look.out) == (0, "230 jobs match\n")
    async for part in site.client.bulk_all("cancel", tag="many"):
        assert (part.matched, part.done) == (100, 100)
        break  # whoever did it is gone
    monkeypatch.setattr(job_operations, "TOLD_EACH", 100)
    rest = await muster_cli("job", "bulk", "cancel", "--tag", "many")
    assert (rest.code, rest.out) == (0, "cancel: 130 of 130 jobs\n")
    assert "cancel: 100 of 100 jobs so far" in rest.err
    again = await muster_cli("job", "bulk", "cancel", "--tag", "many")
    assert (again.code, again.out) == (0, "cancel: 0 of 0 jobs\n")
    assert {(await site.client.job(job)).status for job in jobs} == {"cancelled"}


async def test_so_many_jobs_and_no_more_are_dealt_with(site: Site, muster_cli: Type) -> None:
    await asking(site, 8)
    some = await muster_cli("job", "bulk", "pause", "--tag", "many", "--limit", "5")
    assert some.out == "pause: 5 of 5 jobs\n"
    assert len((await site.client.jobs(status=["paused"])).items) == 5


async def test_a_run_that_fails_half_way_says_how_far_it_came(
    site: Site, muster_cli: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asking(site, 130)
    run_one, calls = site.engine.operations.many.run, count()

    async def run(tenant: str, order: BulkOrder) -> BulkOutcome:
        if next(calls):
            raise MusterError(ErrorCode.STORE_FULL, "the store is full")
        return await run_one(tenant, order)

    monkeypatch.setattr(site.engine.operations.many, "run", run)
    said = await muster_cli("job", "bulk", "cancel", "--tag", "many")
    assert said.code != 0
    assert "cancel: 100 of 100 jobs; the same command goes on with the rest" in said.err


@pytest.mark.parametrize(
    "body",
    [
        {"action": "retry", "filter": {}},
        {"action": "delete", "filter": {"status": []}},
        {"action": "delete", "filter": {"tag": None, "created_since": None}},
        {"action": "delete", "filter": {"tag": "x"}, "dry_run": "yes"},
        {"action": "delete", "filter": {"tag": "x"}, "dryrun": True},
        {"action": "explode", "filter": {"tag": "x"}},
        {"action": "delete", "filter": {"tga": "x"}},
        {"action": "delete", "filter": {"status": "failed"}},
        {"action": "delete", "filter": {"tag": "x"}, "limit": "many"},
        {"action": "delete", "filter": {"tag": "x"}, "limit": 501},
        {"action": "delete"},
    ],
)
async def test_a_bulk_request_that_is_not_meant_is_refused(site: Site, body: dict[str, Any]) -> None:
    status, problem = await site.ask("POST", "/api/v1/jobs/bulk", body)
    assert (status, problem["code"]) == (400, "invalid_body"), problem


async def test_a_blueprint_says_how_long_its_jobs_are_kept(muster: TestMuster) -> None:
    brief = Blueprint("brief", retention="1h")

    @brief.start
    def begin(job):  # type: ignore[no-untyped-def]
        return job.done()

    job = await muster.run(brief)
    (part,) = muster.machine.state.partitions
    ended = job.record.finished_at
    assert ended is not None
    assert part.jobs[job.id].expires_at == ended + 3_600_000


@pytest.mark.parametrize("retention", [0, -1, "0s", "400d", "soon"])
def test_a_retention_that_keeps_nothing_is_refused_where_it_is_written(retention: Any) -> None:
    with pytest.raises(ValueError, match=str(retention)):
        Blueprint("brief", retention=retention)


@pytest.mark.parametrize("more", [{}, {"tag": "night"}, {"blueprint": "asker"}])
async def test_cancelled_jobs_are_found_by_their_status(site: Site, more: dict[str, Any]) -> None:
    job = await site.client.start("asker", tags=["night"])
    await site.client.start("asker", tags=["night"])
    await site.client.cancel(job)
    assert [one.id for one in (await site.client.jobs(status=["cancelled"], **more)).items] == [job]


@pytest.mark.parametrize("by", ["creation", "tag"])
async def test_live_jobs_are_found_without_reading_those_that_are_over(
    site: Site, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    monkeypatch.setattr(searching, "PAGE", 2)
    monkeypatch.setattr(searching, "SEARCH_JOBS_MAX", 2)
    asks = await site.client.start("asker", tags=["night"])
    for _ in range(4):
        await site.client.wait(await site.client.start("packer", {"size": 12}, tags=["night"]), timeout_s=10)
    since = datetime.now(UTC) - timedelta(hours=1)
    more: dict[str, Any] = {"created_since": since} if by == "creation" else {"tag": "night"}
    page = await site.client.jobs(status=["waiting_for_human"], **more)
    assert [one.id for one in page.items] == [asks]
    over = await site.client.jobs(status=["finished"], finished_since=since, limit=2)
    assert (len(over.items), over.next is not None) == (2, True)
