"""surfaces.md 1.3: what a worker with a token may do, over HTTP."""

import asyncio
import time

import pytest

from tests.surface.conftest import NEVER, OWN_ID, OWN_TOKEN, TASK
from tests.surface.test_client import WORKER_FIELDS
from tests.system.callers import Api, Caller, PlainWorker, Reply

TASK_FIELDS = {"job_id", "task_id", "type", "params", "attempt", "timeout_seconds", "priority", "tracing_context"}


async def test_a_registration_is_answered_exactly_and_may_be_repeated(client: Api, new_worker: PlainWorker) -> None:
    for types in ([TASK], [TASK, "other"], []):
        body = {"worker_id": new_worker.worker_id, "supported_tasks": types, "unknown": 1}
        reply = await new_worker.call("POST", "/_worker/workers/register", body)
        assert (reply.status, reply.body) == (200, {"status": "registered"})
        (found,) = (await client.call("GET", "/api/v1/workers")).body
        assert found["supported_tasks"] == types


@pytest.mark.parametrize("worker_id", ["a", "A-1_b.c:d", "x" * 128])
async def test_worker_ids_may_be_anything_of_the_documented_alphabet(new_worker: PlainWorker, worker_id: str) -> None:
    new_worker.worker_id = worker_id
    await new_worker.register()
    assert (await new_worker.beat()).body == {"status": "ttl_refreshed"}


async def test_an_empty_heartbeat_refreshes_and_a_full_one_shows_the_worker(client: Api, worker: PlainWorker) -> None:
    empty = await worker.beat()
    assert (empty.status, empty.body) == (200, {"status": "ttl_refreshed"})
    changes = {
        "status": "busy", "load": 0.75, "supported_tasks": ["a", "b"], "current_tasks": ["t-1"],
        "max_concurrent_tasks": 9, "cost_per_second": 1.5, "resources": {"cpu": 2},
    }  # fmt: skip
    full = await worker.beat(**changes, worker_id=worker.worker_id)
    assert full.status == 200
    assert set(full.body) >= WORKER_FIELDS
    assert {name: full.body[name] for name in changes} == changes
    (listed,) = (await client.call("GET", "/api/v1/workers")).body
    assert {name: listed[name] for name in changes} == changes


async def test_a_poll_that_waits_for_nothing_still_gets_what_is_ready(client: Api, worker: PlainWorker) -> None:
    started = [await client.start("simple_flow") for _ in range(3)]
    for job_id in started:
        await client.is_(job_id, "waiting_for_worker")
    found = [await worker.poll(0) for _ in started]
    assert [task and task["job_id"] for task in found] == started
    assert await worker.poll(0) is None


async def test_a_waiting_poll_is_told_at_once_that_a_flush_ended_its_registration(
    anybody: Caller, client: Api, worker: PlainWorker
) -> None:
    path = f"/_worker/workers/{worker.worker_id}/tasks/next"
    waiting = asyncio.create_task(worker.call("GET", f"{path}?timeout=30"))
    await worker.beat(status="busy")  # the server has had a request since
    done: set[asyncio.Task[Reply]] = set()
    began = time.monotonic()
    while not done and time.monotonic() - began < 10:
        await anybody.call("POST", "/_public/debug/flush_db")
        done, _ = await asyncio.wait({waiting}, timeout=0.2)
    reply = await waiting
    assert (reply.status, reply.body["code"]) == (404, "worker_not_found")
    assert time.monotonic() - began < 10


async def test_types_that_a_heartbeat_changes_count_from_then_on(client: Api, worker: PlainWorker) -> None:
    await worker.beat(supported_tasks=["something.else"])
    job_id = await client.start("simple_flow")
    assert await worker.poll(0.1) is None
    await worker.beat(supported_tasks=[TASK])
    assert (await worker.take())["job_id"] == job_id


async def test_a_draining_worker_gets_nothing_until_it_is_idle_again(client: Api, worker: PlainWorker) -> None:
    await worker.beat(status="draining")
    job_id = await client.start("simple_flow")
    assert await worker.poll(0.2) is None
    await worker.beat(status="idle")
    assert (await worker.take())["job_id"] == job_id


