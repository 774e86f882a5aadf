"""Every defect that was reproduced in the system that the HTTP surface was first written for, as a test that we pass.

`predecessor_defects.md` names the test for each; those that no other file has are here.
"""

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from muster.core.limits import TURN_LEASE_MS, TURN_TIMEOUT_MS

from tests.system.callers import Api, PlainWorker, api_at, until
from tests.system.processes import ALPHA, BETA, SECRET, WORKER_TOKEN, Cluster

DEFECTS = {*(f"W{n}" for n in (*range(1, 26), *range(30, 40))), *(f"H{n}" for n in range(1, 18))}


def test_every_defect_is_answered() -> None:
    table = Path(__file__).with_name("predecessor_defects.md").read_text()
    rows = re.findall(r"^\| ([WH]\d+) \| (.+?) \| (.+?) \|$", table, re.MULTILINE)
    assert {number for number, _, _ in rows} == DEFECTS
    here = Path(__file__)
    for number, _, answer in rows:
        place, _, what = answer.partition(": ")
        file = here if place == "here" else here.parent / place
        assert file.exists(), number
        assert f"def {what}(" in file.read_text(), f"{number}: {what}"


@pytest.mark.parametrize("workers", [1, 4])
async def test_branches_that_end_one_after_another_or_all_at_once_are_all_joined(
    a: Api, b: Api, http: aiohttp.ClientSession, name: str, workers: int
) -> None:
    jobs = [await api.start("fan", type=name, count=8) for api in (a, b) for _ in range(8)]
    left = asyncio.Semaphore(len(jobs) * 8)

    async def work(number: int) -> None:
        worker = PlainWorker(http, (a, b)[number % 2].url, worker_id=f"{name}-{number}")
        await worker.register(name)
        while not left.locked():
            task = await worker.poll(0.5)
            if task is None:
                return
            await left.acquire()
            assert (await worker.report(task, data=task["params"])).body == {"status": "result_accepted_success"}

    await asyncio.gather(*(work(number) for number in range(workers)))
    ends = await asyncio.gather(*(a.end_of(job_id) for job_id in jobs))
    assert all(job["result"] == {"results": list(range(8))} for job in ends)


async def test_a_branch_that_runs_out_of_time_is_tried_again(a: Api, on_a: PlainWorker, name: str) -> None:
    await on_a.register(name)
    job_id = await a.start("fan", type=name, count=2, timeout=0.5)
    first, stuck = await on_a.take(), await on_a.take()
    await on_a.report(first, data=first["params"])
    again = await on_a.take()
    assert (again["task_id"], again["attempt"]) == (stuck["task_id"], 2)
    await on_a.report(again, data=again["params"])
    assert (await a.end_of(job_id))["result"] == {"results": [0, 1]}


async def test_a_hundred_and_fifty_time_outs_at_once_lose_no_task(
    a: Api, http: aiohttp.ClientSession, name: str
) -> None:
    worker = PlainWorker(http, a.url, worker_id=name)
    await worker.register(name)
    job_id = await a.start("fan", type=name, count=150, timeout=1)
    held = {(await worker.take())["task_id"] for _ in range(150)}
    again: set[str] = set()
    while again != held:
        task = await worker.take()
        assert task["attempt"] > 1
        again.add(task["task_id"])
        await worker.report(task, data=task["params"])
    assert (await a.end_of(job_id))["result"] == {"results": list(range(150))}


async def test_deadlines_in_the_store_are_the_stores_own_time(
    fleet: Cluster, a: Api, on_a: PlainWorker, name: str
) -> None:
    await on_a.register(name)
    await a.start("one", type=name)
    await on_a.take()
    await a.start("nap", seconds=60)
    with fleet.store.client() as store:
        now_ms = store.time()[0] * 1000
        keys = [key for kind in ("L", "tm") for key in store.scan_iter(f"*}}{kind}")]
        dues = [due for key in keys for _, due in store.zrange(key, 0, -1, withscores=True)]
    assert len(dues) >= 2
    assert all(abs(due - now_ms) < 40 * 86_400_000 for due in dues)


def test_no_optional_package_is_needed() -> None:
    """The server's modules load where no telemetry, no test tool and no web framework's extra is there."""
    others = ["opentelemetry", "msgpack", "fakeredis", "pytest", "hypothesis", "sqlalchemy"]
    code = f"import sys; sys.modules.update(dict.fromkeys({others!r})); import muster.main, muster.cli.app"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_a_state_function_must_return_before_its_turn_can_be_taken_over() -> None:
    assert TURN_TIMEOUT_MS + 2_000 < TURN_LEASE_MS


async def test_no_update_and_no_result_makes_a_worker_immortal(
    fleet: Cluster, a: Api, on_a: PlainWorker, name: str
) -> None:
    def lives_ms() -> list[int]:
        with fleet.store.client() as store:
            return [store.pttl(key) for key in store.scan_iter(f"*w:{on_a.worker_id}")]

    await on_a.register(name)
    steps = []
    await on_a.beat(load=0.3, supported_tasks=[name, "x"], status="busy")
    steps.append(lives_ms())
    await a.start("one", type=name)
    task = await on_a.take()
    steps.append(lives_ms())
    await on_a.report(task)
    steps.append(lives_ms())
    await on_a.beat()
    steps.append(lives_ms())
    assert all(len(lives) == 1 and 0 < lives[0] <= 120_000 for lives in steps), steps


