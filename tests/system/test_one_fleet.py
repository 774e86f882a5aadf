"""Several orchestrators on one store work as one."""

import asyncio
import time

import aiohttp

from tests.system.callers import Api, PlainWorker, api_at, until
from tests.system.conftest import MakeCluster
from tests.system.processes import Cluster

WINDOW_S = 2.5


async def test_a_job_given_to_one_replica_is_worked_off_and_waited_for_at_the_other(
    a: Api, b: Api, on_a: PlainWorker, on_b: PlainWorker, name: str
) -> None:
    await on_b.register(name)
    job_id = await a.start("one", type=name, params={"n": 1})
    waiting = asyncio.create_task(b.end_of(job_id))
    task = await on_b.take()
    assert (task["job_id"], task["type"], task["params"], task["attempt"]) == (job_id, name, {"n": 1}, 1)
    on_a.worker_id = on_b.worker_id  # the worker reports to the other replica
    reply = await on_a.report(task, data={"sum": 2})
    assert reply.body == {"status": "result_accepted_success"}
    job = await waiting
    assert (job["status"], job["state_history"]) == ("finished", {"sum": 2})


async def test_a_ready_task_wakes_exactly_one_poll_on_whichever_replica_holds_it(
    fleet: Cluster, a: Api, http: aiohttp.ClientSession, name: str
) -> None:
    workers = [
        PlainWorker(http, place.url, worker_id=f"{name}-{place.port}-{n}")
        for place in fleet.orchestrators
        for n in range(20)
    ]
    await asyncio.gather(*(worker.register(name) for worker in workers))
    for round_ in range(4):
        polls = [asyncio.create_task(worker.poll(20)) for worker in workers]
        await settled(fleet)
        job_id = await a.start("one", type=name)
        done, waiting = await asyncio.wait(polls, timeout=10, return_when=asyncio.FIRST_COMPLETED)
        assert len(done) == 1, round_
        task = done.pop().result()
        assert task is not None
        assert task["job_id"] == job_id
        assert not any(poll.done() for poll in waiting)
        owner = next(worker for worker, poll in zip(workers, polls, strict=True) if poll.done())
        await owner.report(task)
        assert (await a.end_of(job_id))["status"] == "finished"
        for poll in waiting:
            poll.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_idle_polls_cost_the_store_no_command(mute: Cluster, http: aiohttp.ClientSession) -> None:
    workers = [PlainWorker(http, mute.a.url, worker_id=f"idle-{n}") for n in range(300)]
    await asyncio.gather(*(worker.register("idle.task") for worker in workers))
    alone = [asyncio.create_task(workers[0].poll(30))]
    quiet = await commands_in_a_window(mute)
    polls = alone + [asyncio.create_task(worker.poll(30)) for worker in workers[1:]]
    crowded = await commands_in_a_window(mute)
    assert not any(poll.done() for poll in polls)
    # A tick and a sweep more may fall into the window, some 15 commands each; one for every poll would be 299.
    assert crowded < quiet + 75, f"{quiet} commands with one idle poll, {crowded} with 300"
    with mute.store.client() as store:
        assert store.info("clients")["connected_clients"] < 10
    for poll in polls:
        poll.cancel()
    await asyncio.gather(*polls, return_exceptions=True)


