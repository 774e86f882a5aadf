"""What tasks print is read as it is printed, on whichever replica, in order and once."""

import asyncio
import subprocess
import sys
import time
from typing import Any

import aiohttp
import orjson
from muster_worker import Client, TaskEvent

from tests.system.callers import Api, PlainWorker, api_at, until
from tests.system.conftest import MakeCluster
from tests.system.processes import ALPHA, ROOT, Cluster


def texts(items: list[dict[str, Any]]) -> list[str]:
    return [item["text"] for item in items]


async def test_a_follower_on_one_replica_sees_a_task_that_tells_the_other(
    a: Api, b: Api, on_a: PlainWorker, name: str
) -> None:
    await on_a.register(name)
    job_id = await a.start("one", type=name)
    task = await on_a.take()
    took_s: list[float] = []
    async with b.following(job_id) as events:
        for i in range(3):
            told_at = time.monotonic()
            reply = await on_a.say(task, i, f"line {i}")
            assert reply.body == {"accepted_to": i, "cancel_requested": False}
            event = await anext(events)
            assert (event["id"], event["data"]["text"], event["data"]["task_id"]) == (
                str(i + 1),
                f"line {i}",
                task["task_id"],
            )
            took_s.append(time.monotonic() - told_at)
        assert min(took_s) < 2, "the announcement woke it"  # a busy machine may be slow now and then
        await on_a.report(task)
        assert await anext(events) == {"event": "end", "data": {"status": "finished"}}
        assert [event async for event in events] == []


async def test_batches_that_come_twice_or_overlap_are_shown_once(a: Api, b: Api, on_a: PlainWorker, name: str) -> None:
    await on_a.register(name)
    job_id = await a.start("one", type=name)
    task = await on_a.take()
    lines = [f"line {i}" for i in range(6)]
    for first, last in ((0, 3), (0, 3), (1, 5), (4, 6), (0, 6), (2, 4)):
        reply = await on_a.say(task, first, *lines[first:last])
        assert reply.status == 200
        assert reply.body["accepted_to"] >= last - 1
    page = await b.log(job_id)
    assert (texts(page["items"]), page["next"], page["dropped"]) == (lines, 6, 0)
    assert [item["seq"] for item in page["items"]] == [1, 2, 3, 4, 5, 6]
    await on_a.report(task)
    await a.end_of(job_id)
    assert (await b.log(job_id, after=4))["next"] is None


async def test_a_reader_resumes_after_the_last_event_it_saw(a: Api, b: Api, on_a: PlainWorker, name: str) -> None:
    await on_a.register(name)
    job_id = await a.start("one", type=name)
    task = await on_a.take()
    await on_a.say(task, 0, "one", "two", "three")
    async with a.following(job_id) as events:
        seen = await anext(events)
    async with b.following(job_id, **{"Last-Event-ID": seen["id"]}) as events:
        assert (await anext(events))["data"]["text"] == "two"
        assert (await anext(events))["data"]["text"] == "three"
        await on_a.say(task, 3, "four")
        assert (await anext(events))["data"]["text"] == "four"
    await on_a.report(task)


async def test_only_who_holds_the_task_may_tell_and_only_the_owner_may_read(
    a: Api, stranger: Api, on_a: PlainWorker, on_b: PlainWorker, name: str
) -> None:
    await on_a.register(name)
    await on_b.register(f"{name}.other")
    job_id = await a.start("one", type=name)
    task = await on_a.take()
    assert (await on_b.say(task, 0, "mine")).status == 403
    unknown = {**task, "task_id": f"{job_id}.7"}
    assert (await on_a.say(unknown, 0, "x")).body["code"] == "task_not_found"
    assert (await on_a.say({**task, "task_id": "x"}, 0, "x")).body["code"] == "task_not_found"
    stale = {"status": "ignored", "reason": "stale_task"}
    assert (await on_a.say({**task, "attempt": 2}, 0, "x")).body == stale
    foreign = await stranger.call("GET", f"/api/v1/jobs/{job_id}/logs")
    assert (foreign.status, foreign.body["code"]) == (404, "job_not_found")
    assert (await stranger.call("GET", f"/api/v1/jobs/{job_id}/logs?follow")).status == 404
    assert (await stranger.call("GET", f"/api/v1/jobs/{job_id}/steps")).status == 404
    await on_a.report(task)
    assert (await on_a.say(task, 0, "late")).body == stale
    assert (await a.log(job_id))["items"] == []


