"""Routes of workers over HTTP."""

import asyncio
from typing import Any

import pytest
from muster.api import models
from muster.api.fleet_models import OrderedWorker
from muster.engine.views import JobOrder
from muster.store.base import StoreUnavailable
from muster_worker import wire

from tests.api.conftest import ALICE, ANY_WORKER, OWN_WORKER, Http, until
from tests.api.fake_engine import FakeEngine

UNKNOWN = "018f0000-0000-7000-8000-0000000000ff"
RESULT = "/_worker/tasks/result"


@pytest.fixture
async def worker(http: Http) -> Http:
    """A server with the documented worker `w1`."""
    body = {"worker_id": "w1", "supported_tasks": ["work"]}
    assert (await http.post("/_worker/workers/register", json=body, headers=ANY_WORKER)).status == 200
    return http


def a_task(engine: FakeEngine, worker_id: str | None = "w1") -> dict[str, Any]:
    """A task, held by the worker; the result it may report."""
    job = engine.new_record(JobOrder("alice", "simple_flow", {"text": "a"})).id
    if worker_id is not None:
        engine.take(worker_id, 1)
    return {"job_id": job, "task_id": f"{job}.0", "worker_id": "w1", "result": {"status": "success", "data": {"x": 1}}}


async def send(http: Http, body: Any, query: str = "") -> tuple[int, Any]:
    answer = await http.post(RESULT + query, json=body, headers=ANY_WORKER)
    return answer.status, await answer.json()


async def test_a_documented_registration_answers_exactly_registered(http: Http, engine: FakeEngine) -> None:
    body = {"worker_id": "worker-123", "supported_tasks": ["a", "b", "a"], "resources": {"cpu": 4}, "novel": [1]}
    answer = await http.post("/_worker/workers/register", json=body, headers=ANY_WORKER)
    assert (answer.status, await answer.json()) == (200, {"status": "registered"})
    found = engine.descriptions[0]
    assert (found.supported_tasks, found.protocol, found.facts) == (("a", "b"), 0, {"resources": {"cpu": 4}})


async def test_a_worker_of_the_sdk_learns_its_intervals(http: Http) -> None:
    body = {"worker_id": "w1", "protocol": 1}
    answer = await (await http.post("/_worker/workers/register", json=body, headers=ANY_WORKER)).json()
    told = wire.Registered.model_validate(answer)
    assert (told.protocol, told.heartbeat_seconds, told.lease_seconds, told.poll_seconds) == (1, 2, 8, 30)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{}",
        b"[]",
        b'{"worker_id": ""}',
        b'{"worker_id": "a b"}',
        b'{"worker_id": "w\\n"}',
        b'{"worker_id": 1}',
        b'{"worker_id": "w1", "supported_tasks": "a"}',
        b'{"worker_id": "w1", "supported_tasks": [1]}',
        b'{"worker_id": "w1", "supported_tasks": null}',
        b'{"worker_id": "w1", "cost_per_second": -1}',
        b'{"worker_id": "w1", "cost_per_second": "1"}',
        b'{"worker_id": "w1", "max_concurrent_tasks": 0}',
        b'{"worker_id": "w1", "max_concurrent_tasks": true}',
        b'{"worker_id": "w1", "resources": []}',
        b'{"worker_id": "' + b"w" * 129 + b'"}',
    ],
)
async def test_a_bad_registration_is_400(http: Http, engine: FakeEngine, body: bytes) -> None:
    answer = await http.post("/_worker/workers/register", data=body, headers=ANY_WORKER)
    assert answer.status == 400
    assert engine.descriptions == []


async def test_an_empty_heartbeat_only_refreshes(worker: Http) -> None:
    answer = await worker.patch("/_worker/workers/w1", headers=ANY_WORKER)
    assert (answer.status, await answer.json()) == (200, {"status": "ttl_refreshed"})


