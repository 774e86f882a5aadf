"""Requeues, limits of time and deadlines, with a real worker on a real store."""

from typing import Any

from tests.system.callers import Api
from tests.system.processes import Cluster


async def end(a: Api, fleet: Cluster, kind: str, params: Any = None, **limits: Any) -> tuple[dict[str, Any], list[str]]:
    fleet.add_worker(kind)
    await a.end_of(await a.start("one", type=f"{kind}.echo"))  # the worker is up
    job_id = await a.start("one", type=f"{kind}.{'wait' if params else 'hold'}", params=params or {}, limits=limits)
    return await a.end_of(job_id), await a.events(job_id)


async def test_a_task_that_its_worker_puts_back_comes_again_and_counts_no_retry(a: Api, fleet: Cluster) -> None:
    job, events = await end(a, fleet, "requeuing", {"after": "20ms"}, retry=None)
    assert (job["status"], job["result"], job["retry_count"]) == ("finished", {"attempt": 3}, 0)
    assert events.count("task_requeued") == 2


async def test_a_handler_that_gives_no_sign_is_timed_out_though_its_worker_sends_heartbeats(
    a: Api, fleet: Cluster
) -> None:
    job, events = await end(a, fleet, "hanging", heartbeat="300ms", schedule_to_start="30s")
    assert (job["status"], job["error_details"]["code"]) == ("quarantined", "HEARTBEAT_TIMEOUT")
    assert events.count("task_started") == len(fleet.runs_of("hanging")) == job["retry_count"] + 1 == 4


async def test_schedule_to_close_ends_a_running_attempt(a: Api, fleet: Cluster) -> None:
    job, events = await end(a, fleet, "closing", schedule_to_close="300ms")
    assert events.count("task_started") == 1
    assert (job["status"], job["error_details"]["code"]) == ("quarantined", "SCHEDULE_TO_CLOSE_TIMEOUT")


async def test_a_job_that_is_too_late_has_failed_and_its_worker_is_free_again(a: Api, fleet: Cluster) -> None:
    fleet.add_worker("late", MUSTER_WORKER_SLOTS="1")
    body = {"initial_data": {"type": "late.hold"}, "deadline_seconds": 0.5}
    reply = await a.call("POST", "/api/v1/jobs/one", body)
    job = await a.end_of(reply.body["job_id"])
    assert (job["status"], job["error_details"]["code"]) == ("failed", "job_deadline")
    assert job["deadline_at"] is not None
    echo = await a.end_of(await a.start("one", type="late.echo", params={"n": 1}))
    assert echo["result"] == {"n": 1}
