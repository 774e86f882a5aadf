"""A person's decision: the first one wins, and only who may decide does."""

import asyncio

import aiohttp

from tests.system.callers import Api, PlainWorker, Reply, api_at
from tests.system.processes import Cluster


async def approve(api: Api, job_id: str, decision: str = "approved", **headers: str) -> Reply:
    plain = Api(api.session, api.url)  # without the client's token
    path = f"/_public/webhooks/approval/{job_id}"
    return await plain.call(
        "POST", path, {"decision": decision}, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


async def test_of_many_decisions_at_once_on_both_replicas_exactly_one_wins(a: Api, b: Api) -> None:
    for _ in range(5):
        job_id = await a.start("ask")
        await a.is_(job_id, "waiting_for_human")
        words = ["approved", "rejected"] * 6
        replies = await asyncio.gather(*(approve((a, b)[n // 2 % 2], job_id, word) for n, word in enumerate(words)))
        winners = [word for word, reply in zip(words, replies, strict=True) if reply.status == 200]
        assert len(winners) == 1
        assert {reply.status for reply in replies} == {200, 409}
        job = await b.end_of(job_id)
        assert job["status"] == ("finished" if winners == ["approved"] else "failed")
        assert (await a.events(job_id)).count("approval_received") == 1


async def test_a_question_in_a_race_is_in_the_inbox_and_answered_as_any_other(
    a: Api, b: Api, on_a: PlainWorker, name: str
) -> None:
    await on_a.register(name)
    asked, worked = await a.start("auction", type=name), await a.start("auction", type=name)
    tasks = {task["job_id"]: task for task in [await on_a.take(), await on_a.take()]}
    waiting = (await b.is_(asked, "waiting_for_human"))["waiting_for"]
    assert (waiting["kind"], waiting["message"], waiting["signal"]) == ("race", "Sell now?", "stop")
    inbox = (await b.call("GET", "/api/v1/approvals")).body["items"]
    assert {asked, worked} <= {item["job_id"] for item in inbox}
    page = await b.call("GET", f"/_public/approvals/{asked}?token={waiting['approval_token']}")
    assert b"Sell now?" in page.raw
    owner = await a.call("POST", f"/api/v1/jobs/{asked}/decision", {"decision": "approved", "by": "ada"})
    assert owner.status == 200
    assert (await b.end_of(asked))["result"] == {"sold_by": "ada"}
    assert (await approve(b, asked)).status == 409
    await on_a.report(tasks[worked], data={"cents": 5})
    assert (await b.end_of(worked))["result"] == {"bought": {"cents": 5}}
    late = await approve(b, worked)
    assert (late.status, late.body["code"]) == (409, "not_waiting_for_decision")
    left = (await b.call("GET", "/api/v1/approvals")).body["items"]
    assert not {asked, worked} & {item["job_id"] for item in left}


async def test_only_a_job_that_waits_for_a_person_takes_a_decision(a: Api, name: str) -> None:
    """Nobody can skip a worker's step with the word of its outcome."""
    job_id = await a.start("one", type=name)
    for word in ("success", "approved"):
        reply = await approve(a, job_id, word)
        assert (reply.status, reply.body["code"]) == (409, "not_waiting_for_decision")
    assert (await a.job(job_id))["status"] == "waiting_for_worker"


async def test_a_question_with_a_deadline_is_answered_by_the_deadline(a: Api, b: Api) -> None:
    job_id = await a.start("hurry", within=0.3)
    job = await b.end_of(job_id)
    assert job["result"] == {"decision": "late"}
    assert (await approve(b, job_id)).status == 409


async def test_where_tokens_are_required_only_the_one_of_this_question_counts(
    hard: Cluster, http: aiohttp.ClientSession
) -> None:
    api = api_at(http, hard.a.url)
    first, second = await api.start("ask"), await api.start("ask")
    tokens = [
        (await api.is_(job_id, "waiting_for_human"))["waiting_for"]["approval_token"] for job_id in (first, second)
    ]
    assert tokens[0] != tokens[1]
    never = await approve(api, "01890a5d-ac96-774b-bcce-b302099a8057", X_Approval_Token=tokens[0])
    assert never.status == 404
    for wrong in ({}, {"X_Approval_Token": tokens[1]}, {"X_Approval_Token": "x"}):
        refused = await approve(api, first, **wrong)
        assert refused.raw.replace(first.encode(), b"") == never.raw.replace(
            b"01890a5d-ac96-774b-bcce-b302099a8057", b""
        )
        assert refused.status == 404
    assert (await api.job(first))["status"] == "waiting_for_human"
    assert (await approve(api, first, X_Approval_Token=tokens[0])).status == 200
    asked = await Api(http, hard.a.url).call(
        "POST", f"/_public/webhooks/approval/{second}?token={tokens[1]}", {"decision": "rejected"}
    )
    assert asked.status == 200
    assert (await api.end_of(first))["status"] == "finished"
    assert (await api.end_of(second))["status"] == "failed"
    third = await api.start("ask")
    await api.is_(third, "waiting_for_human")
    owner = await api.call("POST", f"/api/v1/jobs/{third}/decision", {"decision": "approved", "by": "ada"})
    assert owner.body == {"status": "approval_received", "job_id": third}
    assert (await api.end_of(third))["result"] == {"decision": "approved", "by": "ada"}
