"""`why` tells what is so, of real jobs on real servers, asked at a replica that did not do the work."""

import asyncio
import os
import sys
from typing import Any

import aiohttp
import pytest
from muster_worker import Client

from tests.system.callers import Api, PlainWorker, until
from tests.system.processes import ALPHA, Cluster


async def why(api: Api, job_id: str) -> list[dict[str, Any]]:
    reply = await api.call("GET", f"/api/v1/jobs/{job_id}/why")
    assert reply.status == 200, reply
    assert reply.body["job_id"] == job_id
    found: list[dict[str, Any]] = reply.body["reasons"]
    assert found
    return found


async def only(api: Api, job_id: str) -> dict[str, Any]:
    (reason,) = await why(api, job_id)
    return reason


async def wanted(api: Api, task: str) -> dict[str, Any]:
    reply = await api.call("GET", "/api/v1/fleet/wanted")
    found: dict[str, Any] = next((item for item in reply.body["items"] if item["task"] == task), {})
    return found


async def run_muster(fleet: Cluster, *words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "muster.cli.app", *words,
        env={**os.environ, "MUSTER_URL": fleet.b.url, "MUSTER_CLIENT_TOKEN": ALPHA},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0, out
    return out.decode()


# Tasks


async def test_a_task_that_nobody_offers_names_the_closest_then_a_free_worker_then_the_one_that_has_it(
    a: Api, b: Api, on_a: PlainWorker, name: str
) -> None:
    await on_a.register(f"{name}.resise")
    job_id = await a.start("one", type=f"{name}.resize")
    nobody = await only(b, job_id)
    assert (nobody["code"], nobody["details"]["closest"]) == ("no_worker", f"{name}.resise")
    assert nobody["since"] is not None
    await on_a.register(f"{name}.resize")
    free = await only(b, job_id)
    assert (free["code"], free["details"]["slots"], free["details"]["used_slots"]) == ("worker_free", 1, 0)
    task = await on_a.take()
    running = await only(b, job_id)
    assert running["code"] == "task_running"
    assert running["details"]["workers"] == [on_a.worker_id]
    assert running["details"]["tasks"][0]["task_id"] == task["task_id"]
    assert running["since"] < running["until"]
    await on_a.report(task)
    assert (await only(b, job_id))["code"] == "finished"


async def test_all_busy_tells_the_place_in_line_and_an_estimate_once_something_was_measured(
    a: Api, b: Api, on_a: PlainWorker, name: str
) -> None:
    await on_a.register(name)
    first, second, third = [await a.start("one", type=name) for _ in range(3)]
    task = await on_a.take()
    assert task["job_id"] == first
    for job_id, before in ((second, 0), (third, 1)):
        busy = await only(b, job_id)
        assert busy["code"] == "workers_busy"
        expected = {"workers": 1, "slots": 1, "used_slots": 1, "queued": 2, "queued_before": before}
        assert {key: busy["details"][key] for key in expected} == expected
        assert busy["details"]["estimate_ms"] is None
    await on_a.report(task)
    assert (await on_a.take())["job_id"] == second
    measured = await only(a, third)
    assert measured["code"] == "workers_busy"
    assert measured["details"]["estimate_ms"] == measured["details"]["duration_ms"] > 0
    assert (await only(b, third))["details"]["estimate_ms"] is None  # b has measured nothing


async def test_a_fleet_that_drains_is_said_to(a: Api, b: Api, on_a: PlainWorker, name: str) -> None:
    await on_a.register(name)
    await on_a.beat(status="draining")
    job_id = await a.start("one", type=name)
    draining = await only(b, job_id)
    assert (draining["code"], draining["details"]["workers"]) == ("workers_draining", [on_a.worker_id])
    await a.cancel(job_id)


async def test_a_back_off_tells_until_when_and_the_last_error(a: Api, b: Api, on_a: PlainWorker, name: str) -> None:
    await on_a.register(name)
    job_id = await a.start("one", type=name)
    error = {"code": "TRANSIENT_ERROR", "message": "no route", "retry_after_seconds": 30}
    await on_a.report(await on_a.take(), "failure", error=error)
    reason = await only(b, job_id)
    assert (reason["code"], reason["details"]["failures"]) == ("task_backoff", 1)
    assert reason["details"]["error"] == "TRANSIENT_ERROR: no route"
    assert 20_000 < reason["details"]["tasks"][0]["starts_in_ms"] <= 30_000
    assert reason["until"] is not None
    await a.cancel(job_id)


async def test_a_fan_tells_what_runs_and_what_does_not(a: Api, b: Api, on_a: PlainWorker, name: str) -> None:
    await on_a.register(name, max_concurrent_tasks=2)
    job_id = await a.start("fan", type=name, count=150)
    await on_a.take()
    await on_a.take()
    busy, *running = await why(b, job_id)
    assert busy["code"] == "workers_busy"
    assert {reason["code"] for reason in running} <= {"task_running"}  # those two may not be among the forty
    assert 0 <= busy["details"]["queued_before"] <= 108  # of the first of the forty that were looked at
    assert (busy["details"]["looked_at"], busy["details"]["of"], busy["details"]["queued"]) == (40, 150, 148)
    assert await wanted(a, name) == {
        "task": name, "queued": 148, "running": 2, "workers": 1, "slots": 2, "wanted_workers": 75,
        "needs": [],
    }  # fmt: skip
    one = await b.call("GET", f"/api/v1/fleet/wanted?task={name}")
    assert one.body == {"value": 75}
    await a.cancel(job_id)


async def test_a_job_to_be_cancelled_tells_the_grace_of_its_worker(
    a: Api, b: Api, on_a: PlainWorker, name: str
) -> None:
    await on_a.register(name)
    job_id = await a.start("one", type=name)
    task = await on_a.take()
    await a.cancel(job_id)
    cancel, running = await why(b, job_id)
    assert (cancel["code"], running["code"]) == ("cancel_asked", "task_running")
    assert cancel["since"] < cancel["until"]
    await on_a.report(task, "cancelled")
    await a.end_of(job_id)
    assert (await only(b, job_id))["code"] == "cancelled"


# Other waits


async def test_a_question_tells_how_to_answer_it(a: Api, b: Api) -> None:
    job_id = await a.start("hurry", within="1h")
    reason = await only(b, job_id)
    assert (reason["code"], reason["details"]["message"]) == ("person", "Go on?")
    assert reason["details"]["decisions"] == ["approved"]
    assert reason["since"] < reason["until"]
    method, path = reason["details"]["answer"].split()
    assert (await b.call(method, path, {"decision": "approved"})).status == 200
    assert (await only(b, job_id))["code"] == "finished"


async def test_a_sleep_tells_until_when(a: Api, b: Api) -> None:
    job_id = await a.start("nap", seconds=600)
    reason = await only(b, job_id)
    assert (reason["code"], reason["details"]) == ("timer", {"then": "awake"})
    assert reason["since"] < reason["until"]
    await a.cancel(job_id)


async def test_a_signal_tells_its_name_and_the_wrong_ones_that_came(a: Api, b: Api) -> None:
    job_id = await a.start("patient")
    for name in ("goo", "goo"):
        assert (await a.call("POST", f"/api/v1/jobs/{job_id}/signals/{name}", {})).status == 200
    reason = await only(b, job_id)
    assert (reason["code"], reason["details"]["signal"]) == ("signal", "go")
    assert reason["details"]["kept"] == ["goo", "goo"]
    await a.cancel(job_id)


async def test_missing_uploads_are_named(a: Api, b: Api) -> None:
    planned = (await a.call("POST", "/api/v1/files/signed-upload", {"name": "a.txt"})).body["file_id"]
    job_id = await a.start("command", argv=["true"], inputs=[{"name": "a.txt", "file_id": planned}])
    reason = await only(b, job_id)
    assert (reason["code"], reason["details"]["missing"]) == ("uploads", [planned])
    assert reason["until"] is not None
    await a.cancel(job_id)


async def test_a_child_tells_its_own_reasons_and_its_child_is_named(a: Api, b: Api) -> None:
    inner = {"blueprint": "nap", "input": {"seconds": 600}}
    job_id = await a.start("family", blueprint="family", input=inner)

    async def both_wait() -> bool:
        (reason,) = await why(b, job_id)
        return [below["code"] for below in reason["reasons"]] == ["child"]

    await until(both_wait, "the child has started one of its own")
    reason = await only(b, job_id)
    (below,) = reason["reasons"]
    assert (reason["code"], reason["details"]["blueprint"]) == ("child", "family")
    child = reason["details"]["child_id"]
    assert child == (await a.job(job_id))["waiting_for"]["child_id"]
    assert below["details"]["child_id"] == (await a.job(child))["waiting_for"]["child_id"]
    assert below["reasons"] == []  # one level down
    assert [found["code"] for found in (await only(b, child))["reasons"]] == ["timer"]
    await a.cancel(job_id)


# Turns and ends


async def test_a_state_that_fails_tells_when_it_is_tried_again_and_its_end_the_error(a: Api, b: Api) -> None:
    job_id = await a.start("raises")
    seen: set[str] = set()

    async def is_over() -> bool:
        seen.add((await only(b, job_id))["code"])
        return "quarantined" in seen

    await until(is_over, "the job is quarantined")
    assert "turn_failed" in seen
    assert seen <= {"turn_failed", "turn_running", "turn_due", "quarantined"}
    end = await only(b, job_id)
    assert "the price list is gone" in end["text"]
    assert end["details"]["error_code"] == "state_failed"


async def test_a_state_that_takes_its_time_is_said_to_be_under_way(
    a: Api, b: Api, on_a: PlainWorker, name: str
) -> None:
    await on_a.register(name)
    job_id = await a.start("hangs_after", type=name)
    await on_a.report(await on_a.take())

    async def under_way() -> bool:
        return bool((await only(b, job_id))["code"] == "turn_running")

    await until(under_way, "a server has the turn")
    await a.cancel(job_id)


# Who asks


async def test_anothers_job_and_an_unknown_one_are_not_found(a: Api, stranger: Api) -> None:
    job_id = await a.start("nap", seconds=600)
    for api, asked in ((stranger, job_id), (a, "no-id"), (a, "018f0000-0000-7000-8000-0000000000ff")):
        refused = await api.call("GET", f"/api/v1/jobs/{asked}/why")
        assert (refused.status, refused.body["code"]) == (404, "job_not_found")
    await a.cancel(job_id)


async def test_the_python_client_and_the_command_line_ask_too(a: Api, fleet: Cluster, name: str) -> None:
    job_id = await a.start("family", blueprint="patient")
    task = await a.start("one", type=name)

    async def child_waits() -> bool:
        return [below["code"] for below in (await only(a, job_id))["reasons"]] == ["signal"]

    await until(child_waits, "the child waits")
    async with Client(fleet.b.url, ALPHA) as client:
        explained = await client.why(job_id)
        assert (explained.status, explained.reasons[0].code) == ("waiting", "child")
        assert explained.reasons[0].reasons[0].code == "signal"
        assert [demand.queued for demand in await client.wanted() if demand.task == name] == [1]
    first, child, signal = (await run_muster(fleet, "why", job_id)).splitlines()
    assert first == f"family  {job_id}  waiting  in start_child"
    assert child.startswith("  child: it waits for the end of job ")
    assert signal.startswith("    signal: it waits for the signal 'go'")
    assert (await run_muster(fleet, "job", "why", job_id)).splitlines()[0] == first
    assert '"code": "child"' in await run_muster(fleet, "why", job_id, "-o", "json")
    for found in (job_id, task):
        await a.cancel(found)


@pytest.mark.parametrize("query", ["", "?task=a"])
async def test_wanted_workers_are_for_clients_only(fleet: Cluster, http: aiohttp.ClientSession, query: str) -> None:
    refused = await Api(http, fleet.a.url).call("GET", f"/api/v1/fleet/wanted{query}")
    assert refused.status == 401