async def test_a_heartbeat_answers_the_updated_worker(worker: Http) -> None:
    body = {"status": "busy", "load": 0.75}
    state = await (await worker.patch("/_worker/workers/w1", json=body, headers=ANY_WORKER)).json()
    models.Worker.model_validate(state)
    assert (state["status"], state["load"], state["supported_tasks"]) == ("busy", 0.75, ["work"])
    assert "cancel_task_ids" not in state
    unchanged = await (await worker.patch("/_worker/workers/w1", json={}, headers=ANY_WORKER)).json()
    assert unchanged["status"] == "busy"


async def test_both_kinds_of_heartbeat_tell_what_was_cancelled(worker: Http, engine: FakeEngine) -> None:
    engine.to_cancel["w1"] = [f"{UNKNOWN}.0"]
    empty = await (await worker.patch("/_worker/workers/w1", headers=ANY_WORKER)).json()
    assert empty == {"status": "ttl_refreshed", "cancel_task_ids": [f"{UNKNOWN}.0"]}
    state = await (await worker.patch("/_worker/workers/w1", json={"load": 0}, headers=ANY_WORKER)).json()
    assert state["cancel_task_ids"] == [f"{UNKNOWN}.0"]


async def test_signs_of_life_are_passed_on_and_lost_leases_come_back(worker: Http, engine: FakeEngine) -> None:
    leases = [
        {"task_id": f"{UNKNOWN}.0", "attempt": 1, "fence": "f", "progress": 0.5, "message": "half"},
        {"task_id": f"{UNKNOWN}.1", "attempt": 2, "fence": "old"},
    ]
    state = await (await worker.patch("/_worker/workers/w1", json={"leases": leases}, headers=ANY_WORKER)).json()
    assert (state["cancel_task_ids"], state["lost_task_ids"]) == ([], [f"{UNKNOWN}.1"])
    assert [(sign.progress, sign.message) for sign in engine.signs] == [(0.5, "half"), (None, None)]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"status": "sleepy"}',
        b'{"load": 1.1}',
        b'{"load": -0.1}',
        b'{"load": "0.5"}',
        b'{"load": true}',
        b'{"supported_tasks": "a"}',
        b'{"current_tasks": [1]}',
        b'{"worker_id": "w2"}',
        b'{"leases": [{"task_id": "x"}]}',
    ],
)
async def test_a_bad_heartbeat_is_400_and_changes_nothing(worker: Http, engine: FakeEngine, body: bytes) -> None:
    answer = await worker.patch("/_worker/workers/w1", data=body, headers=ANY_WORKER)
    assert answer.status == 400
    assert engine.patches == []


@pytest.mark.parametrize(("method", "path"), [("PATCH", ""), ("GET", "/tasks/next?timeout=0")])
@pytest.mark.parametrize("worker_id", ["nobody", "a%20b", "x" * 200])
async def test_an_unknown_worker_is_404(http: Http, method: str, path: str, worker_id: str) -> None:
    answer = await http.request(method, f"/_worker/workers/{worker_id}{path}", headers=ANY_WORKER)
    assert (answer.status, (await answer.json())["code"]) == (404, "worker_not_found")


async def test_a_task_is_handed_out_bare_and_without_max(worker: Http, engine: FakeEngine) -> None:
    result = a_task(engine, None)
    answer = await worker.get("/_worker/workers/w1/tasks/next", headers=ANY_WORKER)
    task = wire.LeasedTask.model_validate(await answer.json())
    assert (answer.status, task.task_id, task.params, task.attempt) == (200, result["task_id"], {"text": "a"}, 1)
    assert (task.fence, task.lease_seconds) == ("f1", 8)
    assert engine.polls == [("w1", 30_000, 1)]


async def test_several_tasks_come_with_max(worker: Http, engine: FakeEngine) -> None:
    for _ in range(3):
        a_task(engine, None)
    answer = await worker.get("/_worker/workers/w1/tasks/next?max=2&timeout=0", headers=ANY_WORKER)
    assert len(wire.LeasedTasks.model_validate(await answer.json()).tasks) == 2


async def test_no_task_in_time_is_204_without_a_body(worker: Http) -> None:
    for query in ("?timeout=0", "?timeout=0.05&max=4"):
        answer = await worker.get(f"/_worker/workers/w1/tasks/next{query}", headers=ANY_WORKER)
        assert (answer.status, await answer.read()) == (204, b"")