async def test_a_poll_brings_the_documented_task_or_204_when_its_time_is_over(client: Api, worker: PlainWorker) -> None:
    started = time.monotonic()
    path = f"/_worker/workers/{worker.worker_id}/tasks/next"
    empty = await worker.call("GET", f"{path}?timeout=0.4")
    assert (empty.status, empty.raw) == (204, b"")
    assert 0.35 < time.monotonic() - started < 10
    job_id = await client.start("simple_flow", colour="red")
    task = await worker.take()
    assert set(task) == TASK_FIELDS
    assert (task["job_id"], task["type"], task["params"]) == (job_id, TASK, {"colour": "red"})
    assert (task["attempt"], task["priority"], task["tracing_context"]) == (1, 0, {})
    assert task["timeout_seconds"] == 300
    assert isinstance(task["task_id"], str)


async def test_a_poll_is_held_open_until_there_is_work(client: Api, worker: PlainWorker) -> None:
    poll = asyncio.create_task(worker.poll())  # with the server's own time-out
    await asyncio.sleep(0.2)
    assert not poll.done()
    job_id = await client.start("simple_flow")
    task = await asyncio.wait_for(poll, 10)
    assert task is not None
    assert task["job_id"] == job_id


async def test_a_task_goes_to_one_worker_only(client: Api, worker: PlainWorker, new_worker: PlainWorker) -> None:
    await new_worker.register(TASK)
    polls = [asyncio.create_task(who.poll(1)) for who in (worker, new_worker)]
    await client.start("simple_flow")
    assert sorted(task is None for task in await asyncio.gather(*polls)) == [False, True]


async def test_the_trace_context_goes_along_and_no_other_header(client: Api, worker: PlainWorker) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = {"traceparent": trace, "tracestate": "a=1", "X-Secret": "no"}
    await client.call("POST", "/api/v1/jobs/simple_flow", {}, headers=headers)
    assert (await worker.take())["tracing_context"] == {"traceparent": trace, "tracestate": "a=1"}


@pytest.mark.parametrize(
    ("status", "error", "receipt", "job_status"),
    [
        ("success", None, "success", "finished"),
        ("failure", {"code": "PERMANENT_ERROR", "message": "m"}, "failure", "quarantined"),
        ("failure", {"code": "INVALID_INPUT_ERROR", "message": "m"}, "failure", "failed"),
        ("failure", {"code": "COMMAND_FAILED", "message": "m"}, "failure", "failed"),
        ("cancelled", None, "cancelled", "cancelled"),
        ("no_such_way", None, "success", "failed"),
    ],
)
async def test_a_result_is_answered_and_ends_the_job(
    client: Api, worker: PlainWorker, status: str, error: object, receipt: str, job_status: str
) -> None:
    job_id = await client.start("simple_flow")
    reply = await worker.report(await worker.take(), status, data={"x": 1}, error=error)
    assert (reply.status, reply.body) == (200, {"status": f"result_accepted_{receipt}"})
    job = await client.end_of(job_id)
    assert job["status"] == job_status
    assert job["current_task_id"] is None
    assert (job["error_message"] is None) == (job_status == "finished")


@pytest.mark.parametrize("error", [None, "a text", {"message": "m"}, {"code": "TRANSIENT_ERROR"}, {"code": "NEW_WORD"}])
async def test_failures_without_a_known_code_are_passing_ones(client: Api, worker: PlainWorker, error: object) -> None:
    job_id = await client.start("simple_flow")
    first = await worker.take()
    assert (await worker.report(first, "failure", error=error)).body == {"status": "result_accepted_failure"}
    again = await worker.take()
    assert (again["job_id"], again["attempt"]) == (job_id, 2)
    job = await client.job(job_id)
    assert (job["status"], job["retry_count"]) == ("waiting_for_worker", 1)


async def test_three_retries_and_then_quarantine(client: Api, worker: PlainWorker) -> None:
    job_id = await client.start("simple_flow")
    error = {"code": "TRANSIENT_ERROR", "message": "busy", "retry_after_seconds": 0}
    for attempt in (1, 2, 3, 4):
        task = await worker.take()
        assert task["attempt"] == attempt
        await worker.report(task, "failure", error=error)
    job = await client.end_of(job_id)
    assert (job["status"], job["error_message"], job["retry_count"]) == ("quarantined", "busy", 3)


