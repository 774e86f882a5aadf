"""Routes of clients."""

import io
import json
from typing import Any

import orjson
import pytest
from muster.api import models
from muster.core.ids import JobId
from muster.core.status import JobStatus
from muster.engine.views import JobOrder
from muster.errors import ErrorCode, MusterError
from muster.store.base import StoreFull, StoreUnavailable

from tests.api.conftest import ALICE, ANY_WORKER, BOB, Http, Serve
from tests.api.fake_engine import FakeApprovals, FakeEngine

UNKNOWN = "018f0000-0000-7000-8000-0000000000ff"
MIB = 1024 * 1024


def a_job(engine: FakeEngine, blueprint: str = "simple_flow", tenant: str = "alice") -> str:
    return engine.new_record(JobOrder(tenant, blueprint, {"text": "a"}, "https://example.org/hook")).id


async def test_a_job_is_accepted_and_can_be_read_at_once(http: Http, engine: FakeEngine) -> None:
    body = {"initial_data": {"text": "a"}, "webhook_url": "https://callback.example/webhook", "unknown": 1}
    body |= {"deadline_seconds": 90}
    answer = await http.post("/api/v1/jobs/simple_flow", json=body, headers=ALICE)
    document = await answer.json()
    assert answer.status == 202
    assert document == {"status": "accepted", "job_id": document["job_id"]}
    assert answer.headers["Location"] == f"/api/v1/jobs/{document['job_id']}"
    job = await (await http.get(answer.headers["Location"], headers=ALICE)).json()
    models.Job.model_validate(job)
    assert job["initial_data"] == {"text": "a"}
    assert job["webhook_url"] == "https://callback.example/webhook"
    assert job["current_task_id"] == f"{document['job_id']}.0"
    assert job["created_at"] == "2024-01-15T10:30:00.123Z"
    assert (engine.orders[0].tenant, engine.orders[0].deadline_ms) == ("alice", 90_000)


async def test_no_body_means_an_empty_one_and_no_content_type_is_asked_for(http: Http, engine: FakeEngine) -> None:
    for data in (None, b"", b"{}", b'{"webhook_url": null}'):
        assert (await http.post("/api/v1/jobs/simple_flow", data=data, headers=ALICE)).status == 202
    text = await http.post("/api/v1/jobs/simple_flow", data='{"initial_data": {"a": 1}}', headers=ALICE)
    assert text.status == 202
    assert [order.initial_data for order in engine.orders] == [{}, {}, {}, {}, {"a": 1}]


BAD_BODIES: list[tuple[bytes, str]] = [
    (b"{", "malformed_json"),
    (b"nonsense", "malformed_json"),
    (b"\xff\xfe", "malformed_json"),
    (b" ", "malformed_json"),
    (b'{"initial_data": {"x": NaN}}', "malformed_json"),
    (b'{"initial_data": {"x": 1e999}}', "malformed_json"),
    (b'{"initial_data": {"x": "\\ud800"}}', "malformed_json"),
    (b'{"initial_data": ' + b'{"a":' * 64 + b"1" + b"}" * 64 + b"}", "malformed_json"),
    (b"[" * 100_000, "malformed_json"),
    (b"[" * 900 + b"]" * 900, "malformed_json"),
    (b"[]", "invalid_body"),
    (b'"text"', "invalid_body"),
    (b"1", "invalid_body"),
    (b"null", "invalid_body"),
    (b'{"initial_data": []}', "invalid_body"),
    (b'{"initial_data": null}', "invalid_body"),
    (b'{"initial_data": "x"}', "invalid_body"),
    (b'{"webhook_url": 1}', "invalid_body"),
    (b'{"deadline_seconds": 0}', "invalid_body"),
    (b'{"deadline_seconds": -1}', "invalid_body"),
    (b'{"deadline_seconds": "1h"}', "invalid_body"),
    (b'{"deadline_seconds": 99999999}', "invalid_body"),
    (b'{"webhook_url": ""}', "invalid_body"),
    (b'{"webhook_url": "/relative"}', "invalid_body"),
    (b'{"webhook_url": "ftp://example.org/x"}', "invalid_body"),
    (b'{"webhook_url": "http://"}', "invalid_body"),
    (b'{"webhook_url": "http://[::1"}', "invalid_body"),
    (b'{"webhook_url": "http://a b/"}', "invalid_body"),
    (b'{"webhook_url": "http://a:99999/"}', "invalid_body"),
    (b'{"webhook_url": "http://a/\\r\\nx"}', "invalid_body"),
    (b'{"initial_data": {"bad": 1}}', "invalid_input"),
]


