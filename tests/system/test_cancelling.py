"""Cancelling reaches the worker over its WebSocket or its heartbeat, and the job ends in any case."""

import time

import aiohttp

from tests.system.callers import Api, PlainWorker, api_at
from tests.system.processes import WORKER_TOKEN, Cluster

HEADERS = {"X-Worker-Token": WORKER_TOKEN}


async def test_a_task_that_nobody_fetched_is_cancelled_at_once_and_never_handed_out(
    a: Api, on_a: PlainWorker, name: str
) -> None:
    job_id = await a.start("one", type=name)
    reply = await a.cancel(job_id)
    assert (reply.status, reply.body) == (200, {"status": "cancellation_request_accepted"})
    assert (await a.job(job_id))["status"] == "cancelled"
    await on_a.register(name)
    assert await on_a.poll(0.2) is None


async def test_the_command_goes_out_over_the_workers_socket_on_the_other_replica(
    a: Api, on_b: PlainWorker, http: aiohttp.ClientSession, name: str
) -> None:
    await on_b.register(name)
    async with http.ws_connect(f"{on_b.url}/_worker/ws/{on_b.worker_id}", headers=HEADERS) as socket:
        job_id = await a.start("one", type=name)
        task = await on_b.take()
        reply = await a.cancel(job_id)
        assert reply.body == {"status": "cancellation_request_sent"}
        frame = await socket.receive_json(timeout=15)
        assert frame == {"command": "cancel_task", "task_id": task["task_id"], "job_id": job_id}
        assert (await on_b.report(task, "cancelled")).body == {"status": "result_accepted_cancelled"}
    assert (await a.end_of(job_id))["status"] == "cancelled"


async def test_a_worker_without_a_socket_learns_it_from_its_heartbeat(a: Api, on_b: PlainWorker, name: str) -> None:
    await on_b.register(name)
    job_id = await a.start("one", type=name)
    task = await on_b.take()
    assert (await a.cancel(job_id)).body == {"status": "cancellation_request_accepted"}
    assert (await a.job(job_id))["cancel_requested"] is True
    empty, full = await on_b.beat(), await on_b.beat(load=0.5)
    assert empty.body == {"status": "ttl_refreshed", "cancel_task_ids": [task["task_id"]]}
    assert full.body["cancel_task_ids"] == [task["task_id"]]
    assert (await a.cancel(job_id)).status == 200  # a second wish while the first is pending
    assert (await on_b.report(task, data={"x": 1})).body == {"status": "result_accepted_cancelled"}
    job = await a.end_of(job_id)
    assert (job["status"], job["state_history"]) == ("cancelled", {})
    assert "cancel_task_ids" not in (await on_b.beat()).body


async def test_a_worker_that_does_not_answer_gets_its_grace_and_no_more(a: Api, on_a: PlainWorker, name: str) -> None:
    await on_a.register(name)
    job_id = await a.start("one", type=name)
    task = await on_a.take()
    asked_at = time.monotonic()
    await a.cancel(job_id)
    assert (await a.job(job_id))["status"] == "waiting_for_worker"
    job = await a.end_of(job_id)
    assert job["status"] == "cancelled"
    assert 0.8 < time.monotonic() - asked_at < 15  # the grace is 1 s here, and 30 s elsewhere
    late = await on_a.report(task)
    assert late.body == {"status": "result_ignored", "reason": "job_cancelled"}
    again = await a.cancel(job_id)
    assert (again.status, again.body["code"]) == (409, "job_final")


async def test_a_wish_to_cancel_waits_for_a_socket_that_comes_later(
    a: Api, on_b: PlainWorker, http: aiohttp.ClientSession, name: str
) -> None:
    await on_b.register(name)
    job_id = await a.start("one", type=name)
    task = await on_b.take()
    await a.cancel(job_id)
    async with http.ws_connect(f"{on_b.url}/_worker/ws/{on_b.worker_id}", headers=HEADERS) as socket:
        frame = await socket.receive_json(timeout=15)
        assert frame == {"command": "cancel_task", "task_id": task["task_id"], "job_id": job_id}


async def test_a_state_that_declares_a_way_for_cancelling_is_entered(a: Api, on_a: PlainWorker, name: str) -> None:
    await on_a.register(name)
    job_id = await a.start("careful", type=name)
    task = await on_a.take()
    await a.cancel(job_id)
    assert (await on_a.report(task, "failure")).body == {"status": "result_accepted_cancelled"}
    job = await a.end_of(job_id)
    assert (job["status"], job["result"]) == ("finished", {"cleaned_up": True})


async def test_a_job_that_waits_for_a_person_or_a_timer_can_be_cancelled(a: Api) -> None:
    for blueprint, status in (("ask", "waiting_for_human"), ("nap", "waiting")):
        job_id = await a.start(blueprint, seconds=60)
        await a.is_(job_id, status)
        assert (await a.cancel(job_id)).status == 200
        assert (await a.end_of(job_id))["status"] == "cancelled"


async def test_cancelling_a_fan_ends_what_runs_and_what_waits(a: Api, on_a: PlainWorker, name: str) -> None:
    await on_a.register(name)
    job_id = await a.start("fan", type=name, count=3)
    held = await on_a.take()
    await a.cancel(job_id)
    await on_a.report(held, "cancelled")
    assert (await a.end_of(job_id))["status"] == "cancelled"
    assert await on_a.poll(0.2) is None


async def test_an_sdk_worker_stops_a_cancelled_task(fleet: Cluster, a: Api, name: str) -> None:
    fleet.add_worker(name)
    job_id = await a.start("one", type=f"{name}.hold")
    await a.is_(job_id, "waiting_for_worker")
    while not fleet.runs_of(name):
        await a.job(job_id)
    await a.cancel(job_id)
    assert (await a.end_of(job_id))["status"] == "cancelled"
    echo = await a.start("one", type=f"{name}.echo")
    assert (await a.end_of(echo))["status"] == "finished"


async def test_a_cancelled_job_ends_although_replica_and_worker_are_both_gone(
    mortal: Cluster, http: aiohttp.ClientSession
) -> None:
    a, b = api_at(http, mortal.a.url), api_at(http, mortal.b.url)
    worker = PlainWorker(http, mortal.a.url)
    await worker.register("gone.task")
    job_id = await a.start("one", type="gone.task")
    await worker.take()
    await a.cancel(job_id)
    mortal.a.kill()
    assert (await b.end_of(job_id))["status"] == "cancelled"