async def test_what_comes_too_late_is_200_and_changes_nothing(client: Api, worker: PlainWorker) -> None:
    job_id = await client.start("simple_flow")
    task = await worker.take()
    await worker.report(task, data={"first": True})
    done = await client.end_of(job_id)
    for status in ("success", "failure", "cancelled", "x"):
        again = await worker.report(task, status, data={"second": True})
        assert (again.status, again.body) == (200, {"status": "result_ignored", "reason": "duplicate"})
    assert await client.job(job_id) == done
    cancelled = await client.start("simple_flow")
    task = await worker.take()
    await client.cancel(cancelled)
    assert (await worker.report(task)).body == {"status": "result_accepted_cancelled"}
    again = await worker.report(task)
    assert again.body == {"status": "result_ignored", "reason": "job_cancelled"}


async def test_only_the_worker_that_holds_a_task_may_report_it(
    client: Api, worker: PlainWorker, new_worker: PlainWorker
) -> None:
    await new_worker.register(TASK)
    job_id = await client.start("simple_flow")
    task = await worker.take()
    stolen = await new_worker.report(task, data={"evil": True})
    assert (stolen.status, stolen.body["code"]) == (403, "forbidden")
    assert (await client.job(job_id))["status"] == "waiting_for_worker"
    assert (await worker.report(task)).body == {"status": "result_accepted_success"}


async def test_reports_of_unknown_jobs_and_tasks_are_404(client: Api, worker: PlainWorker) -> None:
    job_id = await client.start("simple_flow")
    task = await worker.take()
    other = await client.start("simple_flow")
    for report, code in (
        ({**task, "job_id": NEVER, "task_id": f"{NEVER}.1"}, "job_not_found"),
        ({**task, "job_id": "nonsense"}, "task_not_found"),
        ({**task, "task_id": "nonsense"}, "task_not_found"),
        ({**task, "task_id": f"{job_id}.999"}, "task_not_found"),
        ({**task, "job_id": other}, "task_not_found"),
    ):
        reply = await worker.report(report)
        assert (reply.status, reply.body["code"]) == (404, code), report
    assert (await client.job(job_id))["status"] == "waiting_for_worker"


async def test_an_unknown_worker_is_404_and_may_register(new_worker: PlainWorker) -> None:
    path = f"/_worker/workers/{new_worker.worker_id}"
    for method, rest, body in (("PATCH", "", None), ("PATCH", "", {"load": 1}), ("GET", "/tasks/next?timeout=0", None)):
        reply = await new_worker.call(method, path + rest, body)
        assert (reply.status, reply.body["code"]) == (404, "worker_not_found")
    await new_worker.register()
    assert (await new_worker.beat()).status == 200


@pytest.mark.parametrize("token", [None, "", "wrong", "client-token-of-tenant-alpha"])
async def test_without_a_valid_worker_token_everything_of_workers_is_401(anybody: Api, token: str | None) -> None:
    headers = {} if token is None else {"X-Worker-Token": token}
    for method, path in (
        ("POST", "/_worker/workers/register"),
        ("PATCH", "/_worker/workers/w"),
        ("GET", "/_worker/workers/w/tasks/next"),
        ("POST", "/_worker/tasks/result"),
        ("GET", "/_worker/ws/w"),
    ):
        reply = await anybody.call(method, path, headers=headers)
        assert (reply.status, reply.body["code"]) == (401, "unauthenticated"), path
        assert reply.headers["WWW-Authenticate"] == "Bearer"


async def test_an_individual_token_is_for_its_own_worker_and_the_global_one_for_all_others(
    client: Api, worker: PlainWorker
) -> None:
    own = PlainWorker(worker.session, worker.url, worker_id=OWN_ID, headers={"X-Worker-Token": OWN_TOKEN})
    await own.register(TASK)
    job_id = await client.start("simple_flow")
    task = await own.take()
    for thief, as_id in ((own, worker.worker_id), (worker, OWN_ID)):
        mask = PlainWorker(worker.session, worker.url, worker_id=as_id, headers=thief.headers)
        register = {"worker_id": as_id, "supported_tasks": [TASK]}
        replies = [
            await mask.call("POST", "/_worker/workers/register", register),
            await mask.beat(),
            await mask.call("GET", f"/_worker/workers/{as_id}/tasks/next?timeout=0"),
            await mask.report(task),
            await mask.call("GET", f"/_worker/ws/{as_id}", headers={"Upgrade": "websocket", "Connection": "Upgrade"}),
        ]
        assert {(reply.status, reply.body["code"]) for reply in replies} == {(403, "forbidden")}
    assert (await own.report(task)).status == 200
    assert (await client.end_of(job_id))["status"] == "finished"