async def test_a_longer_poll_than_allowed_is_shortened(worker: Http, engine: FakeEngine) -> None:
    a_task(engine, None)
    await worker.get("/_worker/workers/w1/tasks/next?timeout=9999&max=9999", headers=ANY_WORKER)
    assert engine.polls == [("w1", 30_000, 64)]


@pytest.mark.parametrize(
    "query", ["timeout=x", "timeout=-1", "timeout=nan", "timeout=", "max=0", "max=x", "max=-1", "max=1.5"]
)
async def test_a_bad_poll_is_400(worker: Http, engine: FakeEngine, query: str) -> None:
    answer = await worker.get(f"/_worker/workers/w1/tasks/next?{query}", headers=ANY_WORKER)
    assert (answer.status, (await answer.json())["code"]) == (400, "invalid_parameter")
    assert engine.polls == []


async def test_a_poller_that_goes_away_ends_its_poll(worker: Http, engine: FakeEngine) -> None:
    poll = asyncio.create_task(worker.get("/_worker/workers/w1/tasks/next", headers=ANY_WORKER))
    await engine.poll_started.wait()
    poll.cancel()
    await asyncio.wait_for(engine.poll_cancelled.wait(), 5)
    counted = 'route="/_worker/workers/{worker_id}/tasks/next",status="499"'
    await until(lambda: counted in engine.counters.render().decode())


async def test_a_result_is_taken(worker: Http, engine: FakeEngine) -> None:
    result = a_task(engine)
    assert await send(worker, result) == (200, {"status": "result_accepted_success"})
    assert engine.reports[0].data == {"x": 1}


@pytest.mark.parametrize("outcome", ["failure", "cancelled", "reviewed"])
async def test_every_outcome_has_its_answer(worker: Http, engine: FakeEngine, outcome: str) -> None:
    result = a_task(engine) | {"result": {"status": outcome}}
    word = outcome if outcome != "reviewed" else "success"
    assert await send(worker, result) == (200, {"status": f"result_accepted_{word}"})
    assert engine.reports[0].status == outcome


async def test_a_flat_result_means_the_same_as_a_nested_one(worker: Http, engine: FakeEngine) -> None:
    error = {"code": "PERMANENT_ERROR", "message": "no"}
    nested, flat = a_task(engine), a_task(engine)
    nested["result"] = {"status": "failure", "data": {"a": 1}, "error": error}
    del flat["result"]
    flat |= {"status": "failure", "data": {"a": 1}, "error": error}
    assert await send(worker, nested) == await send(worker, flat) == (200, {"status": "result_accepted_failure"})
    reports = [(r.status, r.data, r.code, r.message) for r in engine.reports]
    assert reports == [("failure", {"a": 1}, "PERMANENT_ERROR", "no")] * 2


@pytest.mark.parametrize(
    ("error", "code", "message", "retry_ms"),
    [
        (None, "TRANSIENT_ERROR", "", None),
        ("it broke", "TRANSIENT_ERROR", "it broke", None),
        ({"message": "m"}, "TRANSIENT_ERROR", "m", None),
        ({"code": "INVALID_INPUT_ERROR", "message": "m"}, "INVALID_INPUT_ERROR", "m", None),
        ({"code": "TRANSIENT_ERROR", "retry_after_seconds": 1.5}, "TRANSIENT_ERROR", "", 1500),
    ],
)
async def test_an_error_is_null_a_text_or_an_object(
    worker: Http, engine: FakeEngine, error: object, code: str, message: str, retry_ms: int | None
) -> None:
    await send(worker, a_task(engine) | {"result": {"status": "failure", "error": error}})
    report = engine.reports[0]
    assert (report.code, report.message, report.retry_after_ms) == (code, message, retry_ms)


async def test_a_result_that_comes_again_is_ignored_with_200(worker: Http, engine: FakeEngine) -> None:
    result = a_task(engine)
    await send(worker, result)
    assert await send(worker, result) == (200, {"status": "result_ignored", "reason": "duplicate"})
    assert len(engine.reports) == 1


