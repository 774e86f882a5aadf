"""Webhooks of jobs: delivered at least once, signed, and never where they must not go."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from standardwebhooks.webhooks import Webhook

from tests.system.callers import Api, PlainWorker, api_at, until
from tests.system.processes import ALPHA, SECRET, Cluster


@dataclass
class Hook:
    """A client's own server. `answers` are used up in order, then 200."""

    url: str = ""
    answers: list[int] = field(default_factory=list[int])
    calls: list[tuple[dict[str, str], bytes]] = field(default_factory=list[tuple[dict[str, str], bytes]])
    elsewhere: int = 0

    async def take(self, request: web.Request) -> web.Response:
        self.calls.append((dict(request.headers), await request.read()))
        status = self.answers.pop(0) if self.answers else 200
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 302 else None)

    async def count(self, request: web.Request) -> web.Response:
        self.elsewhere += 1
        return web.Response()

    async def called(self, times: int) -> None:
        async def enough() -> bool:
            return len(self.calls) >= times

        await until(enough, f"{times} calls of the webhook")

    def body(self, call: int = -1) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.calls[call][1])
        return found


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    made = Hook()
    app = web.Application()
    app.router.add_post("/hook", made.take)
    app.router.add_route("*", "/elsewhere", made.count)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield made
    await runner.cleanup()


def secret_of(tenant: str) -> str:
    key = hmac.new(SECRET.encode(), f"webhook|{tenant}".encode(), hashlib.sha256).digest()
    return "whsec_" + base64.b64encode(key).decode()


@pytest.mark.parametrize(
    ("outcome", "error", "event"),
    [
        ("success", None, "job_finished"),
        ("failure", {"code": "INVALID_INPUT_ERROR", "message": "no"}, "job_failed"),
        ("failure", {"code": "PERMANENT_ERROR", "message": "no"}, "job_quarantined"),
        ("cancelled", None, "job_cancelled"),
    ],
)
async def test_the_end_of_a_job_is_told_with_a_signature_that_the_reference_library_verifies(
    a: Api, on_a: PlainWorker, hook: Hook, name: str, outcome: str, error: Any, event: str
) -> None:
    await on_a.register(name)
    job_id = await a.start("one", hook.url, type=name)
    data = {"ü": [1, 2]} if outcome == "success" else None
    await on_a.report(await on_a.take(), outcome, data=data, error=error)
    await hook.called(1)
    headers, raw = hook.calls[0]
    Webhook(secret_of("alpha")).verify(raw, headers)
    with pytest.raises(Exception, match="signature"):
        Webhook(secret_of("beta")).verify(raw, headers)
    job = await a.end_of(job_id)
    assert hook.body() == {
        "event": event,
        "job_id": job_id,
        "status": job["status"],
        "result": data or {},
        "error": job["error_message"],
    }
    assert headers["Content-Type"] == "application/json"


async def test_a_delivery_that_failed_is_tried_again_with_the_same_id_and_no_more_after_a_2xx(
    a: Api, hook: Hook
) -> None:
    hook.answers = [500]
    job_id = await a.start("nap", hook.url, seconds=0)
    await hook.called(2)
    ids = {headers["webhook-id"] for headers, _ in hook.calls}
    assert len(ids) == 1
    assert {raw for _, raw in hook.calls} == {hook.calls[0][1]}
    for headers, raw in hook.calls:
        Webhook(secret_of("alpha")).verify(raw, headers)
    assert (await a.job(job_id))["status"] == "finished"
    other = await a.start("nap", hook.url, seconds=0)
    await hook.called(3)
    assert hook.body()["job_id"] == other


async def test_a_redirect_is_not_followed_and_counts_as_a_failed_try(a: Api, hook: Hook) -> None:
    hook.answers = [302]
    await a.start("nap", hook.url, seconds=0)
    await hook.called(2)
    assert hook.elsewhere == 0


async def test_a_question_is_told_with_the_token_that_answers_it(a: Api, hook: Hook) -> None:
    job_id = await a.start("ask", hook.url)
    await hook.called(1)
    message = hook.body()
    assert (message["event"], message["decisions"]) == ("approval_requested", ["approved", "rejected"])
    reply = await a.call(
        "POST",
        f"/_public/webhooks/approval/{job_id}",
        {"decision": "approved"},
        headers={"X-Approval-Token": message["token"]},
    )
    assert reply.status == 200
    await hook.called(2)
    assert hook.body()["event"] == "job_finished"


