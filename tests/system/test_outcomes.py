"""What a worker's report means for its job."""

import asyncio
import time
from itertools import pairwise
from typing import Any

import pytest

from tests.system.callers import Api, PlainWorker
from tests.system.processes import Cluster

NOW = {"code": "TRANSIENT_ERROR", "message": "busy", "retry_after_seconds": 0}


async def test_a_passing_error_is_tried_again_with_back_off_and_put_aside_after_the_last_retry(
    a: Api, on_a: PlainWorker, name: str
) -> None:
    """Three retries, of which two by the server's own back-off: 0.5 to 1 s, then 1 to 2 s."""
    await on_a.register(name)
    job_id = await a.start("one", type=name)
    attempts, taken_at = [], []
    for n in range(4):
        task = await on_a.take()
        attempts.append(task["attempt"])
        taken_at.append(time.monotonic())
        reply = await on_a.report(task, "failure", error="no connection" if n < 2 else NOW)
        assert reply.body == {"status": "result_accepted_failure"}
    assert attempts == [1, 2, 3, 4]
    first, second, third = (later - earlier for earlier, later in pairwise(taken_at))
    assert 0.4 < first < 1.8
    assert 0.9 < second < 3
    assert third < 1
    job = await a.end_of(job_id)
    assert (job["status"], job["retry_count"], job["error_message"]) == ("quarantined", 3, "busy")
    assert (await a.events(job_id)).count("task_retried") == 3


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": "PERMANENT_ERROR", "message": "no such customer"}, "quarantined"),
        ({"code": "INVALID_INPUT_ERROR", "message": "no such customer"}, "failed"),
        ({"code": "COMMAND_FAILED", "message": "no such customer"}, "failed"),
    ],
)
async def test_an_error_that_cannot_pass_ends_the_job_at_once(
    a: Api, on_b: PlainWorker, name: str, error: dict[str, str], status: str
) -> None:
    await on_b.register(name)
    job_id = await a.start("one", type=name)
    task = await on_b.take()
    assert (await on_b.report(task, "failure", error=error)).body == {"status": "result_accepted_failure"}
    job = await a.end_of(job_id)
    assert (job["status"], job["error_message"], job["retry_count"]) == (status, "no such customer", 0)
    assert await on_b.poll(0) is None


async def test_a_declared_way_for_failures_is_taken(a: Api, on_a: PlainWorker, name: str) -> None:
    await on_a.register(name)
    job_id = await a.start("careful", type=name)
    await on_a.report(await on_a.take(), "failure", error="no stock")
    job = await a.end_of(job_id)
    assert (job["status"], job["result"]) == ("finished", {"handled": "TRANSIENT_ERROR", "message": "no stock"})


async def test_an_outcome_that_the_state_declares_leads_to_its_state(a: Api, on_a: PlainWorker, name: str) -> None:
    await on_a.register(name)
    job_id = await a.start("careful", type=name)
    reply = await on_a.report(await on_a.take(), "needs_review", data={"doubt": True})
    assert reply.body == {"status": "result_accepted_success"}
    job = await a.is_(job_id, "waiting_for_human")
    assert job["waiting_for"]["decisions"] == ["approved", "rejected"]
    assert job["state_history"] == {"doubt": True}


async def test_an_outcome_that_nobody_declared_fails_the_job_and_names_those_that_are(
    a: Api, on_a: PlainWorker, name: str
) -> None:
    await on_a.register(name)
    job_id = await a.start("careful", type=name)
    await on_a.report(await on_a.take(), "needs_coffee", data={"x": 1})
    job = await a.end_of(job_id)
    assert job["status"] == "failed"
    assert "needs_coffee" in job["error_message"]
    assert "needs_review" in job["error_message"]


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


async def test_a_failed_branch_fails_its_fan_and_the_others_are_not_handed_out(
    a: Api, on_a: PlainWorker, name: str
) -> None:
    await on_a.register(name)
    job_id = await a.start("fan", type=name, count=5)
    ok, bad = await on_a.take(), await on_a.take()
    await on_a.report(ok)
    await on_a.report(bad, "failure", error={"code": "PERMANENT_ERROR", "message": "branch broke"})
    job = await a.end_of(job_id)
    assert (job["status"], job["error_message"]) == ("quarantined", "branch broke")
    assert await on_a.poll(0.2) is None


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
