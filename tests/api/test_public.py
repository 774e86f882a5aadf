"""Routes without credentials."""

import re

import pytest
from muster.engine.views import JobOrder
from muster.errors import ErrorCode, MusterError
from muster.store.base import StoreUnavailable

from tests.api.conftest import ALICE, Http, Serve
from tests.api.fake_engine import FakeEngine

UNKNOWN = "018f0000-0000-7000-8000-0000000000ff"


def waiting_for_approval(engine: FakeEngine, tenant: str = "alice") -> str:
    return engine.new_record(JobOrder(tenant, "approval_flow", {})).id


async def test_status_answers_exactly_ok_without_the_store(http: Http, engine: FakeEngine) -> None:
    engine.trouble = StoreUnavailable("down")
    answer = await http.get("/_public/status")
    assert (answer.status, await answer.json()) == (200, {"status": "ok"})


async def test_metrics_are_prometheus_text_with_the_documented_names(http: Http) -> None:
    await http.post("/api/v1/jobs/approval_flow", headers=ALICE)
    answer = await http.get("/_public/metrics")
    text = await answer.text()
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'muster_jobs_total{blueprint="approval_flow"} 1.0' in text
    assert 'muster_jobs{status="running"} 3.0' in text
    assert 'muster_workers{status="idle"} 1.0' in text
    assert 'muster_tasks{state="queued"} 2.0' in text
    assert "muster_job_queue_length 2.0" in text
    assert "# TYPE muster_tasks_total counter" in text
    route = '{method="POST",route="/api/{api_version}/{endpoint…}",status="202"}'
    assert f"muster_http_requests_total{route} 1.0" in text.replace("\\u2026", "…")
    assert "_created" not in text


async def test_metrics_answer_without_fleet_counts_when_the_store_is_down(http: Http, engine: FakeEngine) -> None:
    engine.trouble = StoreUnavailable("down")
    answer = await http.get("/_public/metrics")
    text = await answer.text()
    assert answer.status == 200
    assert "muster_build_info" in text
    assert "muster_job_queue_length" not in text


async def test_no_request_can_make_the_number_of_series_grow(http: Http) -> None:
    async def series() -> int:
        return len((await (await http.get("/_public/metrics")).text()).splitlines())

    await http.get("/nothing/0")
    await http.request("BREW", "/nothing/0")
    await series()
    before = await series()
    for number in range(30):
        await http.get(f"/nothing/{number}", headers={"User-Agent": f"agent-{number}"})
        await http.request(f"BREW{chr(65 + number % 26)}", f"/nothing/{number}")
    assert await series() == before


async def test_an_approval_is_received(http: Http, engine: FakeEngine) -> None:
    job = waiting_for_approval(engine)
    answer = await http.post(f"/_public/webhooks/approval/{job}", json={"decision": "approved", "comment": "fine"})
    assert (answer.status, await answer.json()) == (200, {"status": "approval_received", "job_id": job})
    assert engine.decisions == [{"decision": "approved", "by": "", "note": "fine", "token": None, "tenant": None}]


async def test_an_approval_token_comes_as_header_or_in_the_query(http: Http, engine: FakeEngine) -> None:
    first, second = waiting_for_approval(engine), waiting_for_approval(engine)
    body = {"decision": "approved"}
    await http.post(f"/_public/webhooks/approval/{first}", json=body, headers={"X-Approval-Token": "one"})
    await http.post(f"/_public/webhooks/approval/{second}?token=two", json=body)
    assert [decision["token"] for decision in engine.decisions] == ["one", "two"]


async def test_any_content_type_will_do_for_an_approval(http: Http, engine: FakeEngine) -> None:
    job = waiting_for_approval(engine)
    answer = await http.post(f"/_public/webhooks/approval/{job}", data=b'{"decision": "approved"}')
    assert answer.status == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "malformed_json"),
        (b"", "invalid_body"),
        (b"{}", "invalid_body"),
        (b"[]", "invalid_body"),
        (b'{"decision": 1}', "invalid_body"),
        (b'{"decision": ""}', "invalid_body"),
        (b'{"decision": null}', "invalid_body"),
        (b'{"decision": "approved", "comment": "' + b"x" * 2001 + b'"}', "invalid_body"),
        (b'{"decision": "perhaps"}', "unknown_decision"),
    ],
)
async def test_a_bad_approval_is_400_and_decides_nothing(
    http: Http, engine: FakeEngine, body: bytes, code: str
) -> None:
    answer = await http.post(f"/_public/webhooks/approval/{waiting_for_approval(engine)}", data=body)
    assert (answer.status, (await answer.json())["code"]) == (400, code)
    assert engine.decisions == []


async def test_an_approval_of_a_job_that_does_not_wait_is_409(http: Http, engine: FakeEngine) -> None:
    job = engine.new_record(JobOrder("alice", "simple_flow", {})).id
    answer = await http.post(f"/_public/webhooks/approval/{job}", json={"decision": "approved"})
    assert answer.status == 409


async def test_an_unknown_job_and_a_wrong_approval_token_answer_alike(http: Http, engine: FakeEngine) -> None:
    job = waiting_for_approval(engine)
    unknown = await http.post(f"/_public/webhooks/approval/{UNKNOWN}", json={"decision": "approved"})
    wrong = await http.post(f"/_public/webhooks/approval/{job}?token=wrong", json={"decision": "approved"})
    impossible = await http.post("/_public/webhooks/approval/no-id", json={"decision": "approved"})
    documents = [await answer.json() for answer in (unknown, wrong, impossible)]
    for document in documents:
        del document["instance"]
    assert documents[0] == documents[1] == documents[2]
    assert documents[0]["status"] == 404


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_a_page_of_another_site_cannot_approve(http: Http, engine: FakeEngine, headers: dict[str, str]) -> None:
    job = waiting_for_approval(engine)
    answer = await http.post(f"/_public/webhooks/approval/{job}", json={"decision": "approved"}, headers=headers)
    assert answer.status == 403
    assert engine.decisions == []


