"""Live events over HTTP: two replicas, a real worker that runs a real command, and followers that come and go."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import orjson
import pytest
from muster_worker import Client

from tests.system.callers import Api, PlainWorker, api_at, sent_events, until
from tests.system.conftest import MakeCluster, Shared
from tests.system.processes import ALPHA, BETA, Cluster, wait_until
from tests.system.test_commands import CommandWorker

SCRIPT = """
import sys, time
def say(text):
    print(text, flush=True)
say("before")
say("STEP_START:draw [owner=ann]")
say("drawing")
time.sleep(0.3)  # two pipes have no order: the worker has read the one before the other
print("careful", file=sys.stderr, flush=True)
time.sleep(0.3)
say("META:progress:0.5")
open("picture.txt", "w").write("a picture")
say("ARTIFACT:picture.txt:A picture")
say("STEP_COMPLETE:draw")
say("STEP_START:tidy")
say("tidying")
"""
TOLD = [
    "before",
    "draw running",
    "STEP_START:draw [owner=ann] in 0",
    "drawing in 0",
    "careful in 0",
    "META:progress:0.5 in 0",
    "ARTIFACT:picture.txt:A picture in 0",
    "STEP_COMPLETE:draw in 0",
    "draw completed",
    "tidy running",
    "STEP_START:tidy in 1",
    "tidying in 1",
    "tidy completed",
    "picture.txt",
    "end finished",
]


@pytest.fixture(scope="module")
def commands(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandWorker]:
    worker = CommandWorker(shared("fleet"), tmp_path_factory.mktemp("commands") / "tasks")
    yield worker
    worker.process.close()
    wait_until(worker.left_nothing, "no process and no file of a command is left")


async def run_script(a: Api) -> str:
    return await a.start("command", script_content=SCRIPT, runtime="python:3.11")


def word(event: dict[str, Any]) -> str:
    match event["type"]:
        case "job":
            return f"job {event['job']['status']}"
        case "step":
            return f"{event['step']['name']} {event['step']['status']}"
        case "log":
            step = event["step_index"]
            return str(event["line"]["text"]) + ("" if step is None else f" in {step}")
        case "artifact":
            return str(event["artifact"]["name"])
        case _:
            return f"end {event['status']}"


def told(events: list[dict[str, Any]]) -> list[str]:
    """Without states, which depend on when one looks, and steps that are told again for their figures."""
    words = [word(event) for event in events if event["type"] != "job"]
    return [text for place, text in enumerate(words) if not (text.endswith("running") and text in words[:place])]


async def stream(api: Api, path: str, **headers: str) -> AsyncIterator[dict[str, Any]]:
    """Events as sent, `id` and `data` of each."""
    async with api.session.get(f"{api.url}/api/v1/{path}", headers={**api.headers, **headers}) as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        async for sent in sent_events(answer.content):
            yield sent


async def all_of(api: Api, job_id: str) -> list[dict[str, Any]]:
    return [sent["data"] async for sent in stream(api, f"jobs/{job_id}/events")]


async def test_a_command_is_told_live_on_the_other_replica_and_the_same_afterwards(
    a: Api, b: Api, commands: CommandWorker
) -> None:
    job_id = await run_script(a)
    live = await all_of(b, job_id)
    assert told(live) == TOLD
    assert live[0]["type"] == "job"
    assert 0.5 in [event["job"]["progress"] for event in live if event["type"] == "job"]
    assert live[-1]["job"]["result"]["exit_code"] == 0
    late = await all_of(b, job_id)
    assert told(late) == TOLD
    assert word(late[0]) == "job finished"
    assert {event["job_id"] for event in live + late} == {job_id}
    stderr = [event["line"]["text"] for event in late if event["type"] == "log" and event["line"]["stream"] == "stderr"]
    assert stderr == ["careful"]


async def test_a_reader_that_is_cut_off_goes_on_at_the_other_replica_with_each_line_once(
    a: Api, b: Api, commands: CommandWorker
) -> None:
    job_id = await run_script(a)
    seen: list[str] = []
    last = "0"
    replicas = [a, b]
    while not seen or not seen[-1].startswith("end"):
        lines = 0
        async for sent in stream(replicas[0], f"jobs/{job_id}/events", **{"Last-Event-ID": last}):
            last = sent.get("id", last)
            if sent["data"]["type"] in {"log", "end"}:
                seen.append(word(sent["data"]))
                lines += 1
            if lines == 2:
                break
        replicas.reverse()
    assert seen == [text for text in TOLD if " in " in text or text.startswith(("before", "end"))]


async def test_a_socket_tells_the_same_and_closes_when_the_job_is_over(a: Api, b: Api, commands: CommandWorker) -> None:
    job_id = await run_script(a)
    url = f"{b.url}/api/v1/jobs/{job_id}/events/socket?api_key={ALPHA}"
    async with b.session.ws_connect(url) as socket:
        frames = [orjson.loads(message.data) async for message in socket]
    assert told(frames) == TOLD
    assert socket.close_code == aiohttp.WSCloseCode.OK


async def test_all_jobs_of_a_tenant_are_told_and_of_no_other(
    a: Api, b: Api, stranger: Api, commands: CommandWorker
) -> None:
    heard: list[dict[str, Any]] = []
    foreign: list[dict[str, Any]] = []

    async def listen(api: Api, into: list[dict[str, Any]]) -> None:
        async for sent in stream(api, "events"):
            into += [sent["data"]] if "data" in sent else []

    listening = [asyncio.create_task(listen(b, heard)), asyncio.create_task(listen(stranger, foreign))]

    async def is_heard() -> bool:
        await a.start("command", argv=["true"])
        return bool(heard)

    await until(is_heard, "the tenant is followed")
    jobs = [await run_script(a) for _ in range(3)]

    async def all_ended() -> bool:
        return {event["job_id"] for event in heard if event["type"] == "end"} >= set(jobs)

    await until(all_ended, "all are told to their end", 30)
    for job_id in jobs:
        assert told([event for event in heard if event["job_id"] == job_id]) == TOLD
    assert foreign == []
    for task in listening:
        task.cancel()
    await asyncio.gather(*listening, return_exceptions=True)


async def test_a_tenants_stream_goes_on_with_the_state_of_what_changed_meanwhile(
    a: Api, b: Api, commands: CommandWorker
) -> None:
    place: str | None = None
    async for sent in stream(a, "events"):
        place = sent.get("id")
        break
    assert place is not None
    job_id = await run_script(a)
    await a.end_of(job_id)
    async for sent in stream(b, "events", **{"Last-Event-ID": place}):
        if "data" in sent and sent["data"]["job_id"] == job_id:
            assert sent["data"]["job"]["status"] == "finished"
            break
    url = f"{b.url}/api/v1/events/socket?since={place}&api_key={ALPHA}"
    async with b.session.ws_connect(url) as socket:
        types = {}
        async for message in socket:
            frame = orjson.loads(message.data)
            types[frame["type"]] = frame
            if "place" in types and types.get("end", {}).get("job_id") == job_id:
                break
    assert types["place"]["since"] > int(place)


async def test_the_client_follows_through_the_death_of_a_replica(make_cluster: MakeCluster) -> None:
    cluster: Cluster = make_cluster(replicas=2)
    async with aiohttp.ClientSession() as http, Client([cluster.a.url, cluster.b.url], ALPHA) as client:
        worker = PlainWorker(http, cluster.b.url, worker_id="w")
        await worker.register("t1")
        job_id = await api_at(http, cluster.b.url).start("one", type="t1")
        task = await worker.take()
        await worker.say(task, 0, "one", "two")
        following = client.events(job_id)
        lines: list[str] = []
        async for event in following:
            if event.line is not None:
                lines.append(event.line.text)
                if event.line.text == "two":
                    cluster.a.kill()
                    await worker.say(task, 2, "three")
                    await worker.report(task)
            if event.type == "end":
                assert event.job is not None
                assert event.job.status == "finished"
        assert lines == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        ("jobs/{job}/events", BETA, 404),
        ("jobs/{job}/events", "wrong", 401),
        ("jobs/{job}/events?after=x", ALPHA, 400),
        ("jobs/{job}/events/socket", ALPHA, 400),
        ("events?since=x", ALPHA, 400),
        ("events", "wrong", 401),
        ("events/socket", ALPHA, 400),
    ],
)
async def test_who_may_not_follow_is_told_so(
    a: Api, on_a: PlainWorker, name: str, path: str, token: str, status: int
) -> None:
    await on_a.register(name)
    job_id = await a.start("one", type=name)
    url = f"{a.url}/api/v1/{path.format(job=job_id)}"
    async with a.session.get(url, headers={"X-Client-Token": token}) as answer:
        assert answer.status == status
    await a.cancel(job_id)


@pytest.mark.parametrize("path", ["jobs/{job}/events/socket", "events/socket"])
async def test_a_socket_with_a_wrong_key_is_closed_without_a_word(
    a: Api, on_a: PlainWorker, name: str, path: str
) -> None:
    await on_a.register(name)
    job_id = await a.start("one", type=name)
    async with a.session.ws_connect(f"{a.url}/api/v1/{path.format(job=job_id)}?api_key=wrong") as socket:
        assert [message async for message in socket] == []
        assert socket.close_code == aiohttp.WSCloseCode.POLICY_VIOLATION
    await a.cancel(job_id)