async def test_tasks_come_by_priority_and_then_in_the_order_of_their_jobs(a: Api, on_a: PlainWorker, name: str) -> None:
    await on_a.register(name)
    order = [await a.start("one", type=name, params={"n": n}, priority=n // 2) for n in range(6)]
    got = [(await on_a.take())["job_id"] for _ in range(6)]
    assert got == [order[4], order[5], order[2], order[3], order[0], order[1]]


async def test_a_worker_gets_only_tasks_that_it_offered(a: Api, on_a: PlainWorker, name: str) -> None:
    await on_a.register(f"{name}.mine")
    await a.start("one", type=f"{name}.other")
    mine = await a.start("one", type=f"{name}.mine")
    assert (await on_a.take())["job_id"] == mine
    assert await on_a.poll(0) is None


async def test_what_a_worker_tells_one_replica_the_others_know(
    a: Api, on_a: PlainWorker, on_b: PlainWorker, name: str
) -> None:
    on_b.worker_id = on_a.worker_id
    await on_a.register(f"{name}.x")
    assert await on_b.poll(0) is None  # from here on the other replica knows the worker
    wanted = await a.start("one", type=f"{name}.y")
    await on_a.beat(supported_tasks=[f"{name}.y"])
    assert (await on_b.take(2))["job_id"] == wanted
    await on_a.beat(status="draining")
    kept = await a.start("one", type=f"{name}.y")
    assert await on_b.poll(0.1) is None
    await on_a.register(f"{name}.x", f"{name}.y")
    assert (await on_b.take(2))["job_id"] == kept


async def test_a_task_of_an_unknown_type_waits_for_a_worker_to_appear(a: Api, on_b: PlainWorker, name: str) -> None:
    job_id = await a.start("one", type=name)
    job = await a.is_(job_id, "waiting_for_worker")
    assert job["task_worker_id"] is None
    await on_b.register(name)
    await on_b.report(await on_b.take())
    assert (await a.end_of(job_id))["status"] == "finished"


async def test_one_idempotency_key_makes_one_job_however_often_and_wherever_it_is_sent(
    a: Api, b: Api, name: str
) -> None:
    body, key = {"initial_data": {"type": name}}, {"Idempotency-Key": name}
    replies = await asyncio.gather(
        *(api.call("POST", "/api/v1/jobs/one", body, headers=key) for api in (a, b) for _ in range(8))
    )
    assert {reply.status for reply in replies} == {202}
    assert len({reply.body["job_id"] for reply in replies}) == 1
    other = await a.call("POST", "/api/v1/jobs/one", {"initial_data": {"type": "x"}}, headers=key)
    assert (other.status, other.body["code"]) == (409, "idempotency_conflict")


async def test_a_key_of_one_tenant_means_nothing_for_another(a: Api, stranger: Api, name: str) -> None:
    body, key = {"initial_data": {"type": name}}, {"Idempotency-Key": name}
    mine = await a.call("POST", "/api/v1/jobs/one", body, headers=key)
    theirs = await stranger.call("POST", "/api/v1/jobs/one", body, headers=key)
    assert (mine.status, theirs.status) == (202, 202)
    assert mine.body["job_id"] != theirs.body["job_id"]


async def test_another_tenants_job_answers_exactly_as_one_that_never_was(a: Api, stranger: Api, name: str) -> None:
    mine, never = await a.start("ask"), "01890a5d-ac96-774b-bcce-b302099a8057"
    await a.is_(mine, "waiting_for_human")
    routes = [
        ("GET", "", None),
        ("GET", "?wait=5", None),
        ("GET", "/history", None),
        ("POST", "/cancel", None),
        ("POST", "/decision", {"decision": "approved"}),
    ]
    for method, rest, body in routes:
        foreign = await stranger.call(method, f"/api/v1/jobs/{mine}{rest}", body)
        unknown = await stranger.call(method, f"/api/v1/jobs/{never}{rest}", body)
        assert foreign.status == unknown.status == 404, rest
        assert foreign.raw.replace(mine.encode(), b"") == unknown.raw.replace(never.encode(), b""), rest
    listed = await stranger.call("GET", "/api/v1/jobs?limit=200")
    assert mine not in {job["id"] for job in listed.body["items"]}
    assert (await a.job(mine))["status"] == "waiting_for_human"


async def test_a_job_that_is_waited_for_at_its_creation_comes_back_finished(
    a: Api, on_b: PlainWorker, name: str
) -> None:
    await on_b.register(name)
    body = {"initial_data": {"type": name}}
    asking = asyncio.create_task(a.call("POST", "/api/v1/jobs/one", body, headers={"Prefer": "wait=20"}))
    await on_b.report(await on_b.take(), data={"x": 1})
    reply = await asking
    assert (reply.status, reply.body["status"], reply.body["state_history"]) == (200, "finished", {"x": 1})
    assert reply.headers["Preference-Applied"] == "wait=20"


async def test_a_map_of_a_thousand_tasks_finishes_with_its_results_in_order(fleet: Cluster, a: Api, name: str) -> None:
    worker = fleet.add_worker(name, MUSTER_WORKER_SLOTS="64")
    job_id = await a.start("fan", type=f"{name}.echo", count=1000)
    job = await a.end_of(job_id, 40)
    assert (job["status"], job["result"]) == ("finished", {"results": list(range(1000))})
    assert worker.stop() == 0


async def test_a_timer_set_by_one_replica_fires_on_time_also_when_that_replica_is_gone(
    mortal: Cluster, http: aiohttp.ClientSession
) -> None:
    a, b = api_at(http, mortal.a.url), api_at(http, mortal.b.url)
    late, took_s = await a.start("nap", seconds=2), list[float]()
    for _ in range(3):
        started = time.monotonic()
        early = await a.start("nap", seconds=0.3)
        assert (await a.end_of(early))["result"] == {"awake": True}
        took_s.append(time.monotonic() - started)
    assert min(took_s) < 1  # a busy machine may be slow now and then
    mortal.a.kill()
    assert (await b.end_of(late))["result"] == {"awake": True}


async def test_four_partitions_are_a_setting_and_nothing_else_changes(
    make_cluster: MakeCluster, http: aiohttp.ClientSession
) -> None:
    cluster = make_cluster(replicas=2, MUSTER_PARTITIONS="4")
    a, b = api_at(http, cluster.a.url), api_at(http, cluster.b.url)
    cluster.add_worker("four", MUSTER_WORKER_SLOTS="16")
    jobs = [await api.start("three", type="four.work") for api in (a, b) for _ in range(12)]
    jobs.append(await a.start("fan", type="four.echo", count=150))
    asked = [await b.start("ask") for _ in range(6)]
    ends = await asyncio.gather(*(b.end_of(job_id) for job_id in jobs))
    assert {job["status"] for job in ends} == {"finished"}
    assert {int(job["id"][15:18], 16) % 4 for job in ends} == {0, 1, 2, 3}
    assert len(cluster.runs_of("four")) == 72
    for job_id in asked:
        reply = await a.call("POST", f"/_public/webhooks/approval/{job_id}", {"decision": "approved"})
        assert reply.status == 200, reply
    assert {(await a.end_of(job_id))["status"] for job_id in asked} == {"finished"}
    listed = (await a.call("GET", "/api/v1/jobs?limit=200")).body["items"]
    assert {job["id"] for job in listed} == {*jobs, *asked}


async def test_without_history_the_list_of_events_is_empty(mute: Cluster, http: aiohttp.ClientSession) -> None:
    api, worker = api_at(http, mute.a.url), PlainWorker(http, mute.a.url)
    await worker.register("mute")
    job_id = await api.start("one", type="mute")
    await worker.report(await worker.take())
    assert (await api.end_of(job_id))["status"] == "finished"
    assert await api.events(job_id) == []
    assert (await api.call("GET", "/api/v1/jobs/01890a5d-ac96-774b-bcce-b302099a8057/history")).status == 404


async def settled(cluster: Cluster) -> None:
    """Claims of polls that have just come are over: the store is asked for nothing but ticks."""

    async def quiet() -> bool:
        before = sum(cluster.store.commands().values())
        await asyncio.sleep(0.15)
        return sum(cluster.store.commands().values()) - before <= 8

    await until(quiet, "the polls stand still")


async def commands_in_a_window(cluster: Cluster) -> int:
    await settled(cluster)
    before = sum(cluster.store.commands().values())
    await asyncio.sleep(WINDOW_S)  # a rate needs a time
    return sum(cluster.store.commands().values()) - before