async def test_the_servers_own_pages_may_approve(http: Http, engine: FakeEngine) -> None:
    job = waiting_for_approval(engine)
    origin = str(http.make_url("/")).rstrip("/")
    answer = await http.post(
        f"/_public/webhooks/approval/{job}", json={"decision": "approved"}, headers={"Origin": origin}
    )
    assert answer.status == 200


async def test_getting_an_approval_url_changes_nothing(http: Http, engine: FakeEngine) -> None:
    answer = await http.get(f"/_public/webhooks/approval/{waiting_for_approval(engine)}")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    assert engine.decisions == []


async def test_flush_empties_the_store_in_development(http: Http, engine: FakeEngine) -> None:
    answer = await http.post("/_public/debug/flush_db")
    assert (answer.status, await answer.json()) == (200, {"status": "db_flushed"})
    assert engine.flushed == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.example"},
        {"Host": "[broken"},
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"X-Forwarded-For": "203.0.113.9"},
    ],
)
async def test_flush_refuses_whoever_may_not_be_on_this_machine(
    http: Http, engine: FakeEngine, headers: dict[str, str]
) -> None:
    answer = await http.post("/_public/debug/flush_db", headers=headers)
    assert answer.status in {400, 403}
    assert engine.flushed == 0


async def test_production_has_no_flush(production: Http, engine: FakeEngine) -> None:
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        assert (await production.request(method, "/_public/debug/flush_db")).status == 404
    assert engine.flushed == 0
    assert "flush" not in await (await production.get("/openapi.json")).text()


async def test_probes(http: Http, engine: FakeEngine) -> None:
    assert (await http.get("/livez")).status == 200
    assert (await http.get("/readyz")).status == 200
    assert (await (await http.get("/healthz")).json())["ready"] is True
    engine.is_ready = False
    assert (await http.get("/livez")).status == 200
    for path in ("/readyz", "/healthz"):
        answer = await http.get(path)
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("trouble", [StoreUnavailable("down"), MusterError(ErrorCode.STORE_UNAVAILABLE, "down")])
async def test_a_server_without_its_store_is_alive_but_not_ready(
    http: Http, engine: FakeEngine, trouble: Exception
) -> None:
    engine.trouble = trouble
    assert (await http.get("/livez")).status == 200
    assert (await http.get("/readyz")).status == 503


async def test_head_answers_as_get_without_a_body(http: Http) -> None:
    answer = await http.head("/_public/status")
    assert (answer.status, await answer.read()) == (200, b"")


async def test_the_docs_page_loads_nothing_from_elsewhere(http: Http) -> None:
    page = await http.get("/_public/docs")
    text = await page.text()
    assert page.headers["Content-Type"].startswith("text/html")
    assert not re.search(r"https?://|//[a-z]", text)
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    for asset in re.findall(r'(?:src|href)="(docs/[^"]+)"', text):
        answer = await http.get(f"/_public/{asset}")
        assert answer.status == 200, asset
        assert len(await answer.read()) > 100
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_docs_page_lists_blueprints_even_without_javascript(http: Http) -> None:
    text = await (await http.get("/_public/docs")).text()
    assert "/api/v1/jobs/simple_flow" in text
    assert "/_worker/tasks/result" in text


@pytest.mark.parametrize("path", ["nothing.js", "..%2f..%2fetc%2fpasswd", "%2e%2e", "swagger-ui.css%00"])
async def test_the_docs_page_serves_no_other_file(http: Http, path: str) -> None:
    assert (await http.get(f"/_public/docs/{path}")).status == 404


async def test_development_shares_with_every_origin_and_allows_the_auth_headers(http: Http) -> None:
    ask = {"Origin": "https://ui.example", "Access-Control-Request-Method": "POST"}
    preflight = await http.options("/api/v1/jobs/simple_flow", headers=ask)
    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == "*"
    allowed = preflight.headers["Access-Control-Allow-Headers"]
    assert all(name in allowed for name in ("X-Client-Token", "X-API-Key", "Authorization"))
    answer = await http.get("/api/v1/dashboard", headers={"Origin": "https://ui.example"})
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (401, "*")
    assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_production_shares_with_listed_origins_only(serve: Serve) -> None:
    http = await serve(mode="production", cors_origins=("https://ops.example",))
    ask = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
    assert "Access-Control-Allow-Origin" not in (await http.options("/api/v1/jobs", headers=ask)).headers
    listed = await http.get("/api/v1/jobs", headers={**ALICE, "Origin": "https://ops.example"})
    assert listed.headers["Access-Control-Allow-Origin"] == "https://ops.example"
    assert listed.headers["Vary"] == "Origin"


async def test_worker_routes_are_shared_with_no_origin(http: Http) -> None:
    ask = {"Origin": "https://ui.example", "Access-Control-Request-Method": "POST"}
    answer = await http.options("/_worker/tasks/result", headers=ask)
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_request_id_is_kept_or_made(http: Http) -> None:
    given = await http.get("/_public/status", headers={"X-Request-Id": "abc-1"})
    assert given.headers["X-Request-Id"] == "abc-1"
    odd = await http.get("/_public/status", headers={"X-Request-Id": "a b<script>"})
    assert re.fullmatch(r"[0-9a-f]+-[0-9a-f]+", odd.headers["X-Request-Id"])