@pytest.mark.parametrize(("body", "code"), BAD_BODIES, ids=[repr(body[:40]) for body, _ in BAD_BODIES])
async def test_a_bad_body_is_400_and_starts_nothing(http: Http, engine: FakeEngine, body: bytes, code: str) -> None:
    answer = await http.post("/api/v1/jobs/simple_flow", data=body, headers=ALICE)
    document = await answer.json()
    assert (answer.status, document["code"]) == (400, code)
    assert document["detail"] == document["error"]
    assert engine.records == {}


async def test_64_levels_are_allowed(http: Http) -> None:
    body = b'{"initial_data": ' + b'{"a":' * 62 + b"[]" + b"}" * 62 + b"}"
    assert (await http.post("/api/v1/jobs/simple_flow", data=body, headers=ALICE)).status == 202


async def test_brackets_inside_a_text_are_no_depth(http: Http) -> None:
    body = {"initial_data": {"text": "[" * 1000}}
    assert (await http.post("/api/v1/jobs/simple_flow", json=body, headers=ALICE)).status == 202


async def test_a_body_over_the_limit_is_413_however_it_is_sent(serve: Serve, engine: FakeEngine) -> None:
    http = await serve(max_body_bytes=2048)
    frame = len(orjson.dumps({"initial_data": {"x": ""}}))

    async def chunks(data: bytes) -> Any:
        for start in range(0, len(data), 500):
            yield data[start : start + 500]

    for size, status in ((2048, 202), (2049, 413)):
        data = orjson.dumps({"initial_data": {"x": "y" * (size - frame)}})
        assert len(data) == size
        assert (await http.post("/api/v1/jobs/simple_flow", data=data, headers=ALICE)).status == status
        chunked = await http.post("/api/v1/jobs/simple_flow", data=chunks(data), headers=ALICE)
        assert chunked.status == status
    assert len(engine.records) == 2


async def test_the_default_limit_is_one_mebibyte(http: Http) -> None:
    answer = await http.post("/api/v1/jobs/simple_flow", data=io.BytesIO(b" " * (MIB + 1)), headers=ALICE)
    assert (answer.status, (await answer.json())["code"]) == (413, "body_too_large")


async def test_a_compressed_body_is_not_read(http: Http) -> None:
    headers = {**ALICE, "Content-Encoding": "gzip"}
    answer = await http.post("/api/v1/jobs/simple_flow", data=b"{}", headers=headers)
    assert answer.status == 400


async def test_a_job_that_ends_while_the_caller_waits_is_answered_whole(http: Http, engine: FakeEngine) -> None:
    headers = {**ALICE, "Prefer": "respond-async, wait=7"}
    answer = await http.post("/api/v1/jobs/simple_flow", json={"initial_data": {"quick": True}}, headers=headers)
    assert answer.status == 200
    assert answer.headers["Preference-Applied"] == "wait=7"
    assert (await answer.json())["status"] == "finished"
    assert engine.orders[0].wait_ms == 7000


@pytest.mark.parametrize(("prefer", "wait_ms"), [("wait=9999", 60_000), ("wait=x", 0), ("handling=strict", 0)])
async def test_a_preference_is_capped_or_passed_over(http: Http, engine: FakeEngine, prefer: str, wait_ms: int) -> None:
    answer = await http.post("/api/v1/jobs/simple_flow", headers={**ALICE, "Prefer": prefer})
    assert answer.status == 202
    assert engine.orders[0].wait_ms == wait_ms


async def test_one_idempotency_key_starts_one_job(http: Http, engine: FakeEngine) -> None:
    headers = {**ALICE, "Idempotency-Key": "k-1"}
    first, again = [await (await http.post("/api/v1/jobs/simple_flow", headers=headers)).json() for _ in range(2)]
    assert first == again
    assert len(engine.records) == 1
    odd = await http.post("/api/v1/jobs/simple_flow", headers={**ALICE, "Idempotency-Key": "a b"})
    assert (odd.status, (await odd.json())["code"]) == (400, "invalid_parameter")


async def test_only_the_trace_context_of_a_request_travels_on(http: Http, engine: FakeEngine) -> None:
    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    headers = {**ALICE, "traceparent": parent, "tracestate": "v=1", "Cookie": "secret=1"}
    await http.post("/api/v1/jobs/simple_flow", headers=headers)
    await http.post("/api/v1/jobs/simple_flow", headers={**ALICE, "traceparent": "nonsense"})
    assert [order.trace for order in engine.orders] == [{"traceparent": parent, "tracestate": "v=1"}, {}]


