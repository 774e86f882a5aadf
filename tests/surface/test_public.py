"""surfaces.md 1.1: what needs no credentials."""

import json
import re

import pytest

from tests.surface.conftest import NEVER, TASK
from tests.system.callers import Api, Caller, PlainWorker


async def test_status_is_exactly_ok(anybody: Caller) -> None:
    reply = await anybody.call("GET", "/_public/status")
    assert (reply.status, reply.body) == (200, {"status": "ok"})
    assert reply.headers["Content-Type"].startswith("application/json")


async def test_metrics_are_prometheus_text_with_the_documented_names(
    anybody: Caller, client: Api, worker: PlainWorker
) -> None:
    def jobs(text: str) -> float:
        found = re.search(r'^muster_jobs_total\{blueprint="approval_flow"\} ([0-9.e+]+)$', text, re.MULTILINE)
        return float(found[1]) if found else 0

    await client.start("simple_flow")
    await worker.report(await worker.take())
    before = (await anybody.call("GET", "/_public/metrics")).raw.decode()
    await client.start("approval_flow")
    reply = await anybody.call("GET", "/_public/metrics")
    text = reply.raw.decode()
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert jobs(text) == jobs(before) + 1
    for name in ("jobs", "tasks_total", "workers", "job_queue_length", "http_requests_total"):
        assert re.search(rf"^muster_{name}(\{{| )", text, re.MULTILINE), name
    assert re.search(r'^muster_jobs\{status="waiting_for_human"\} 1\.0$', text, re.MULTILINE)
    assert "# TYPE muster_jobs_total counter" in text


async def test_a_decision_moves_the_job_to_where_it_leads(anybody: Caller, client: Api) -> None:
    for decision, status in (("approved", "finished"), ("rejected", "failed")):
        job_id = await client.start("approval_flow")
        await client.is_(job_id, "waiting_for_human")
        body = {"decision": decision, "comment": "looks fine"}
        reply = await anybody.call("POST", f"/_public/webhooks/approval/{job_id}", body)
        assert (reply.status, reply.body) == (200, {"status": "approval_received", "job_id": job_id})
        assert (await client.end_of(job_id))["status"] == status
        events = (await client.call("GET", f"/api/v1/jobs/{job_id}/history")).body
        received = next(event for event in events if event["event_type"] == "approval_received")
        assert received["details"]["comment"] == "looks fine"
        again = await anybody.call("POST", f"/_public/webhooks/approval/{job_id}", body)
        assert again.status == 409


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "malformed_json"),
        (b"[]", "invalid_body"),
        (b"", "invalid_body"),
        (b"{}", "invalid_body"),
        (b'{"decision": 1}', "invalid_body"),
        (b'{"decision": null}', "invalid_body"),
        (b'{"decision": "maybe"}', "unknown_decision"),
        (json.dumps({"decision": "approved", "comment": "x" * 2001}).encode(), "invalid_body"),
        (b'{"decision": "approved", "comment": 1}', "invalid_body"),
    ],
)
async def test_a_decision_that_cannot_be_read_is_400_and_decides_nothing(
    anybody: Caller, client: Api, body: bytes, code: str
) -> None:
    job_id = await client.start("approval_flow")
    before = await client.is_(job_id, "waiting_for_human")
    reply = await anybody.call("POST", f"/_public/webhooks/approval/{job_id}", data=body)
    assert (reply.status, reply.body["code"]) == (400, code)
    assert await client.job(job_id) == before


async def test_decisions_on_unknown_ids_are_404_and_on_jobs_that_do_not_wait_409(anybody: Caller, client: Api) -> None:
    for unknown in (NEVER, "nonsense", "%00", "..%2f..", "x" * 500):
        reply = await anybody.call("POST", f"/_public/webhooks/approval/{unknown}", {"decision": "approved"})
        assert (reply.status, reply.body["code"]) == (404, "job_not_found"), unknown
    job_id = await client.start("simple_flow")
    reply = await anybody.call("POST", f"/_public/webhooks/approval/{job_id}", {"decision": "approved"})
    assert (reply.status, reply.body["code"]) == (409, "not_waiting_for_decision")


async def test_flushing_clears_jobs_and_workers_and_leaves_credentials_working(
    anybody: Caller, client: Api, worker: PlainWorker
) -> None:
    job_id = await client.start("simple_flow")
    assert (await anybody.call("POST", "/_public/debug/flush_db")).body == {"status": "db_flushed"}
    assert (await client.call("GET", f"/api/v1/jobs/{job_id}")).status == 404
    assert (await client.call("GET", "/api/v1/workers")).body == []
    assert (await worker.beat()).status == 404
    assert (await client.call("GET", "/api/v1/dashboard")).body["jobs"]["waiting_for_worker"] == 0
    await worker.register(TASK)
    fresh = await client.start("simple_flow")
    assert (await worker.take())["job_id"] == fresh


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"X-Forwarded-For": "203.0.113.9"},
    ],
)
async def test_flushing_is_for_this_machine_alone(anybody: Caller, client: Api, headers: dict[str, str]) -> None:
    job_id = await client.start("simple_flow")
    reply = await anybody.call("POST", "/_public/debug/flush_db", headers=headers)
    assert (reply.status, reply.body["code"]) == (403, "forbidden")
    assert (await client.job(job_id))["id"] == job_id


async def test_the_docs_page_lists_every_endpoint_and_loads_nothing_from_elsewhere(anybody: Caller) -> None:
    page = await anybody.call("GET", "/_public/docs")
    assert (page.status, page.headers["Content-Type"].split(";")[0]) == (200, "text/html")
    links = re.findall(r'(?:src|href)="([^"]+)"', page.raw.decode())
    assert links
    for link in links:
        assert "://" not in link
        assert not link.startswith("//")
        if not link.startswith("data:"):
            path = link if link.startswith("/") else f"/_public/{link.removeprefix('./')}"
            assert (await anybody.call("GET", path)).status == 200, link
    document = (await anybody.call("GET", "/openapi.json")).body
    assert document["openapi"].startswith("3.1")
    documented = {
        "/_public/status": {"get"},
        "/_public/metrics": {"get"},
        "/_public/webhooks/approval/{job_id}": {"post"},
        "/_public/debug/flush_db": {"post"},
        "/_public/docs": {"get"},
        "/api/v1/jobs/simple_flow": {"post"},
        "/api/v1/jobs/approval_flow": {"post"},
        "/api/v1/jobs/{job_id}": {"get"},
        "/api/v1/jobs/{job_id}/cancel": {"post"},
        "/api/v1/jobs/{job_id}/history": {"get"},
        "/api/v1/blueprints/{blueprint_name}/graph": {"get"},
        "/api/v1/workers": {"get"},
        "/api/v1/dashboard": {"get"},
        "/_worker/workers/register": {"post"},
        "/_worker/workers/{worker_id}": {"patch"},
        "/_worker/workers/{worker_id}/tasks/next": {"get"},
        "/_worker/tasks/result": {"post"},
        "/_worker/ws/{worker_id}": {"get"},
    }
    for path, methods in documented.items():
        assert methods <= set(document["paths"][path]), path