async def test_a_task_that_should_stop_learns_it_from_what_it_tells(a: Api, on_a: PlainWorker, name: str) -> None:
    await on_a.register(name)
    job_id = await a.start("one", type=name)
    task = await on_a.take()
    assert (await a.cancel(job_id)).status == 200
    assert (await on_a.say(task, 0, "x")).body == {"accepted_to": 0, "cancel_requested": True}
    await on_a.report(task, "cancelled")


async def test_steps_and_metadata_are_shown_of_the_newest_attempt(a: Api, b: Api, on_a: PlainWorker, name: str) -> None:
    await on_a.register(name)
    job_id = await a.start("one", type=name, retries=2)
    task = await on_a.take()
    step = {"index": 0, "name": "load", "status": "running", "started_at": 1_705_314_600_000, "metadata": {"a": "1"}}
    told = (
        {"seq": 0, "kind": "step", "step": step},
        {"seq": 1, "kind": "step", "step": {**step, "index": 1, "name": "write"}},
        {"seq": 2, "kind": "meta", "key": "rows", "value": "3"},
        {"seq": 3, "kind": "progress", "fraction": 0.5, "message": "half"},
    )
    waiting = asyncio.create_task(
        b.call("GET", f"/api/v1/jobs/{job_id}?wait=20&since={(await a.job(job_id))['version']}")
    )
    await on_a.tell(task, *told)
    job = (await waiting).body
    assert (job["progress"], job["progress_message"]) == (0.5, "half")
    steps = (await b.call("GET", f"/api/v1/jobs/{job_id}/steps")).body
    assert [(item["name"], item["status"], item["attempt"]) for item in steps["items"]] == [
        ("load", "running", 1),
        ("write", "running", 1),
    ]
    assert steps["items"][0]["started_at"] == "2024-01-15T10:30:00.000Z"
    assert steps["metadata"] == {"rows": "3"}
    await on_a.report(task, "failure", error={"code": "TRANSIENT_ERROR", "message": "", "retry_after_seconds": 0})
    again = await on_a.take()
    await on_a.tell(again, {"seq": 0, "kind": "step", "step": {**step, "status": "completed"}})
    steps = (await b.call("GET", f"/api/v1/jobs/{job_id}/steps")).body
    assert [(item["name"], item["status"], item["attempt"]) for item in steps["items"]] == [("load", "completed", 2)]
    await on_a.report(again)


async def test_a_log_beyond_its_bound_loses_its_oldest_lines_and_says_how_many(
    make_cluster: MakeCluster, http: aiohttp.ClientSession, name: str
) -> None:
    cluster = make_cluster(MUSTER_LOG_MAX_BYTES="65536")
    a, worker = api_at(http, cluster.a.url), PlainWorker(http, cluster.a.url, worker_id=name)
    await worker.register(name)
    job_id = await a.start("one", type=name)
    task = await worker.take()
    async with a.following(job_id) as events:
        for i in range(40):
            await worker.say(task, 2 * i, "x" * 5000, f"line {2 * i + 1}")
        await worker.report(task)
        seen, gone = 0, 0
        async for event in events:
            gone += event["data"].get("dropped", 0)
            seen += "id" in event
    assert seen + gone == 80
    page = await a.log(job_id)
    assert page["dropped"] > 50
    assert page["items"][0]["seq"] == page["dropped"] + 1
    assert page["items"][-1]["text"] == "line 79"


async def test_a_reader_that_is_slow_holds_nobody_up_and_misses_nothing(
    a: Api, b: Api, on_a: PlainWorker, name: str
) -> None:
    await on_a.register(name)
    job_id = await a.start("one", type=name)
    task = await on_a.take()
    async with b.following(job_id) as slow:
        assert (await on_a.say(task, 0, "first")).status == 200
        assert (await anext(slow))["data"]["text"] == "first"
        began = time.monotonic()
        for i in range(100):  # far more than the sockets' buffers hold, and nobody reads
            reply = await on_a.say(task, 1 + 2 * i, "y" * 60_000, str(i))
            assert reply.status == 200
        assert time.monotonic() - began < 20
        await on_a.report(task)
        numbers = [int(event["id"]) async for event in slow if "id" in event]
    assert numbers == list(range(2, 202))