async def test_a_held_read_passes_its_limits_on(http: Http, engine: FakeEngine) -> None:
    job = a_job(engine)
    for query in ("wait=1.5", "wait=600&since=3"):
        assert (await http.get(f"/api/v1/jobs/{job}?{query}", headers=ALICE)).status == 200
    assert engine.waits == [(1500, None), (60_000, 3)]


@pytest.mark.parametrize(
    "query", ["wait=x", "wait=-1", "wait=nan", "wait=inf", "wait=1_0", "wait=", "since=x&wait=1", "since=-1"]
)
async def test_a_bad_wait_is_400(http: Http, engine: FakeEngine, query: str) -> None:
    answer = await http.get(f"/api/v1/jobs/{a_job(engine)}?{query}", headers=ALICE)
    assert (answer.status, (await answer.json())["code"]) == (400, "invalid_parameter")


async def test_a_job_is_read_by_the_members_that_are_asked_for(http: Http, engine: FakeEngine) -> None:
    url = f"/api/v1/jobs/{a_job(engine)}"
    whole = await (await http.get(url, headers=ALICE)).json()
    answer = await http.get(f"{url}?fields=status,result,status", headers=ALICE)
    assert await answer.json() == {name: whole[name] for name in ("status", "result")}
    for wrong in ("fields=", "fields=status,", "fields=token"):
        refused = await http.get(f"{url}?{wrong}", headers=ALICE)
        problem = await refused.json()
        assert (refused.status, problem["code"], problem["parameter"]) == (400, "invalid_parameter", "fields")


async def test_the_owner_of_a_waiting_job_sees_the_question_and_its_token(http: Http, engine: FakeEngine) -> None:
    job = a_job(engine, "approval_flow")
    document = await (await http.get(f"/api/v1/jobs/{job}", headers=ALICE)).json()
    assert document["status"] == "waiting_for_human"
    waiting = document["waiting_for"]
    models.Waiting.model_validate(waiting)
    token = FakeApprovals(engine).tokens.of(JobId(job), 1)
    assert waiting.pop("link").endswith(f"/_public/approvals/{job}?token={token}")
    assert waiting == {
        "kind": "human",
        "message": "Really?",
        "decisions": ["approved", "rejected"],
        "deadline_at": None,
        "approval_token": token,
        "child_id": None,
        "signal": None,
        "quorum": {"approved": 1, "rejected": 1},
        "forms": {},
        "approvers": [],
        "answers": [],
        "escalations": [],
        "escalates_at": None,
    }


async def test_jobs_are_listed_by_page_and_filter(http: Http, engine: FakeEngine) -> None:
    made = [a_job(engine) for _ in range(3)]
    a_job(engine, tenant="bob")
    page = await (await http.get("/api/v1/jobs?limit=2", headers=ALICE)).json()
    models.Jobs.model_validate(page)
    rest = await (await http.get(f"/api/v1/jobs?limit=2&cursor={page['next']}", headers=ALICE)).json()
    assert [job["id"] for job in page["items"] + rest["items"]] == made
    assert rest["next"] is None
    engine.end(made[0], JobStatus.FINISHED)
    found = await (await http.get("/api/v1/jobs?status=finished,failed", headers=ALICE)).json()
    assert [job["id"] for job in found["items"]] == made[:1]
    none = await (await http.get("/api/v1/jobs?blueprint=other", headers=ALICE)).json()
    assert none == {"items": [], "next": None}


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=-1", "status=done", "status=finished,,", "cursor="])
async def test_a_bad_listing_is_400(http: Http, query: str) -> None:
    answer = await http.get(f"/api/v1/jobs?{query}", headers=ALICE)
    assert (answer.status, (await answer.json())["code"]) == (400, "invalid_parameter")


async def test_cancelling_says_whether_a_live_socket_took_the_command(http: Http, engine: FakeEngine) -> None:
    job = a_job(engine)
    accepted = await http.post(f"/api/v1/jobs/{job}/cancel", headers=ALICE)
    assert (accepted.status, await accepted.json()) == (200, {"status": "cancellation_request_accepted"})
    await http.post("/_worker/workers/register", json={"worker_id": "w1"}, headers=ANY_WORKER)
    async with http.ws_connect("/_worker/ws/w1", headers=ANY_WORKER) as socket:
        engine.take("w1", 1)
        sent = await http.post(f"/api/v1/jobs/{job}/cancel", headers=ALICE)
        assert await sent.json() == {"status": "cancellation_request_sent"}
        assert await socket.receive_json() == {"command": "cancel_task", "task_id": f"{job}.0", "job_id": job}


