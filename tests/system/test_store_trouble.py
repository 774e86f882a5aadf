"""The store restarts, dies, stands still or is full: 503 with Retry-After meanwhile, and nothing accepted is lost."""

import asyncio

import aiohttp

from tests.system.callers import Api, PlainWorker, Reply, api_at, until
from tests.system.processes import Cluster
from tests.system.test_orchestrators_lost import accept_while, all_finish, reached


def is_unavailable(reply: Reply, code: str = "store_unavailable") -> bool:
    right = (reply.status, reply.body["code"]) == (503, code) and int(reply.headers["Retry-After"]) >= 1
    assert right, reply
    return right


async def asked(api: Api) -> Reply:
    return await api.call("GET", "/api/v1/dashboard", timeout_s=15)


async def recovered(api: Api) -> None:
    async def answers() -> bool:
        return (await asked(api)).status == 200

    await until(answers, "the server answers again")


async def test_nothing_accepted_is_lost_when_the_store_is_killed_under_load(
    shaky: Cluster, http: aiohttp.ClientSession
) -> None:
    shaky.add_worker("store", MUSTER_WORKER_SLOTS="8")
    apis = [api_at(http, place.url) for place in shaky.orchestrators]
    accepted, stop = list[str](), asyncio.Event()
    load = [asyncio.create_task(accept_while(api, accepted, "store.work", stop)) for api in apis]
    for n in range(2):
        # Every second (the default) promises less: a write may be put off while the disk is busy (docs/guarantees.md).
        shaky.store.config(appendfsync="always")
        await reached(accepted, len(accepted) + 25 * (n + 1))
        await asyncio.to_thread(shaky.store.kill)
        before = len(accepted)
        assert is_unavailable(await asked(apis[0]))
        assert (await apis[0].call("GET", "/readyz")).status == 503
        assert (await apis[0].call("GET", "/_public/status")).body == {"status": "ok"}
        assert len(accepted) - before <= 2  # those whose answers were on their way
        await asyncio.to_thread(shaky.store.start)
        await recovered(apis[0])
        await recovered(apis[1])
    stop.set()
    await asyncio.gather(*load)
    await all_finish(shaky, apis[1], accepted)


async def test_waiting_polls_and_clients_survive_a_restart_of_the_store(
    shaky_valkey: Cluster, http: aiohttp.ClientSession
) -> None:
    api, worker = api_at(http, shaky_valkey.a.url), PlainWorker(http, shaky_valkey.a.url)
    await worker.register("survive.task")
    held = await api.start("one", type="survive.task")
    task = await worker.take()
    poll = asyncio.create_task(worker.poll(25))
    waiting = asyncio.create_task(api.end_of(held, 25))
    await asyncio.to_thread(shaky_valkey.store.stop)
    await asyncio.to_thread(shaky_valkey.store.start)
    await recovered(api)
    next_ = await api.start("one", type="survive.task")
    got = await poll
    assert got is not None
    assert got["job_id"] == next_
    for one in (task, got):
        assert (await worker.report(one)).body == {"status": "result_accepted_success"}
    assert (await waiting)["status"] == "finished"


async def test_a_result_that_met_a_dead_store_is_taken_once_when_it_is_sent_again(
    shaky_valkey: Cluster, http: aiohttp.ClientSession
) -> None:
    api, worker = api_at(http, shaky_valkey.a.url), PlainWorker(http, shaky_valkey.a.url)
    await worker.register("again.task")
    job_id = await api.start("one", type="again.task")
    task = await worker.take()
    await asyncio.to_thread(shaky_valkey.store.kill)
    refused = await asyncio.gather(worker.report(task, data={"n": 1}), worker.beat(load=0.5))
    assert all(is_unavailable(reply) for reply in refused)
    await asyncio.to_thread(shaky_valkey.store.start)
    await recovered(api)
    assert (await worker.report(task, data={"n": 1})).body == {"status": "result_accepted_success"}
    assert (await worker.report(task, data={"n": 1})).body["status"] == "result_ignored"
    assert (await api.end_of(job_id))["state_history"] == {"n": 1}


async def test_a_full_store_takes_no_job_finishes_what_runs_and_recovers(
    shaky: Cluster, http: aiohttp.ClientSession
) -> None:
    api, worker = api_at(http, shaky.a.url), PlainWorker(http, shaky.a.url)
    await worker.register("full.task")
    under_way = [await api.start("one", type="full.task") for _ in range(3)]
    held = [await worker.take() for _ in range(2)]
    shaky.store.config(maxmemory="1")
    refused = await api.call("POST", "/api/v1/jobs/one", {"initial_data": {"type": "full.task"}})
    assert is_unavailable(refused, "store_full")
    assert (await api.job(under_way[0]))["status"] == "waiting_for_worker"
    assert (await worker.report(held[0])).body == {"status": "result_accepted_success"}
    assert (await api.end_of(under_way[0]))["status"] == "finished"
    assert (await worker.beat()).status == 200
    shaky.store.config(maxmemory="0")
    assert (await worker.report(held[1])).body == {"status": "result_accepted_success"}
    assert (await worker.report(await worker.take())).body == {"status": "result_accepted_success"}
    assert {(await api.end_of(job_id))["status"] for job_id in under_way} == {"finished"}
    fresh = await api.start("one", type="full.task")
    await worker.report(await worker.take())
    assert (await api.end_of(fresh))["status"] == "finished"


async def test_a_store_that_stands_still_is_503_and_then_all_goes_on(
    shaky_valkey: Cluster, http: aiohttp.ClientSession
) -> None:
    api, worker = api_at(http, shaky_valkey.a.url), PlainWorker(http, shaky_valkey.a.url)
    await worker.register("still.task")
    job_id = await api.start("one", type="still.task")
    task = await worker.take()
    shaky_valkey.store.pause()
    try:
        assert is_unavailable(await asked(api))
    finally:
        shaky_valkey.store.resume()
    await recovered(api)
    assert (await worker.report(task)).body["status"] == "result_accepted_success"
    assert (await api.end_of(job_id))["status"] == "finished"


async def test_scripts_that_the_store_forgot_are_loaded_again(
    shaky_valkey: Cluster, http: aiohttp.ClientSession
) -> None:
    api = api_at(http, shaky_valkey.a.url)
    with shaky_valkey.store.client() as store:
        store.script_flush()
    job_id = await api.start("nap", seconds=0.05)
    assert (await api.end_of(job_id))["status"] == "finished"


async def test_production_does_not_start_on_a_store_that_evicts(shaky_valkey: Cluster) -> None:
    shaky_valkey.store.config(maxmemory_policy="allkeys-lru")
    refused = shaky_valkey.add_orchestrator(MUSTER_MODE="production")
    assert await asyncio.to_thread(refused.wait, 15) != 0
    shaky_valkey.store.config(maxmemory_policy="noeviction")
    assert "maxmemory-policy noeviction" in refused.log