@pytest.mark.parametrize("missing", ["job_id", "task_id", "worker_id", "result"])
async def test_a_result_without_a_required_member_is_400(worker: Http, engine: FakeEngine, missing: str) -> None:
    result = a_task(engine)
    del result[missing]
    assert (await send(worker, result))[0] == 400
    assert engine.reports == []


@pytest.mark.parametrize(
    "change",
    [
        {"job_id": 1},
        {"task_id": None},
        {"worker_id": ["w1"]},
        {"result": "success"},
        {"result": None},
        {"result": []},
        {"result": {"status": 1}},
        {"result": {"status": "failure", "error": 5}},
        {"result": {"status": "failure", "error": {"code": 1}}},
        {"result": {"status": "failure", "error": {"retry_after_seconds": -1}}},
        {"attempt": "1"},
        {"fence": 1},
    ],
    ids=str,
)
async def test_a_result_of_wrong_types_is_400(worker: Http, engine: FakeEngine, change: dict[str, Any]) -> None:
    assert (await send(worker, a_task(engine) | change))[0] == 400
    assert engine.reports == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"[" * 50_000])
async def test_a_result_that_is_no_object_is_400(worker: Http, body: bytes) -> None:
    assert (await worker.post(RESULT, data=body, headers=ANY_WORKER)).status == 400


async def test_a_result_of_an_unknown_job_or_task_is_404_and_of_anothers_403(worker: Http, engine: FakeEngine) -> None:
    result = a_task(engine)
    assert (await send(worker, result | {"job_id": UNKNOWN, "task_id": f"{UNKNOWN}.0"}))[1]["code"] == "job_not_found"
    assert (await send(worker, result | {"task_id": f"{result['job_id']}.7"}))[1]["code"] == "task_not_found"
    assert (await send(worker, result | {"worker_id": "w2"}))[0] == 403
    assert engine.reports == []


async def test_a_worker_says_how_many_of_a_type_it_would_take(worker: Http, engine: FakeEngine) -> None:
    said = {"free": '{"work": 2, "a:b,c&d": 0}'}
    task = a_task(engine)
    ways = (
        worker.get("/_worker/workers/w1/tasks/next", params={"timeout": "0", **said}, headers=ANY_WORKER),
        worker.post(RESULT, params={"next": "3", **said}, json=task, headers=ANY_WORKER),
        worker.post(RESULT + "s", params={"next": "3", **said}, json={"results": [task]}, headers=ANY_WORKER),
    )
    for way in ways:
        engine.free = None
        assert (await way).status in {200, 204}
        assert engine.free is not None
        assert engine.free.counts == {"work": 2, "a:b,c&d": 0}


@pytest.mark.parametrize(
    "free", ["", "work", "2", '["work"]', '{"work": -1}', '{"work": 1.5}', '{"work": "1"}', '{"": 1}']
)
async def test_free_slots_that_cannot_be_are_refused(worker: Http, engine: FakeEngine, free: str) -> None:
    query = {"timeout": "0", "free": free}
    answer = await worker.get("/_worker/workers/w1/tasks/next", params=query, headers=ANY_WORKER)
    assert (answer.status, (await answer.json())["parameter"]) == (400, "free")
    assert engine.polls == []


async def test_the_next_task_comes_with_the_receipt(worker: Http, engine: FakeEngine) -> None:
    result = a_task(engine)
    waiting = a_task(engine, None)
    status, answer = await send(worker, result, "?next=1")
    assert (status, answer["status"]) == (200, "result_accepted_success")
    assert [task["task_id"] for task in answer["tasks"]] == [waiting["task_id"]]
    assert (await send(worker, a_task(engine), "?next=5"))[1]["tasks"] == []
    assert (await send(worker, a_task(engine), "?next=x"))[0] == 400