async def test_cancelling_needs_no_body_and_an_ended_job_is_409(http: Http, engine: FakeEngine) -> None:
    job = a_job(engine)
    assert (await http.post(f"/api/v1/jobs/{job}/cancel", data=b"{nonsense", headers=ALICE)).status == 200
    engine.end(job, JobStatus.FINISHED)
    assert (await http.post(f"/api/v1/jobs/{job}/cancel", headers=ALICE)).status == 409


async def test_history_is_an_array_of_whole_events(http: Http, engine: FakeEngine) -> None:
    events = await (await http.get(f"/api/v1/jobs/{a_job(engine)}/history", headers=ALICE)).json()
    assert len(events) == 1
    models.Event.model_validate(events[0])
    assert events[0]["worker_id"] is None


async def test_the_owner_decides_without_an_approval_token(http: Http, engine: FakeEngine) -> None:
    job = a_job(engine, "approval_flow")
    body = {"decision": "rejected", "note": "no", "by": "ann"}
    answer = await http.post(f"/api/v1/jobs/{job}/decision", json=body, headers=ALICE)
    assert (answer.status, await answer.json()) == (200, {"status": "approval_received", "job_id": job})
    assert engine.decisions == [{"decision": "rejected", "by": "ann", "note": "no", "token": None, "tenant": "alice"}]
    assert (await http.post(f"/api/v1/jobs/{job}/decision", json=body, headers=ALICE)).status == 409


@pytest.mark.parametrize(
    ("body", "data"), [(None, {}), ({"cents": 5, "by": {"x": [1]}}, {"cents": 5, "by": {"x": [1]}})]
)
async def test_a_signal_takes_any_object_and_nothing_is_an_empty_one(
    http: Http, engine: FakeEngine, body: dict[str, Any] | None, data: dict[str, Any]
) -> None:
    job = a_job(engine, "approval_flow")
    answer = await http.post(f"/api/v1/jobs/{job}/signals/payment.settled", json=body, headers=ALICE)
    assert (answer.status, await answer.json()) == (200, {"status": "signal_received", "job_id": job})
    assert engine.signals == [{"job": job, "name": "payment.settled", "data": data}]
    for wrong in (b"[1]", b'"text"', b"{"):
        refused = await http.post(f"/api/v1/jobs/{job}/signals/payment", data=wrong, headers=ALICE)
        assert refused.status == 400
    large = await http.post(f"/api/v1/jobs/{job}/signals/payment", json={"x": "y" * 65_536}, headers=ALICE)
    assert large.status == 413


async def test_the_order_of_checks_is_body_then_existence_then_state(http: Http, engine: FakeEngine) -> None:
    ended = a_job(engine, "approval_flow")
    engine.end(ended, JobStatus.FINISHED)
    for job in (ended, UNKNOWN, "no-id"):
        assert (await http.post(f"/api/v1/jobs/{job}/decision", data=b"{", headers=ALICE)).status == 400


async def test_blueprints_are_listed_with_their_urls(http: Http) -> None:
    listing = await (await http.get("/api/v1/blueprints", headers=ALICE)).json()
    models.Blueprints.model_validate(listing)
    assert listing["items"][2]["endpoint"] == "shop/orders/new"
    assert [listing["items"][0][name] for name in ("input_schema", "output_schema")] == [
        {"type": "object"},
        {"type": "array"},
    ]
    assert [item["url"] for item in listing["items"]] == [
        "/api/v1/jobs/simple_flow",
        "/api/v1/jobs/approval_flow",
        "/api/v2/shop/orders/new",
    ]


async def test_a_graph_comes_as_dot_mermaid_or_json(http: Http) -> None:
    path = "/api/v1/blueprints/approval_flow/graph"
    dot = await http.get(path, headers=ALICE)
    assert dot.headers["Content-Type"] == "text/vnd.graphviz"
    text = await dot.text()
    assert text.startswith("digraph")
    assert "approved" in text
    assert "-->" in await (await http.get(f"{path}?format=mermaid", headers=ALICE)).text()
    graph = json.loads(await (await http.get(f"{path}?format=json", headers=ALICE)).text())
    assert graph["edges"] == [{"from": "start", "label": "approved", "to": "finished"}]
    assert (await http.get(f"{path}?format=svg", headers=ALICE)).status == 400
    unknown = await http.get("/api/v1/blueprints/nothing/graph", headers=ALICE)
    assert (unknown.status, (await unknown.json())["code"]) == (404, "blueprint_not_found")


