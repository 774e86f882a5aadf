"""Workers of two replicas: what tasks need, and what an operator orders."""

import asyncio

import aiohttp

from tests.system.callers import Api, PlainWorker, until
from tests.system.conftest import MakeCluster
from tests.system.processes import Cluster


async def test_a_task_finds_the_worker_that_has_what_it_needs_at_the_other_replica(
    a: Api, b: Api, on_a: PlainWorker, on_b: PlainWorker, name: str
) -> None:
    await on_a.register(name, labels={"gpu": "t4"}, resources={"gpu_info": {"model": "T4", "vram_gb": 16}})
    await on_b.register(name, labels={"gpu": "a100"}, installed_models=[{"name": "llama-3", "version": "2"}])
    needs = {"labels": {"gpu": ["a100", "h100"]}, "models": ["llama-3"]}
    job_id = await a.start("choosy", type=name, needs=needs)
    assert await on_a.poll(0.2) is None
    task = await on_b.take()
    assert task["job_id"] == job_id
    await on_b.report(task)
    assert (await b.end_of(job_id))["status"] == "finished"


async def test_what_the_best_worker_lacks_is_told_by_either_replica(
    a: Api, b: Api, on_a: PlainWorker, name: str
) -> None:
    await on_a.register(name, labels={"gpu": "t4"})
    job_id = await a.start("choosy", type=name, needs={"labels": {"gpu": "a100"}})
    reply = await b.call("GET", f"/api/v1/jobs/{job_id}/why")
    (reason,) = reply.body["reasons"]
    assert reason["code"] == "needs_unmet"
    assert reason["details"]["worker"] == on_a.worker_id
    assert reason["details"]["lacks"] == ["label gpu is 't4', not 'a100'"]
    wanted = await b.call("GET", f"/api/v1/fleet/wanted?task={name}&labels=gpu=a100")
    assert wanted.body == {"value": 1}
    assert (await b.call("GET", f"/api/v1/fleet/wanted?task={name}&labels=gpu=t4")).body == {"value": 0}
    await a.cancel(job_id)


async def test_an_order_at_one_replica_holds_for_a_worker_of_the_other(
    fleet: Cluster, a: Api, b: Api, on_b: PlainWorker, name: str
) -> None:
    await on_b.register(name)
    reply = await a.call("POST", f"/api/v1/workers/{on_b.worker_id}/drain")
    assert (reply.status, reply.body["status"], reply.body["order"]) == (200, "draining", "drain")
    job_id = await a.start("one", type=name)
    assert await on_b.poll(0.1) is None
    reply = await a.call("GET", f"/api/v1/jobs/{job_id}/why")
    assert [reason["code"] for reason in reply.body["reasons"]] == ["workers_draining"]
    assert (await on_b.beat(load=0)).body["order"] == "drain"
    await b.call("POST", f"/api/v1/workers/{on_b.worker_id}/resume")
    task = await on_b.take()
    assert task["job_id"] == job_id
    await on_b.report(task)
    assert (await a.call("POST", "/api/v1/workers/nobody/drain")).body["code"] == "worker_not_found"


async def test_an_sdk_worker_obeys(make_cluster: MakeCluster, http: aiohttp.ClientSession) -> None:
    from tests.system.callers import api_at

    cluster = make_cluster(replicas=2)
    worker = cluster.add_worker("obey", at=[cluster.b], MUSTER_WORKER_LABELS="gpu=a100")
    api = api_at(http, cluster.a.url)

    async def state() -> dict[str, object]:
        found = [one for one in (await api.call("GET", "/api/v1/workers")).body if one["worker_id"] == "obey-1"]
        return dict(found[0]) if found else {}

    async def is_there() -> bool:
        return (await state()).get("labels") == {"gpu": "a100"}

    await until(is_there, "the worker is there")
    held = await api.start("one", type="obey.hold")
    await api.is_(held, "waiting_for_worker")
    await api.call("POST", "/api/v1/workers/obey-1/resize", {"slots": 3})

    async def has_three() -> bool:
        return (await state())["max_concurrent_tasks"] == 3

    await until(has_three, "it takes three at a time")
    await api.call("POST", "/api/v1/workers/obey-1/drain")
    waits = await api.start("one", type="obey.echo", params=1)
    await api.call("POST", "/api/v1/workers/obey-1/resume")
    assert (await api.end_of(waits))["status"] == "finished"
    await api.call("POST", "/api/v1/workers/obey-1/disconnect")
    (cluster.folder / "obey.go").touch()
    assert (await api.end_of(held))["status"] == "finished", "what it had it finished"
    assert worker.popen is not None
    assert await asyncio.to_thread(worker.popen.wait, 20) == 86