async def test_a_batch_has_a_receipt_for_each_result(worker: Http, engine: FakeEngine) -> None:
    good, again = a_task(engine), a_task(engine)
    await send(worker, again)
    waiting = a_task(engine, None)
    unknown = good | {"job_id": UNKNOWN, "task_id": f"{UNKNOWN}.0"}
    body = {"results": [good, unknown, again]}
    answer = await worker.post("/_worker/tasks/results?next=3", json=body, headers=ANY_WORKER)
    receipts = wire.Receipts.model_validate(await answer.json())
    assert [(r.status, r.reason, r.error) for r in receipts.results] == [
        ("result_accepted_success", None, None),
        ("result_refused", None, "job_not_found"),
        ("result_ignored", "duplicate", None),
    ]
    assert [task.task_id for task in receipts.tasks] == [waiting["task_id"]]


async def test_a_batch_hands_out_new_tasks_with_its_last_result(worker: Http, engine: FakeEngine) -> None:
    first, last = a_task(engine), a_task(engine)
    waiting = a_task(engine, None)
    body = {"results": [first, last]}
    answer = await worker.post("/_worker/tasks/results?next=3", json=body, headers=ANY_WORKER)
    receipts = wire.Receipts.model_validate(await answer.json())
    assert [task.task_id for task in receipts.tasks] == [waiting["task_id"]]


async def test_a_batch_of_two_workers_or_none_is_400(worker: Http, engine: FakeEngine) -> None:
    result = a_task(engine)
    for results in ([], [result, result | {"worker_id": "w2"}], [result] * 101, "x"):
        answer = await worker.post("/_worker/tasks/results", json={"results": results}, headers=ANY_WORKER)
        assert answer.status == 400
    assert engine.reports == []


async def test_a_batch_is_refused_whole_when_the_store_is_down(worker: Http, engine: FakeEngine) -> None:
    result = a_task(engine)
    engine.trouble = StoreUnavailable("down")
    answer = await worker.post("/_worker/tasks/results", json={"results": [result]}, headers=ANY_WORKER)
    assert answer.status == 503
    assert (await send(worker, result))[0] == 503


async def test_a_worker_with_its_own_token_cannot_report_for_another(worker: Http, engine: FakeEngine) -> None:
    answer = await worker.post(RESULT, json=a_task(engine), headers=OWN_WORKER)
    assert answer.status == 403
    assert engine.reports == []


async def test_bodies_have_tighter_limits_where_nothing_large_is_sent(worker: Http) -> None:
    data = b'{"resources": {"x": "' + b"y" * 300_000 + b'"}}'
    assert (await worker.patch("/_worker/workers/w1", data=data, headers=ANY_WORKER)).status == 413
    assert (await worker.post("/_worker/workers/register", data=data, headers=ANY_WORKER)).status == 413


async def test_an_operator_orders_workers(http: Http, engine: FakeEngine) -> None:
    await http.post("/_worker/workers/register", json={"worker_id": "w1"}, headers=ANY_WORKER)
    for order, body in (("drain", None), ("resume", None), ("disconnect", None), ("resize", {"slots": 4})):
        answer = await http.post(f"/api/v1/workers/w1/{order}", json=body, headers=ALICE)
        assert answer.status == 200, await answer.text()
        OrderedWorker.model_validate(await answer.json())
    assert [order for _, order, _ in engine.worker_orders] == ["drain", "resume", "disconnect", "resize"]
    assert engine.worker_orders[-1] == ("w1", "resize", 4)
    assert (await http.post("/api/v1/workers/w2/drain", headers=ALICE)).status == 404
    assert (await http.post("/api/v1/workers/w1/resize", json={"slots": 0}, headers=ALICE)).status == 400


@pytest.mark.parametrize(
    "member",
    [
        {"labels": {"a b": "c"}},
        {"labels": {f"l{n}": "x" for n in range(65)}},
        {"labels": {"a": {}}},
        {"resources": {"memory": "8QB"}},
        {"resources": {"cpu": -1}},
        {"resources": {"gpu_info": {"vram_gb": -24}}},
    ],
)
async def test_what_a_worker_cannot_have_is_refused(http: Http, member: dict[str, Any]) -> None:
    body = {"worker_id": "w1", **member}
    answer = await http.post("/_worker/workers/register", json=body, headers=ANY_WORKER)
    assert (answer.status, (await answer.json())["code"]) == (400, "invalid_body")