async def test_a_tenant_reads_the_secret_that_its_webhooks_are_signed_with(http: Http) -> None:
    answer = await http.get("/api/v1/webhooks/secret", headers=ALICE)
    assert (answer.status, await answer.json()) == (200, {"secret": "whsec_of_alice"})
    assert (await http.get("/api/v1/webhooks/secret")).status == 401


async def test_workers_and_dashboard_have_the_documented_members(http: Http) -> None:
    body = {"worker_id": "w1", "supported_tasks": ["a"], "resources": {"gpu": 1}, "worker_type": "gpu"}
    await http.post("/_worker/workers/register", json=body, headers=ANY_WORKER)
    workers = await (await http.get("/api/v1/workers", headers=ALICE)).json()
    models.Worker.model_validate(workers[0])
    assert workers[0]["resources"] == {"gpu": 1}
    board = await (await http.get("/api/v1/dashboard", headers=ALICE)).json()
    models.DashboardAnswer.model_validate(board)
    assert set(board["jobs"]) == {"queued", *(status.value for status in JobStatus)}
    assert board["jobs"]["running"] == 3


OF_A_JOB = [
    ("GET", ""),
    ("GET", "?wait=0"),
    ("POST", "/cancel"),
    ("GET", "/history"),
    ("POST", "/decision"),
    ("POST", "/signals/x"),
]


@pytest.mark.parametrize(("method", "tail"), OF_A_JOB)
async def test_a_foreign_job_answers_exactly_as_an_unknown_one(
    http: Http, engine: FakeEngine, method: str, tail: str
) -> None:
    job = a_job(engine, "approval_flow")
    answers: list[bytes] = []
    headers: list[dict[str, str]] = []
    for ident in (job, UNKNOWN, "not-an-id", "../etc", "%00"):
        path = f"/api/v1/jobs/{ident}{tail}"
        if "/etc" in ident:
            continue
        answer = await http.request(method, path, json={"decision": "approved"}, headers=BOB)
        assert answer.status == 404
        instance = (await answer.json())["instance"]
        answers.append((await answer.read()).replace(instance.encode(), b""))
        headers.append(
            {name: value for name, value in answer.headers.items() if name in {"Content-Type", "Cache-Control"}}
        )
    assert answers[0] == answers[1] == answers[2]
    assert headers[0] == headers[1] == headers[2]
    assert engine.records[job].status is JobStatus.WAITING_FOR_HUMAN


async def test_nothing_of_a_tenant_shows_to_another(http: Http) -> None:
    body = {"initial_data": {"secret": "canary"}, "webhook_url": "https://canary.example/x"}
    await http.post("/api/v1/jobs/simple_flow", json=body, headers=ALICE)
    for path in ("/api/v1/jobs", "/api/v1/workers", "/api/v1/dashboard", "/_public/metrics", "/openapi.json"):
        assert "canary" not in await (await http.get(path, headers=BOB)).text()


async def test_no_answer_holds_a_token(http: Http, engine: FakeEngine) -> None:
    job = a_job(engine)
    for path in ("/api/v1/jobs", f"/api/v1/jobs/{job}", f"/api/v1/jobs/{job}/history"):
        assert "alice-token" not in await (await http.get(path, headers=ALICE)).text()


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (StoreUnavailable("down"), "store_unavailable"),
        (StoreFull("oom"), "store_full"),
        (MusterError(ErrorCode.SHUTTING_DOWN, "going down", retry_after_s=3), "shutting_down"),
    ],
)
async def test_a_store_in_trouble_is_503_with_retry_after(
    http: Http, engine: FakeEngine, trouble: Exception, code: str
) -> None:
    engine.trouble = trouble
    for method, path in (("POST", "/api/v1/jobs/simple_flow"), ("GET", "/api/v1/jobs"), ("GET", "/api/v1/dashboard")):
        answer = await http.request(method, path, headers=ALICE)
        assert (answer.status, (await answer.json())["code"]) == (503, code)
        assert int(answer.headers["Retry-After"]) >= 1


async def test_a_mistake_of_ours_is_500_without_its_cause_in_production(
    production: Http, http: Http, engine: FakeEngine
) -> None:
    engine.trouble = ValueError("canary")
    answer = await production.get("/api/v1/jobs", headers={**ALICE, "X-Request-Id": "r1"})
    text = await answer.text()
    assert answer.status == 500
    assert "canary" not in text
    assert json.loads(text)["request_id"] == "r1"
    assert "canary" in await (await http.get("/api/v1/jobs", headers=ALICE)).text()
    engine.trouble = None
    assert (await http.get("/api/v1/jobs", headers=ALICE)).status == 200