async def test_an_sdk_worker_comes_back_by_itself_after_the_store_was_emptied(
    quick: Cluster, http: aiohttp.ClientSession
) -> None:
    api = api_at(http, quick.a.url)
    quick.add_worker("back")
    assert (await api.end_of(await api.start("one", type="back.echo")))["status"] == "finished"
    flushed = await api.call("POST", "/_public/debug/flush_db")
    assert flushed.body == {"status": "db_flushed"}
    assert (await api.end_of(await api.start("one", type="back.echo")))["status"] == "finished"

    async def listed() -> bool:
        workers = (await api.call("GET", "/api/v1/workers")).body
        return [worker["worker_id"] for worker in workers] == ["back-1"]

    await until(listed, "the worker is listed again")


async def test_no_token_stands_in_the_store(fleet: Cluster, a: Api, on_a: PlainWorker, name: str) -> None:
    await on_a.register(name)
    await a.start("one", type=name)
    await on_a.take()
    with fleet.store.client() as store:
        for key in store.scan_iter("*"):
            held = key + repr(everything(store, key))
            for token in (ALPHA, BETA, WORKER_TOKEN, SECRET):
                assert token not in held, key


async def test_production_has_no_flush_and_starts_with_no_well_known_token(
    hard: Cluster, http: aiohttp.ClientSession
) -> None:
    reply = await api_at(http, hard.a.url).call("POST", "/_public/debug/flush_db")
    assert (reply.status, reply.body["code"]) == (404, "not_found")
    refused = hard.add_orchestrator(MUSTER_MODE="production", MUSTER_GLOBAL_WORKER_TOKEN="secure-worker-token")
    assert await asyncio.to_thread(refused.wait, 20) != 0
    assert "MUSTER_GLOBAL_WORKER_TOKEN" in refused.log
    assert "secure-worker-token" not in refused.log


async def test_a_client_lists_only_its_own_jobs_also_those_put_aside(
    a: Api, stranger: Api, on_a: PlainWorker, name: str
) -> None:
    await on_a.register(name)
    job_id = await a.start("one", type=name)
    await on_a.report(await on_a.take(), "failure", error={"code": "PERMANENT_ERROR", "message": "x"})
    assert (await a.end_of(job_id))["status"] == "quarantined"
    listed: dict[str, set[str]] = {}
    for who, api in (("owner", a), ("stranger", stranger)):
        reply = await api.call("GET", "/api/v1/jobs?status=quarantined&limit=200")
        listed[who] = {job["id"] for job in reply.body["items"]}
    assert job_id in listed["owner"]
    assert job_id not in listed["stranger"]
    anybody = Api(a.session, a.url)
    for path in ("/api/v1/jobs", "/_public/jobs/quarantined", "/_public/jobs", "/api/v1/admin/reload-workers"):
        assert (await anybody.call("GET", path)).status in {401, 404}, path


async def test_the_log_is_one_object_a_line_without_repeats_or_debugging(
    mute: Cluster, http: aiohttp.ClientSession
) -> None:
    api, worker = api_at(http, mute.a.url), PlainWorker(http, mute.a.url)
    await worker.register("logged")
    await api.start("one", type="logged")
    await worker.report(await worker.take())
    await api.call("GET", "/api/v1/jobs/nothing", headers={"X-Client-Token": "wrong"})
    lines: list[dict[str, Any]] = [orjson.loads(line) for line in mute.a.log.splitlines()]
    assert lines
    assert len({orjson.dumps(line) for line in lines}) == len(lines)
    assert "debug" not in {str(line.get("level")).lower() for line in lines}


async def test_no_request_scans_the_keys(fleet: Cluster, a: Api, on_a: PlainWorker, name: str) -> None:
    def scans() -> int:
        return sum(fleet.store.commands().get(command, 0) for command in ("scan", "keys"))

    before = scans()
    await on_a.register(name)
    job_id = await a.start("one", type=name)
    await on_a.beat(load=0.1)
    await on_a.report(await on_a.take())
    await a.end_of(job_id)
    for path in ("/api/v1/workers", "/api/v1/dashboard", "/api/v1/jobs", "/_public/metrics"):
        assert (await a.call("GET", path)).status == 200
    assert scans() == before


async def test_a_steady_worker_is_never_turned_away(on_a: PlainWorker, name: str) -> None:
    await on_a.register(name)
    assert {(await on_a.beat()).status for _ in range(250)} == {200}
    assert {await on_a.poll(0) for _ in range(150)} == {None}


async def test_an_ended_job_leaves_nothing_that_does_not_expire(
    fleet: Cluster, a: Api, on_a: PlainWorker, name: str
) -> None:
    await on_a.register(name)
    job_id = await a.start("three", type=name)
    for step in (1, 2, 3):
        await on_a.report(await on_a.take(), data={"step": step})
    await a.end_of(job_id)
    with fleet.store.client() as store:
        lives = {key: store.ttl(key) for key in store.scan_iter(f"*{job_id}*")}
    assert lives
    assert all(0 < seconds <= 604_800 for seconds in lives.values()), lives


async def test_a_worker_that_only_sends_empty_heartbeats_still_gets_work(
    forgetful: Cluster, http: aiohttp.ClientSession
) -> None:
    api, worker = api_at(http, forgetful.a.url), PlainWorker(http, forgetful.a.url)
    await worker.register("beats")
    for _ in range(9):
        await asyncio.sleep(0.3)
        assert (await worker.beat()).body == {"status": "ttl_refreshed"}
    job_id = await api.start("one", type="beats")
    assert (await worker.take())["job_id"] == job_id


def everything(store: Any, key: str) -> Any:
    """The value of *key*, whatever its type."""
    readers = {
        "hash": store.hgetall, "set": store.smembers, "list": lambda k: store.lrange(k, 0, -1),
        "zset": lambda k: store.zrange(k, 0, -1), "string": store.get,
    }  # fmt: skip
    kind = store.type(key)
    return readers[kind](key) if kind in readers else None
