"""Jobs deleted in a fleet of real processes, while workers hold them."""

import asyncio
from typing import Any

import aiohttp
from muster_worker.client import Client
from muster_worker.errors import NotFound

from tests.system.callers import Api, PlainWorker, until
from tests.system.processes import ALPHA, Cluster


def keys_of(fleet: Cluster, word: str) -> list[str]:
    with fleet.store.client() as client:
        return [key for key in client.scan_iter(count=1000) if word in key]


def bytes_on_accounts(fleet: Cluster) -> int:
    with fleet.store.client() as client:
        accounts: list[dict[str, Any]] = [client.hgetall(key) for key in client.scan_iter("*fq:*")]
    return sum(int(account[""]) for account in accounts)


async def test_a_deleted_jobs_files_are_gone_from_the_disk_and_the_accounts(
    fleet: Cluster, a: Api, b: Api, name: str
) -> None:
    before, kept_before = bytes_on_accounts(fleet), len(fleet.files())
    fleet.add_worker(name)
    job_id = await a.start("one", type=f"{name}.keep", params={"bytes": 5000})
    assert (await a.end_of(job_id))["status"] == "finished"
    assert (bytes_on_accounts(fleet), len(fleet.files())) == (before + 5000, kept_before + 1)
    assert (await b.call("DELETE", f"/api/v1/jobs/{job_id}")).status == 204
    assert (bytes_on_accounts(fleet), len(fleet.files())) == (before, kept_before)
    for api in (a, b):
        assert (await api.call("GET", f"/api/v1/jobs/{job_id}")).status == 404
    assert keys_of(fleet, job_id) == []


async def test_a_running_command_is_stopped_and_its_job_deleted(fleet: Cluster, a: Api, b: Api, name: str) -> None:
    fleet.add_worker(name)
    job_id = await a.start("one", type=f"{name}.hold")

    async def running() -> bool:
        return len(fleet.runs_of(name)) == 1

    await until(running, "the task runs")
    assert (await b.call("DELETE", f"/api/v1/jobs/{job_id}")).status == 204
    assert (await a.call("GET", f"/api/v1/jobs/{job_id}")).status == 404
    again = await a.start("one", type=f"{name}.echo", params={"n": 1})
    assert (await a.end_of(again))["status"] == "finished", "the worker is free again"
    assert keys_of(fleet, job_id) == []


async def test_a_worker_that_does_not_answer_holds_a_deletion_up_for_its_grace_only(
    a: Api, b: Api, on_a: PlainWorker, fleet: Cluster, name: str
) -> None:
    await on_a.register(name)
    job_id = await a.start("one", type=name)
    task = await on_a.take()
    async with b.following(job_id) as events:
        assert (await a.call("DELETE", f"/api/v1/jobs/{job_id}", timeout_s=5)).status == 204
        assert [event["event"] async for event in events] == ["end"]
    assert (await on_a.report(task)).status == 404
    assert keys_of(fleet, job_id) == []


async def test_a_job_whose_clean_up_takes_too_long_is_deleted_all_the_same(
    a: Api, on_a: PlainWorker, fleet: Cluster, name: str
) -> None:
    """Its blueprint answers the cancel by another task."""
    await on_a.register(name, f"{name}.after")
    job_id = await a.start("tidy", type=name, after=f"{name}.after")
    await on_a.take()
    deleting = asyncio.create_task(a.call("DELETE", f"/api/v1/jobs/{job_id}", timeout_s=10))
    task = await on_a.take()
    assert task["type"] == f"{name}.after"
    assert (await deleting).status == 204
    assert (await on_a.report(task)).status == 404
    assert keys_of(fleet, job_id) == []


async def test_the_sdk_tags_lists_and_deletes(fleet: Cluster, http: aiohttp.ClientSession, name: str) -> None:
    async with Client(fleet.a.url, ALPHA) as client:
        made = [await client.start("one", {"type": name}, tags=[name, "both"]) for _ in range(2)]
        page = await client.jobs(tag=name)
        assert sorted(job.id for job in page.items) == sorted(made)
        assert page.items[0].tags == [name, "both"]
        await client.delete(made[0])
        assert [job.id for job in (await client.jobs(tag=name)).items] == [made[1]]
        try:
            await client.delete(made[0])
        except NotFound:
            return
    raise AssertionError("it was there twice")
