"""The inbox, answers by token, and the page behind a signed link: over HTTP, with the real engine."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from html import unescape
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from muster import Blueprint, Decision, Job, Next
from muster.api.app import create_app
from muster.blueprint.registry import Registry
from muster.core.ids import JobId
from muster.engine.engine import Engine
from muster.engine.settings import EngineSettings
from muster.engine.views import JobOrder
from muster.observe.metrics import Metrics
from muster.settings import Settings
from muster.store.memory import MemoryState, MemoryStore
from pydantic import BaseModel, Field
from selenium.webdriver.common.by import By

from tests.api.conftest import ALICE, BOB, Http, credentials
from tests.conformance.cli.browser import Browser, opened_browser


class Expense(BaseModel):
    cents: int = Field(gt=0, title="Amount", description="In cents.")
    account: Literal["travel", "tools"] = "travel"
    urgent: bool = False
    due: date | None = None


class Asked(BaseModel):
    message: str = "Pay?"
    approvers: list[str] | None = None
    quorum: int = 1


pay = Blueprint("pay", input=Asked)


@pay.start
async def ask(job: Job[Asked]) -> Next:
    asked = job.input
    return job.ask(
        asked.message, approved=paid, rejected=refused, within="1h", form={"approved": Expense},
        approvers=asked.approvers, quorum=asked.quorum,
    )  # fmt: skip


@pay.state
async def paid(job: Job[Asked], answer: Decision[Expense]) -> Next:
    return job.done({"by": answer.by, **answer.form.model_dump(mode="json")})


@pay.state
async def refused(job: Job[Asked], answer: Decision) -> Next:
    return job.ask("Sure?", approved=over)


@pay.state
async def over(job: Job[Asked], answer: Decision) -> Next:
    return job.done({"by": answer.by})


@dataclass
class Desk:
    http: Http
    engine: Engine

    async def asks(self, tenant: str = "alice", **asked: Any) -> dict[str, Any]:
        """A job that asks, as the inbox shows it."""
        job = (await self.engine.submit(JobOrder(tenant, "pay", asked))).job_id
        return next(item for item in await self.inbox() if item["job_id"] == job) if tenant == "alice" else {}

    async def inbox(self, query: str = "", headers: Any = ALICE) -> list[dict[str, Any]]:
        answer = await self.http.get(f"/api/v1/approvals{query}", headers=headers)
        assert answer.status == 200, await answer.text()
        items: list[dict[str, Any]] = (await answer.json())["items"]
        return items

    async def page(self, link: str) -> tuple[int, str]:
        answer = await self.http.get(_local(link))
        return answer.status, await answer.text()

    async def send(self, link: str, **fields: str) -> ClientResponse:
        sent = {name.replace("__", "."): value for name, value in fields.items()}
        return await self.http.post(_local(link), data=sent, allow_redirects=False)

    async def result(self, job: str) -> Any:
        return (await self.engine.job("alice", job)).result


def _local(link: str) -> str:
    parts = urlsplit(link)
    return f"{parts.path}?{parts.query}"


def words(page: str) -> str:
    """What a person reads."""
    visible = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", visible)))


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    registry = Registry()
    registry.add(pay)
    store = MemoryStore(MemoryState(), replica="r1")
    await store.open()
    engine = Engine(store, registry, EngineSettings("r1", approvals_need_token=True), Metrics(version="0"), "secret")
    http: Http = TestClient(TestServer(create_app(engine, Settings(), credentials())))
    await http.start_server()
    yield Desk(http, engine)
    await http.close()
    await engine.stop()


async def test_looking_at_a_question_decides_nothing_however_often_and_in_whatever_way(desk: Desk) -> None:
    question = await desk.asks(message="Pay the printer?")
    link = _local(question["link"])
    before = await desk.engine.job("alice", question["job_id"])
    for _ in range(2):
        status, page = await desk.page(link)
        assert status == 200
        assert all(word in words(page) for word in ("Pay the printer?", "Approved", "Rejected", "Amount", "In cents."))
    assert (await desk.http.head(link)).status == 200
    assert (await desk.http.get(link, headers={"Purpose": "prefetch", "Sec-Purpose": "prefetch"})).status == 200
    assert (await desk.http.get(link + "&decision=approved&f.cents=5")).status == 200
    assert (await desk.http.options(link)).status == 405
    assert await desk.engine.job("alice", question["job_id"]) == before


async def test_the_page_takes_an_answer_and_then_says_who_decided(desk: Desk) -> None:
    question = await desk.asks()
    sent = await desk.send(
        question["link"],
        decision="approved",
        by="Ann",
        f__cents="500",
        f__account='"tools"',
        f__urgent="true",
        f__due="",
    )
    assert sent.status == 303
    assert sent.headers["Location"] == "?token=" + question["approval_token"]
    assert await desk.result(question["job_id"]) == {
        "by": "Ann", "cents": 500, "account": "tools", "urgent": True, "due": None
    }  # fmt: skip
    status, page = await desk.page(question["link"])
    assert (status, "was answered approved by Ann at" in words(page)) == (200, True)
    assert "<form" not in page
    late = await desk.send(question["link"], decision="rejected", by="Bob")
    assert late.status == 409
    text = words(await late.text())
    assert "too late" in text
    assert "approved by Ann" in text


async def test_what_does_not_fit_is_said_beside_its_field_and_what_was_written_stays(desk: Desk) -> None:
    question = await desk.asks()
    before = await desk.engine.job("alice", question["job_id"])
    answer = await desk.send(question["link"], decision="approved", note="so <b>", f__cents="many", f__account='"x"')
    assert answer.status == 400
    page = await answer.text()
    assert re.search(r'<input type="number" value="many" [^>]*aria-describedby="\S+ \S+" aria-invalid="true"', page)
    assert "'many' is not of type 'integer'" in words(page)
    assert "'x' is not one of ['travel', 'tools']" in words(page)
    assert "so &lt;b&gt;</textarea>" in page
    assert 'role="alert"' in page
    assert await desk.engine.job("alice", question["job_id"]) == before


async def test_nothing_that_comes_from_outside_is_taken_for_html(desk: Desk) -> None:
    evil = "<script>alert('1')</script>\"'&"
    question = await desk.asks(message=evil, approvers=[evil, "bob"], quorum=2)
    mine, other = (one["link"] for one in question["approvers"])
    pages = [(await desk.page(mine))[1], (await desk.page(question["link"]))[1]]
    answer = await desk.send(mine, decision="approved", by=evil, note=evil, f__cents=evil)
    pages.append(await answer.text())
    await desk.send(mine, decision="rejected", note=evil)
    pages += [(await desk.page(link))[1] for link in (mine, other, question["link"])]
    for page in pages:
        assert "<script" not in page
        assert "alert(&#x27;1&#x27;)" in page
        assert not re.search(r'="[^"]*<', page)


async def test_a_link_that_is_not_genuine_answers_as_an_unknown_job_and_for_people(desk: Desk) -> None:
    question, other = await desk.asks(approvers=["ada"]), await desk.asks()
    token, job = question["approval_token"], question["job_id"]
    own = question["approvers"][0]["token"]
    wrong = ["", "x", other["approval_token"], token[:-1] + ("0" if token[-1] != "0" else "1"), "apr_" + "0" * 64]
    wrong += [own.replace(".", ".QQ", 1), own[: own.rindex(".")], desk.engine.approvals.tokens.of(JobId(job), 7)[:-2]]
    replies = [await desk.page(f"/_public/approvals/{job}?token={bad}") for bad in wrong]
    replies.append(await desk.page("/_public/approvals/01890a5d-ac96-774b-bcce-b302099a8057?token=" + token))
    replies.append(await desk.page("/_public/approvals/nonsense?token=" + token))
    assert {status for status, _ in replies} == {404}
    assert len({page for _, page in replies}) == 1
    assert "does not lead to a question" in words(replies[0][1])
    refusal = await desk.send(f"/_public/approvals/{job}?token=x", decision="rejected")
    assert (refusal.status, refusal.content_type) == (404, "text/html")


async def test_a_link_of_an_earlier_question_tells_how_that_was_answered_and_decides_no_other(desk: Desk) -> None:
    question = await desk.asks()
    await desk.send(question["link"], decision="rejected", by="Ann")
    assert (await desk.engine.job("alice", question["job_id"])).context.wait is not None
    assert "was answered rejected by Ann" in words((await desk.page(question["link"]))[1])
    assert (await desk.send(question["link"], decision="approved")).status == 409
    body = {"decision": "approved"}
    path = f"/_public/webhooks/approval/{question['job_id']}"
    refused = await desk.http.post(path, json=body, headers={"X-Approval-Token": question["approval_token"]})
    assert refused.status == 409
    told = await refused.json()
    assert (told["code"], told["decided"]["by"], told["decided"]["decision"]) == (
        "not_waiting_for_decision", "Ann", "rejected"
    )  # fmt: skip


async def test_each_approver_has_a_link_that_answers_for_nobody_else(desk: Desk) -> None:
    question = await desk.asks(approvers=["ada", "group:finance"], quorum=2)
    ada, finance = question["approvers"]
    assert "You answer as ada" in re.sub(r"(as) ?", r"\1 ", words((await desk.page(ada["link"]))[1]))
    assert 'name="by"' not in (await desk.page(ada["link"]))[1]
    assert 'name="by"' in (await desk.page(finance["link"]))[1]
    await desk.send(ada["link"], decision="approved", by="mallory", approver="group:finance", f__cents="5")
    (listed,) = await desk.inbox()
    assert [(one["approver"], one["answered"]) for one in listed["approvers"]] == [
        ("ada", "approved"),
        ("group:finance", None),
    ]
    assert (listed["answers"][0]["approver"], listed["answers"][0]["proof"]) == ("ada", "link")
    assert "You answered approved" in words((await desk.page(ada["link"]))[1])
    changed = await desk.send(ada["link"], decision="rejected")
    assert changed.status == 409
    # The documented webhook knows the approver by the token alone.
    path = f"/_public/webhooks/approval/{question['job_id']}?token={finance['token']}"
    answer = await desk.http.post(path, json={"decision": "approved", "by": "carol", "form": {"cents": 7}})
    assert await answer.json() == {"status": "approval_received", "job_id": question["job_id"]}
    assert (await desk.result(question["job_id"]))["by"] == "carol"


async def test_a_say_is_handed_on_by_its_own_link_and_the_new_one_counts(desk: Desk) -> None:
    question = await desk.asks(approvers=["ada"])
    ada = question["approvers"][0]["link"]
    assert (await desk.send(ada, to="")).status == 400
    assert (await desk.send(ada, to="carol")).status == 303
    assert "You handed your say to carol" in words((await desk.page(ada))[1])
    assert (await desk.send(ada, decision="rejected")).status == 403
    (listed,) = await desk.inbox("?approver=carol")
    (carol,) = listed["approvers"]
    assert (carol["approver"], carol["instead_of"]) == ("carol", "ada")
    assert (await desk.send(carol["link"], decision="approved", f__cents="5")).status == 303
    assert (await desk.result(question["job_id"]))["by"] == "carol"


async def test_the_inbox_holds_what_waits_for_people_of_this_tenant_by_approver_and_page(desk: Desk) -> None:
    await desk.asks("bob")
    first, second = await desk.asks(approvers=["ada", "bob"], quorum=2), await desk.asks(approvers=["bob"])
    assert {item["job_id"] for item in await desk.inbox()} == {first["job_id"], second["job_id"]}
    assert [item["job_id"] for item in await desk.inbox("?approver=ada")] == [first["job_id"]]
    await desk.send(first["approvers"][0]["link"], decision="approved", f__cents="1")
    assert await desk.inbox("?approver=ada") == []
    assert len(await desk.inbox(headers=BOB)) == 1
    page = await (await desk.http.get("/api/v1/approvals?limit=1", headers=ALICE)).json()
    rest = await desk.inbox(f"?limit=1&cursor={page['next']}")
    assert {item["job_id"] for item in [*page["items"], *rest]} == {first["job_id"], second["job_id"]}
    await desk.engine.delete("alice", second["job_id"])
    await desk.engine.cancel("alice", first["job_id"])
    assert await desk.inbox() == []
    for query in ("limit=0", "cursor=", "cursor=x", "approver="):
        assert (await desk.http.get(f"/api/v1/approvals?{query}", headers=ALICE)).status == 400


async def test_the_owner_answers_for_others_and_that_is_a_claim(desk: Desk) -> None:
    question = await desk.asks(approvers=["ada", "bob"], quorum=2)
    path = f"/api/v1/jobs/{question['job_id']}/decision"
    nobody = await desk.http.post(path, json={"decision": "rejected"}, headers=ALICE)
    assert (nobody.status, (await nobody.json())["missing"]) == (403, ["ada", "bob"])
    first = await desk.http.post(path, json={"decision": "rejected", "by": "ada"}, headers=ALICE)
    assert await first.json() == {
        "status": "approval_received", "job_id": question["job_id"], "decided": None, "answers": 1, "missing": ["bob"]
    }  # fmt: skip
    handed = await desk.http.post(f"{path}/delegate", json={"approver": "bob", "to": "eve"}, headers=ALICE)
    assert (await handed.json())["to"] == "eve"
    assert (await desk.http.post(path, json={"decision": "rejected", "by": "eve"}, headers=BOB)).status == 404
    history = await desk.engine.history("alice", question["job_id"])
    received = next(event for event in history if event.event_type == "approval_received")
    assert (received.details["proof"], received.details["approver"]) == ("client", "ada")
    bad = await desk.http.post(path, json={"decision": "approved", "by": "eve", "form": {"cents": 0}}, headers=ALICE)
    problem = await bad.json()
    assert (bad.status, problem["code"]) == (400, "form_invalid")
    assert [error["pointer"] for error in problem["errors"]] == ["/cents"]


async def test_the_page_runs_nothing_is_kept_nowhere_and_is_shown_in_no_frame(desk: Desk) -> None:
    question = await desk.asks()
    answer = await desk.http.get(_local(question["link"]))
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert all(part in policy for part in ("form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"))
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    link = _local(question["link"])
    body = {"decision": "rejected"}
    other_site = await desk.http.post(link, data=body, headers={"Sec-Fetch-Site": "cross-site"})
    assert (other_site.status, other_site.content_type) == (403, "text/html")
    assert (await desk.http.post(link, json=body)).status == 400
    assert (await desk.http.post(link, data={"decision": "x" * 70_000})).status == 413
    assert (await desk.http.post(link, data={"decision": "perhaps"})).status == 400
    assert (await desk.http.get(link)).status == 200
    assert len(await desk.inbox()) == 1


async def test_a_person_fills_in_the_form_in_a_browser_without_scripts(desk: Desk, tmp_path: Path) -> None:
    question = await desk.asks(message="Pay the printer?", approvers=["ada"])
    link = str(desk.http.make_url(_local(question["approvers"][0]["link"])))
    seen, complaints = await asyncio.to_thread(_fill_in, tmp_path, link)
    assert "You answer as ada" in seen[0]
    assert "exclusive minimum" in seen[1] or "less than or equal to the minimum" in seen[1]
    assert "was answered approved by ada" in seen[2]
    assert complaints == []
    assert await desk.result(question["job_id"]) == {
        "by": "ada", "cents": 1250, "account": "tools", "urgent": True, "due": None
    }  # fmt: skip


def _fill_in(folder: Path, link: str) -> tuple[list[str], list[str]]:
    """What the page says at first, after a try that does not fit, and at the end; and what the browser complains of."""
    with opened_browser(folder) as browser:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        browser.open(link)
        seen = [_words_of(browser)]
        browser.write("g0-0", "0")
        unchecked = "for (const form of document.forms) form.noValidate = true"  # else the browser holds it back itself
        browser.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": unchecked})
        browser.click_words("Approved")
        seen.append(_words_of(browser))
        browser.write("g0-0", "1250")
        browser.choose("g0-1", '"tools"')
        browser.click("g0-2")
        browser.click_words("Approved")
        seen.append(_words_of(browser))
        return seen, browser.complaints()


def _words_of(browser: Browser) -> str:
    return " ".join(browser.driver.find_element(By.TAG_NAME, "main").text.split())