async def test_what_a_handler_tells_is_there_before_its_job_has_ended(
    fleet: Cluster, a: Api, b: Api, name: str
) -> None:
    fleet.add_worker(name)
    job_id = await a.start("one", type=f"{name}.talk", params={"count": 2500})
    assert (await a.end_of(job_id))["status"] == "finished"
    found: list[str] = []
    after: int | None = 0
    while after is not None:
        page = await b.log(job_id, after=after, limit=999)
        found += texts(page["items"])
        after = page["next"]
    assert found == [*(f"line {i}" for i in range(2499)), "INFO that was all"]
    steps = (await b.call("GET", f"/api/v1/jobs/{job_id}/steps")).body
    assert [(step["name"], step["status"]) for step in steps["items"]] == [("talking", "completed")]
    assert steps["metadata"] == {"rows": "3"}


async def test_events_of_a_task_are_followed_in_order_and_read_by_themselves(
    fleet: Cluster, a: Api, b: Api, name: str
) -> None:
    fleet.add_worker(name)
    job_id = await a.start("one", type=f"{name}.scan", params={"pages": 2})
    async with Client([fleet.b.url], ALPHA) as client:
        lines = [line async for line in client.follow_logs(job_id)]
        assert [line.text if line.event is None else line.event for line in lines] == [
            "page 0",
            TaskEvent("page_done", {"number": 0}),
            "page 1",
            TaskEvent("page_done", {"number": 1}),
        ]
        page = await client.logs(job_id, stream="event")
    assert [line.seq for line in page.items] == [2, 4]


async def test_a_client_that_follows_survives_the_loss_of_its_replica(make_cluster: MakeCluster, name: str) -> None:
    cluster = make_cluster(replicas=2)
    cluster.add_worker(name)
    seen: list[str] = []
    note = seen.append

    async def follow(job_id: str) -> None:
        async with Client([cluster.a.url, cluster.b.url], ALPHA) as client:
            async for line in client.follow_logs(job_id):
                note(line.text)

    async with Client([cluster.b.url], ALPHA) as starter:
        job_id = await starter.start("one", {"type": f"{name}.talk", "params": {"count": 50, "waits": True}})
    following = asyncio.create_task(follow(job_id))

    async def all_but_the_last() -> bool:
        return len(seen) == 49

    await until(all_but_the_last, "the lines so far")
    cluster.a.kill()
    (cluster.folder / f"{name}.go").touch()
    await asyncio.wait_for(following, 20)
    assert seen == [*(f"line {i}" for i in range(49)), "INFO that was all"]


async def test_the_command_line_prints_and_follows_a_log(fleet: Cluster, a: Api, name: str) -> None:
    fleet.add_worker(name)
    job_id = await a.start("one", type=f"{name}.talk", params={"count": 3})

    def printed(*flags: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "muster.cli.app", "job", "logs", *flags, job_id]
        where = ["--url", fleet.b.url, "--token", ALPHA]
        return subprocess.run(command + where, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)

    followed = await asyncio.to_thread(printed, "-f")
    assert (followed.returncode, followed.stdout) == (0, "line 0\nline 1\n"), followed.stderr
    assert followed.stderr == "INFO that was all\n"
    read = await asyncio.to_thread(printed)
    assert (read.stdout, read.stderr) == (followed.stdout, followed.stderr)
    rest = await asyncio.to_thread(printed, "--after", "2", "-o", "json")
    assert orjson.loads(rest.stdout)["text"] == "INFO that was all"


async def test_the_command_line_shows_steps_while_it_watches(fleet: Cluster, a: Api, name: str) -> None:
    fleet.add_worker(name)
    job_id = await a.start("one", type=f"{name}.talk", params={"count": 3})
    command = [sys.executable, "-m", "muster.cli.app", "job", "watch", job_id, "--url", fleet.a.url, "--token", ALPHA]
    watched = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )
    assert watched.returncode == 0, watched.stderr
    assert "talking  completed  0.1s\n" in watched.stderr