async def test_an_address_that_nobody_answers_delays_no_other_webhook(a: Api, hook: Hook) -> None:
    for _ in range(10):
        await a.start("nap", "http://127.0.0.1:9/gone", seconds=0)
    await a.start("nap", hook.url, seconds=0)
    started = asyncio.get_running_loop().time()
    await hook.called(1)
    assert asyncio.get_running_loop().time() - started < 10


async def test_a_webhook_that_was_due_when_its_replica_died_is_delivered_by_another(
    mortal: Cluster, http: aiohttp.ClientSession, hook: Hook
) -> None:
    a = api_at(http, mortal.a.url)
    hook.answers = [503]
    await a.start("nap", hook.url, seconds=0)
    await hook.called(1)
    mortal.a.kill()
    await hook.called(2)
    assert hook.calls[0][0]["webhook-id"] == hook.calls[1][0]["webhook-id"]


async def test_production_refuses_private_addresses_however_they_are_written(
    hard: Cluster, http: aiohttp.ClientSession, hook: Hook
) -> None:
    api = api_at(http, hard.a.url, ALPHA)
    private = [
        hook.url,
        "http://localhost/x",
        "http://LOCALHOST./x",
        "http://10.0.0.7/x",
        "http://192.168.1.1/x",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/x",
        "http://[::ffff:127.0.0.1]/x",
        "http://[64:ff9b::7f00:1]/x",
        "http://2130706433/x",
        "http://0x7f.1/x",
        "http://017700000001/x",
        "http://0/x",
        "http://100.64.0.1/x",
    ]
    for url in private:
        reply = await api.call("POST", "/api/v1/jobs/nap", {"initial_data": {"seconds": 0}, "webhook_url": url})
        assert (reply.status, reply.body["code"]) == (400, "webhook_url_refused"), url
    assert (await api.call("GET", "/api/v1/jobs?blueprint=nap")).body["items"] == []
    # A name is looked up when the message is sent; its job ends in any case, and nothing arrives.
    by_name = await api.call(
        "POST",
        "/api/v1/jobs/nap",
        {"initial_data": {"seconds": 0}, "webhook_url": hook.url.replace("127.0.0.1", "localhost.localdomain")},
    )
    assert by_name.status in {202, 400}
    if by_name.status == 202:
        assert (await api.end_of(by_name.body["job_id"]))["status"] == "finished"
    assert hook.calls == []


async def test_a_question_is_told_with_the_links_of_its_approvers_and_so_is_every_change_of_them(
    a: Api, b: Api, hook: Hook
) -> None:
    job_id = await a.start("panel", hook.url, approvers=["ada", "bob"], quorum=2, after="1s")
    await hook.called(1)
    asked = hook.body()
    assert (asked["event"], asked["decisions"], asked["quorum"]) == (
        "approval_requested", ["approved", "rejected"], {"approved": 2, "rejected": 2}
    )  # fmt: skip
    links = {one["approver"]: one["link"] for one in asked["approvers"]}
    assert set(links) == {"ada", "bob"}
    assert all(link.startswith(f"{a.url}/_public/approvals/{job_id}?token=") for link in links.values())
    await hook.called(2)  # by whichever replica's ticker
    escalated = hook.body()
    assert escalated["event"] == "approval_escalated"
    assert [one["approver"] for one in escalated["approvers"]] == ["ada", "bob", "chief"]
    path = f"/api/v1/jobs/{job_id}/decision"
    assert (await b.call("POST", f"{path}/delegate", {"approver": "bob", "to": "carol"})).status == 200
    await hook.called(3)
    handed = hook.body()
    assert (handed["event"], handed["approver"], handed["to"]) == ("approval_delegated", "bob", "carol")
    tokens = {one["approver"]: one["token"] for one in handed["approvers"]}
    assert set(tokens) == {"ada", "carol", "chief"}
    replies = await asyncio.gather(
        *(
            (a, b)[n % 2].call(
                "POST", f"/_public/webhooks/approval/{job_id}", {"decision": "approved"},
                headers={"X-Approval-Token": token},
            )
            for n, token in enumerate(tokens.values())
        )
    )  # fmt: skip
    assert sorted(reply.status for reply in replies) == [200, 200, 409]
    assert len((await b.end_of(job_id))["result"]["by"]) == 2
    assert len({headers["webhook-id"] for headers, _ in hook.calls}) == len(hook.calls)
