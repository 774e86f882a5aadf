"""A job that starts another: what its end, and the wish to cancel it, mean for the other."""

import asyncio
import json
import time
from typing import Any

import aiohttp
import pytest
from muster.cli.app import run

from tests.system.callers import Api, PlainWorker, api_at
from tests.system.conftest import QUICK, MakeCluster
from tests.system.impatient import SHORT_TURN_LEASES
from tests.system.processes import ALPHA, Cluster


async def child_of(api: Api, job_id: str) -> str:
    job = await api.is_(job_id, "waiting")
    assert job["waiting_for"]["kind"] == "child"
    child: str = job["waiting_for"]["child_id"]
    return child


async def test_a_childs_result_is_its_parents_to_use_and_both_begin_and_go_on_at_once(
    a: Api, b: Api, on_b: PlainWorker, name: str
) -> None:
    await on_b.register(name)
    took_s: list[float] = []
    for _ in range(5):
        began_at = time.monotonic()
        job_id = await a.start("family", blueprint="one", input={"type": name})
        task = await on_b.take()
        child = await child_of(b, job_id)
        assert task["job_id"] == child
        assert (await a.job(child))["parent_id"] == job_id
        await on_b.report(task, data={"pages": 3})
        job = await a.end_of(job_id)
        took_s.append(time.monotonic() - began_at)
        assert (job["status"], job["result"], job["parent_id"]) == ("finished", {"child": {"pages": 3}}, None)
        assert (await a.job(child))["result"] == {"pages": 3}
    assert min(took_s) < 1, "no tick of a second is waited for, neither down nor up"
    assert "child_started" in await a.events(job_id)


@pytest.mark.parametrize(
    ("starts", "code", "message"),
    [
        ({"blueprint": "nowhere"}, "BLUEPRINT_NOT_FOUND", "there is no blueprint 'nowhere'"),
        ({"blueprint": "command", "input": {"argv": 7}}, "INVALID_INPUT", "the input does not fit blueprint 'command'"),
    ],
)
async def test_a_child_that_cannot_be_started_fails_its_parent_and_says_why(
    a: Api, starts: dict[str, Any], code: str, message: str
) -> None:
    job = await a.end_of(await a.start("family", **starts))
    assert (job["status"], job["error_details"]["code"]) == ("failed", code)
    assert job["error_message"].startswith(message)
    mended = await a.end_of(await a.start("family", mends=True, **starts))
    assert (mended["status"], mended["result"]["code"]) == ("finished", code)


async def test_a_failed_child_fails_its_parent_with_its_own_words(a: Api, on_a: PlainWorker, name: str) -> None:
    await on_a.register(name)
    job_id = await a.start("family", blueprint="one", input={"type": name})
    await on_a.report(await on_a.take(), "failure", error={"code": "COMMAND_FAILED", "message": "status 7"})
    job = await a.end_of(job_id)
    assert (job["status"], job["error_details"]["code"]) == ("failed", "COMMAND_FAILED")
    assert job["error_message"] == f"job {job['error_details']['child']}, which this one started: status 7"


async def test_a_blueprint_that_starts_itself_is_stopped_at_the_eighth_job_below_the_first(a: Api) -> None:
    job = await a.end_of(await a.start("bottomless"))
    assert job["status"] == "failed"
    assert "8 jobs are above this one: it may start no other" in job["error_message"]
    assert job["error_details"]["code"] == "CHILD_TOO_DEEP"
    assert job["error_message"].count("which this one started") == 8


async def test_spread_children_live_everywhere_and_outlive_the_replica_that_started_them(
    make_cluster: MakeCluster, http: aiohttp.ClientSession
) -> None:
    """Four partitions, two replicas: starts, ends and cancels are delivered though one is killed on the way."""
    cluster = make_cluster(replicas=2, limits=SHORT_TURN_LEASES, MUSTER_PARTITIONS="4", **QUICK)
    first, other = api_at(http, cluster.a.url), api_at(http, cluster.b.url)
    worker = PlainWorker(http, cluster.b.url, worker_id="spread-b")
    await worker.register("spread")
    child = {"blueprint": "one", "input": {"type": "spread"}, "spread": True}
    jobs = [await first.start("family", blueprint="family", input=child, spread=True) for _ in range(12)]
    doomed = [
        await first.start("family", blueprint="patient", spread=True, tidies=True) for _ in range(4)
    ]  # fmt: skip
    for job_id in doomed:
        assert (await first.cancel(job_id)).status == 200
    cluster.a.kill()
    for _ in jobs:
        await worker.report(await worker.take(), data={"n": 1})
    ends = [await other.end_of(job) for job in jobs]
    assert [(job["status"], job["result"]) for job in ends] == [("finished", {"child": {"child": {"n": 1}}})] * 12
    assert {(await other.end_of(job))["result"]["tidied"] for job in doomed} == {True}
    listed = (await other.call("GET", "/api/v1/jobs?limit=200")).body["items"]
    families = {job["id"]: job for job in listed}
    apart = [partition(job["parent_id"]) != partition(job["id"]) for job in families.values() if job["parent_id"]]
    assert len(apart) == 28
    assert any(apart), "some live elsewhere than their parents"
    assert {job["status"] for job in families.values() if job["parent_id"] in doomed} == {"cancelled"}


