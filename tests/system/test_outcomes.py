"""What a worker's report means for its job, over HTTP; tests/engine/test_outcomes.py has what needs no server."""

import asyncio
from typing import Any

import pytest

from tests.system.callers import Api, PlainWorker
from tests.system.processes import Cluster


async def test_the_flat_shape_of_the_documents_own_sdk_means_the_same(a: Api, on_a: PlainWorker, name: str) -> None:
    await on_a.register(name)
    job_id = await a.start("one", type=name)
    task = await on_a.take()
    flat = {"job_id": job_id, "task_id": task["task_id"], "worker_id": on_a.worker_id}
    error = {"code": "PERMANENT_ERROR", "message": "no"}
    body = {**flat, "status": "failure", "data": None, "error": error}
    assert (await on_a.call("POST", "/_worker/tasks/result", body)).body == {"status": "result_accepted_failure"}
    assert (await a.end_of(job_id))["status"] == "quarantined"


@pytest.mark.parametrize("times", [2, 20])
async def test_a_result_sent_many_times_on_two_replicas_counts_once(
    a: Api, on_a: PlainWorker, on_b: PlainWorker, name: str, times: int
) -> None:
    on_b.worker_id = on_a.worker_id
    await on_a.register(name)
    job_id = await a.start("three", type=name)
    task = await on_a.take()
    replies = await asyncio.gather(*(who.report(task, data={"step": 1}) for _ in range(times) for who in (on_a, on_b)))
    taken = [reply for reply in replies if reply.body["status"] == "result_accepted_success"]
    assert len(taken) == 1
    assert {reply.body["reason"] for reply in replies if reply not in taken} == {"duplicate"}
    second = await on_b.take()
    assert second["params"] == {"step": 2}
    assert await on_a.poll(0) is None
    again = await on_a.report(task, data={"step": 9})
    assert again.body == {"status": "result_ignored", "reason": "duplicate"}
    assert (await a.job(job_id))["status"] == "waiting_for_worker"
    await on_a.report(second, data={"step": 2})
    await on_a.report(await on_a.take(), data={"step": 3})
    assert (await a.end_of(job_id))["state_history"] == {"step": 3}


async def test_results_of_any_json_shape_are_taken_and_only_objects_are_merged(
    a: Api, on_a: PlainWorker, name: str
) -> None:
    await on_a.register(name)
    shapes: list[Any] = [None, True, 7, "text", [1, {"a": []}], {}, {"empty": {}, "list": [], "ünï": "☃", "n": 2**53}]
    for data in shapes:
        job_id = await a.start("one", type=name)
        await on_a.report(await on_a.take(), data=data)
        job = await a.end_of(job_id)
        assert (job["result"], job["state_history"]) == (data, data if isinstance(data, dict) else {})


async def test_a_permanent_error_of_the_sdk_puts_the_job_aside(fleet: Cluster, a: Api, name: str) -> None:
    fleet.add_worker(name)
    job = await a.end_of(await a.start("one", type=f"{name}.permanent"))
    assert (job["status"], job["error_message"]) == ("quarantined", "no such customer")
