"""Files in a fleet of real processes, and what is left of them when one is killed in the middle."""

import asyncio

import aiohttp

from tests.system.callers import Api, api_at, until
from tests.system.conftest import QUICK, MakeCluster
from tests.system.processes import Cluster

LARGE, AGAIN = 1 << 30, 1 << 28
"""Bytes whose sending takes so long that somebody can be killed meanwhile; fewer where they are sent once more."""


async def artifacts_of(api: Api, job_id: str) -> list[tuple[str, int]]:
    reply = await api.call("GET", f"/api/v1/jobs/{job_id}/artifacts")
    return [(item["name"], item["size"]) for item in reply.body["items"]]


async def some_has_come(cluster: Cluster) -> None:
    async def there() -> bool:
        return any(name.startswith("incoming/") for name in cluster.files())

    await until(there, "an upload is under way")


async def test_a_file_of_one_replica_is_read_at_the_other(a: Api, b: Api, stranger: Api) -> None:
    sent = await a.call("POST", "/api/v1/files?name=a.txt", data=b"hello")
    file_id = sent.body["file_id"]
    assert (await b.call("GET", f"/api/v1/files/{file_id}")).raw == b"hello"
    assert (await stranger.call("GET", f"/api/v1/files/{file_id}")).status == 404
    signed = await a.call("POST", f"/api/v1/files/{file_id}/signed-url")
    path = signed.body["download_url"].removeprefix(a.url)
    async with b.session.get(b.url + path) as answer:
        assert await answer.read() == b"hello"
    assert (await b.call("DELETE", f"/api/v1/files/{file_id}")).status == 204
    assert (await a.call("GET", f"/api/v1/files/{file_id}")).status == 404


async def test_a_worker_killed_mid_upload_leaves_nothing_and_the_next_attempt_keeps_its_file(
    make_cluster: MakeCluster, http: aiohttp.ClientSession
) -> None:
    cluster = make_cluster(**QUICK)
    api = api_at(http, cluster.a.url)
    worker = cluster.add_worker("k")
    job_id = await api.start("one", type="k.keep", params={"bytes": LARGE})
    await some_has_come(cluster)
    worker.kill()

    async def nothing_is_left() -> bool:
        return cluster.files() == []

    await until(nothing_is_left, "the half file is gone")
    assert await artifacts_of(api, job_id) == []
    cluster.add_worker("k")
    assert (await api.end_of(job_id, 30))["status"] == "finished"
    assert await artifacts_of(api, job_id) == [("made.bin", 1000)]


async def test_an_orchestrator_killed_mid_upload_costs_a_retry_elsewhere(
    make_cluster: MakeCluster, http: aiohttp.ClientSession
) -> None:
    cluster = make_cluster(replicas=2, **QUICK)
    api = api_at(http, cluster.b.url)
    cluster.add_worker("k")
    job_id = await api.start("one", type="k.keep", params={"bytes": AGAIN})
    await some_has_come(cluster)
    await asyncio.to_thread(cluster.a.kill)
    job = await api.end_of(job_id, 50)
    assert job["status"] == "finished", job
    (kept,) = await artifacts_of(api, job_id)
    assert kept[0] == "made.bin"
    assert kept[1] in {1000, AGAIN}


async def test_a_job_with_large_values_runs_as_any_other_and_redis_holds_none_of_them(
    make_cluster: MakeCluster, http: aiohttp.ClientSession
) -> None:
    cluster = make_cluster(replicas=2, **QUICK)
    api, other = api_at(http, cluster.a.url), api_at(http, cluster.b.url)
    cluster.add_worker("k")
    text = "a large value " * 20_000
    job_id = await api.start("one", type="k.echo", params={"text": text})
    job = await other.end_of(job_id)
    assert job["status"] == "finished"
    assert job["state_history"] == job["initial_data"]["params"] == {"text": text}
    with cluster.store.client() as client:
        info = client.info("memory")
        assert isinstance(info, dict)
        assert max(client.memory_usage(key, samples=0) or 0 for key in client.scan_iter()) < len(text)
    assert (await api.call("DELETE", f"/api/v1/jobs/{job_id}")).status == 204
    assert (await other.call("GET", f"/api/v1/jobs/{job_id}")).status == 404