def partition(job_id: str) -> int:
    return int(job_id[15:18], 16)


async def test_a_job_and_all_below_it_are_shown_as_a_tree(
    a: Api, on_a: PlainWorker, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await on_a.register(name)
    top = await a.start("family", blueprint="family", input={"blueprint": "one", "input": {"type": name}}, spread=True)
    task = await on_a.take()
    monkeypatch.setenv("MUSTER_URL", a.url)
    monkeypatch.setenv("MUSTER_CLIENT_TOKEN", ALPHA)
    middle = (await a.job(task["job_id"]))["parent_id"]
    assert await asyncio.to_thread(run, ["job", "tree", top]) == 0
    assert [line.split("  in ")[0] for line in capsys.readouterr().out.splitlines()] == [
        f"family  {top}  waiting",
        f"└─ family  {middle}  waiting",
        f"   └─ one  {task['job_id']}  waiting_for_worker",
    ]
    await on_a.report(task, "failure", error={"code": "COMMAND_FAILED", "message": "status 7"})
    await a.end_of(top)
    assert await asyncio.to_thread(run, ["job", "tree", top, "--output", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [shown["status"], shown["children"][0]["children"][0]["error_message"]] == ["failed", "status 7"]


# Cancelling


async def test_a_cancelled_parent_ends_after_its_child_whose_worker_is_told(
    a: Api, b: Api, on_b: PlainWorker, name: str
) -> None:
    await on_b.register(name)
    job_id = await a.start("family", blueprint="family", input={"blueprint": "one", "input": {"type": name}})
    task = await on_b.take()
    assert (await a.cancel(job_id)).status == 200
    for live in (await b.job(job_id), await b.job(task["job_id"])):
        assert (live["cancel_requested"], live["finished_at"]) == (True, None)
    assert (await on_b.beat()).body["cancel_task_ids"] == [task["task_id"]]
    await on_b.report(task, "cancelled")
    top = await a.end_of(job_id)
    middle = await a.job((await a.job(task["job_id"]))["parent_id"])
    assert [top["status"], middle["status"]] == ["cancelled", "cancelled"]
    assert middle["finished_at"] <= top["finished_at"]


async def test_a_cancelled_child_whose_worker_is_silent_holds_its_parent_for_the_grace_only(
    a: Api, on_a: PlainWorker, name: str
) -> None:
    await on_a.register(name)
    job_id = await a.start("family", blueprint="one", input={"type": name}, tidies=True)
    await on_a.take()
    await a.cancel(job_id)
    job = await a.end_of(job_id)
    assert (job["status"], job["result"]) == ("finished", {"tidied": True})


async def test_a_child_may_be_cancelled_alone_and_its_parent_ends_as_cancelled(
    a: Api, on_a: PlainWorker, name: str
) -> None:
    job_id = await a.start("family", blueprint="one", input={"type": name})
    child = await child_of(a, job_id)
    await a.cancel(child)
    job = await a.end_of(job_id)
    assert (job["status"], job["error_message"]) == ("cancelled", f"job {child}, which this one started, was cancelled")


# Faults


async def test_children_begin_and_their_ends_arrive_although_the_replica_is_killed(
    mortal: Cluster, name: str, http: aiohttp.ClientSession
) -> None:
    first, other = api_at(http, mortal.a.url), api_at(http, mortal.b.url)
    worker = PlainWorker(http, mortal.b.url, worker_id=f"{name}-b")
    await worker.register(name)
    child = {"blueprint": "one", "input": {"type": name}}
    jobs = [await first.start("family", blueprint="family", input=child) for _ in range(10)]
    mortal.a.kill()
    for _ in jobs:
        await worker.report(await worker.take(), data={"n": 1})
    ends = [await other.end_of(job) for job in jobs]
    assert [(job["status"], job["result"]) for job in ends] == [("finished", {"child": {"child": {"n": 1}}})] * 10
