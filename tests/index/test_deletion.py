"""Deleting a job: it ends first, and then it never was."""

import asyncio

import pytest

from tests.api.conftest import ALICE, ANY_WORKER, BOB
from tests.files.conftest import Site


async def delete(site: Site, job_id: str, headers: dict[str, str] = ALICE) -> int:
    return (await site.http.delete(f"/api/v1/jobs/{job_id}", headers=headers)).status


async def test_a_deleted_job_is_404_everywhere_and_its_files_are_gone(site: Site) -> None:
    held = await site.hold()
    kept = await site.keep(held, b"something")
    await site.end(held)
    own = await site.upload(b"mine")
    assert await delete(site, held.job_id) == 204
    job = f"/api/v1/jobs/{held.job_id}"
    for path in (job, f"{job}/history", f"{job}/logs", f"{job}/steps", f"{job}/artifacts", f"{job}/artifacts.zip"):
        assert (await site.http.get(path, headers=ALICE)).status == 404, path
    assert (await site.http.get(f"/api/v1/files/{kept['artifact_id']}", headers=ALICE)).status == 404
    assert await delete(site, held.job_id) == 404
    assert (await (await site.http.get("/api/v1/jobs", headers=ALICE)).json())["items"] == []
    assert len(site.on_disk()) == 1, "an upload is the tenant's, not the job's"
    assert await site.state.files.used("alice") == len(b"mine")
    assert (await site.http.get(f"/api/v1/files/{own}", headers=ALICE)).status == 200


async def test_another_tenants_job_is_not_deleted(site: Site) -> None:
    held = await site.hold()
    assert await delete(site, held.job_id, BOB) == 404
    assert await delete(site, "no-job") == 404
    assert (await site.http.get(f"/api/v1/jobs/{held.job_id}", headers=ALICE)).status == 200


async def test_an_active_job_ends_before_it_is_deleted(site: Site) -> None:
    held = await site.hold()
    deleting = asyncio.create_task(delete(site, held.job_id))
    while not (await site.engine.job("alice", held.job_id)).cancel_requested:
        await asyncio.sleep(0)
    assert not deleting.done()
    body = {"job_id": held.job_id, "task_id": held.task_id, "worker_id": "w1", "result": {"status": "cancelled"}}
    await site.http.post("/_worker/tasks/result", json=body, headers=ANY_WORKER)
    assert await deleting == 204
    assert (await site.http.get(f"/api/v1/jobs/{held.job_id}", headers=ALICE)).status == 404


@pytest.fixture
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion by nobody's hand, as a retention ends a job: it is seen where somebody looks again."""
    monkeypatch.setattr("muster.engine.watchers.LOOK_AGAIN_S", 0.2)
    monkeypatch.setattr("muster.engine.journal.LOOK_AGAIN_S", 0.2)


@pytest.mark.usefixtures("looking_often")
async def test_who_waits_for_a_job_that_is_deleted_is_told_404(site: Site) -> None:
    held = await site.hold()
    url = f"/api/v1/jobs/{held.job_id}?wait=30"
    waiting = asyncio.create_task(site.http.get(url, headers=ALICE))
    while not site.engine._watchers._watches:
        await asyncio.sleep(0)
    while not site.state.partitions[0].jobs[next(iter(site.state.partitions[0].jobs))].watchers:
        await asyncio.sleep(0)
    store = site.engine._store
    record = await site.engine.job("alice", held.job_id)
    await store.delete(record.id)
    assert (await waiting).status == 404


@pytest.mark.usefixtures("looking_often")
async def test_the_log_of_a_deleted_job_ends_for_who_follows_it(site: Site) -> None:
    held = await site.hold()
    async with site.http.get(f"/api/v1/jobs/{held.job_id}/logs?follow", headers=ALICE) as answer:
        record = await site.engine.job("alice", held.job_id)
        await site.engine._store.delete(record.id)
        assert b"event: end" in await asyncio.wait_for(answer.content.read(), 10)
