"""A running task's events on their way in, and a job's log and steps on their way out."""

import asyncio
from typing import Any

import orjson
import pytest
from aiohttp import WSMsgType, WSServerHandshakeError
from muster.api.models import JobSteps, LogLines
from muster.core.status import JobStatus
from muster.engine.journal import LogEntry
from muster.engine.views import JobOrder
from muster.store.journal import Line, Meta, Progress, Step
from muster_worker.event_wire import EventsAnswer

from tests.api.conftest import ALICE, ANY_WORKER, BOB, Http, until
from tests.api.fake_engine import NOW, FakeEngine

LINE = {"seq": 0, "kind": "log", "stream": "stdout", "text": "a", "at": 1_705_314_600_123}


@pytest.fixture
def task(engine: FakeEngine) -> str:
    """A task that `w1` holds."""
    job = engine.new_record(JobOrder("alice", "simple_flow", {})).id
    engine.take("w1", 1)
    return f"{job}.0"


async def tell(http: Http, task: str, *events: Any, **changes: Any) -> tuple[int, Any]:
    body = {"worker_id": "w1", "attempt": 1, "events": events, **changes}
    answer = await http.post(f"/_worker/tasks/{task}/events", json=body, headers=ANY_WORKER)
    return answer.status, await answer.json()


async def test_events_reach_the_engine_as_what_they_are(http: Http, engine: FakeEngine, task: str) -> None:
    step = {"index": 3, "name": "load", "status": "running", "started_at": "2024-01-15T10:30:00Z", "metadata": {"a": 1}}
    events = (
        {**LINE, "seq": 7},
        {"seq": 8, "kind": "progress", "fraction": 1, "message": "done"},
        {"seq": 9, "kind": "step", "step": step, "novel": 1},
        {"seq": 10, "kind": "meta", "key": "rows", "value": "3"},
        {"seq": 11, "kind": "dropped", "count": 5, "stream": "stderr"},
    )
    status, answer = await tell(http, task, *events, fence="f1")
    assert (status, answer) == (200, {"accepted_to": 11, "cancel_requested": False})
    EventsAnswer.model_validate(answer)
    (report,) = engine.events
    assert (report.task_id, report.worker_id, report.attempt, report.fence, report.first) == (task, "w1", 1, "f1", 7)
    line, progress, stored, meta, dropped = report.entries
    assert line == Line(NOW, "stdout", "a")
    assert progress == Progress(1.0, "done")
    assert meta == Meta("rows", "3")
    assert isinstance(stored, Step)
    kept = orjson.loads(stored.blob)
    assert (stored.index, kept["attempt"], kept["step"]["started_at"]) == (3, 1, 1_705_314_600_000)
    assert isinstance(dropped, Line)
    assert (dropped.stream, dropped.text) == ("notice", "5")


async def test_whoever_lost_the_task_is_told_so_and_is_no_error(http: Http, task: str) -> None:
    assert await tell(http, task, LINE, fence="old") == (200, {"status": "ignored", "reason": "stale_task"})
    assert (await tell(http, "nothing", LINE))[1]["code"] == "task_not_found"
    assert (await tell(http, task, LINE, worker_id="w2"))[1]["code"] == "forbidden"


@pytest.mark.parametrize(
    ("events", "pointer"),
    [
        ([{**LINE, "kind": "noise"}], "/events/0"),
        ([{**LINE, "seq": -1}], "/events/0/log/seq"),
        ([LINE, {**LINE, "seq": 2}], ""),
        ([LINE, LINE], ""),
        ([{**LINE, "stream": "notice"}], "/events/0/log/stream"),
        ([{**LINE, "text": "x" * 65_537}], "/events/0/log/text"),
        ([{**LINE, "at": -1}], "/events/0/log/at"),
        ([{**LINE, "at": 10**17}], "/events/0/log/at"),
        ([{"seq": 0, "kind": "progress", "fraction": 1.5}], "/events/0/progress/fraction"),
        ([{"seq": 0, "kind": "meta", "key": "", "value": "x"}], "/events/0/meta/key"),
        ([{"seq": 0, "kind": "dropped", "count": 0}], "/events/0/dropped/count"),
        (
            [{"seq": 0, "kind": "step", "step": {"index": 0, "name": "x", "status": "odd"}}],
            "/events/0/step/step/status",
        ),
        ([{**LINE, "seq": seq} for seq in range(1001)], "/events"),
    ],
)
async def test_a_batch_that_says_something_else_is_refused_whole(
    http: Http, engine: FakeEngine, task: str, events: list[Any], pointer: str
) -> None:
    status, answer = await tell(http, task, *events)
    assert (status, answer["code"], answer["errors"][0]["pointer"]) == (400, "invalid_body", pointer)
    assert not engine.events


async def test_a_batch_of_more_than_half_a_mebibyte_is_refused(http: Http, task: str) -> None:
    events = [{**LINE, "seq": seq, "text": "x" * 60_000} for seq in range(9)]
    assert (await tell(http, task, *events))[0] == 413


# Readers


def entry(seq: int, text: str = "a", **changes: Any) -> LogEntry:
    return LogEntry(**{"seq": seq, "at": NOW, "stream": "stdout", "text": text, "task_id": "t", **changes})


async def test_a_page_of_lines_is_of_the_documented_shape(http: Http, engine: FakeEngine, task: str) -> None:
    job = task[:36]
    engine.log = [
        entry(3),
        entry(4, "b", stream="stderr"),
        entry(5, "2 lines are missing here", stream="notice", dropped=2),
    ]
    engine.log_dropped = 2
    answer = await (await http.get(f"/api/v1/jobs/{job}/logs?limit=2", headers=ALICE)).json()
    LogLines.model_validate(answer)
    assert answer["items"][0] == {
        "seq": 3,
        "at": "2024-01-15T10:30:00.123Z",
        "stream": "stdout",
        "text": "a",
        "task_id": "t",
        "dropped": 0,
    }
    assert (len(answer["items"]), answer["next"], answer["dropped"]) == (2, 4, 2)
    engine.end(job, JobStatus.FINISHED)
    answer = await (await http.get(f"/api/v1/jobs/{job}/logs?after=4", headers=ALICE)).json()
    assert ([item["seq"] for item in answer["items"]], answer["next"]) == ([5], None)
    answer = await (await http.get(f"/api/v1/jobs/{job}/logs?stream=stderr&follow=0", headers=ALICE)).json()
    assert [item["seq"] for item in answer["items"]] == [4]
    engine.log.append(entry(6, '{"type": "page_done", "data": 1}', stream="event"))
    answer = await (await http.get(f"/api/v1/jobs/{job}/logs?stream=event&follow=0", headers=ALICE)).json()
    LogLines.model_validate(answer)
    assert [item["seq"] for item in answer["items"]] == [6]


@pytest.mark.parametrize(
    "query", ["after=x", "after=-1", "limit=0", "stream=notice", "follow&after=x", "follow&stream=x"]
)
async def test_a_wrong_parameter_is_named(http: Http, task: str, query: str) -> None:
    answer = await http.get(f"/api/v1/jobs/{task[:36]}/logs?{query}", headers=ALICE)
    assert (answer.status, (await answer.json())["code"]) == (400, "invalid_parameter")


@pytest.mark.parametrize("path", ["logs", "logs?follow", "steps"])
async def test_another_tenants_log_is_not_there(http: Http, task: str, path: str) -> None:
    answer = await http.get(f"/api/v1/jobs/{task[:36]}/{path}", headers=BOB)
    assert (answer.status, (await answer.json())["code"]) == (404, "job_not_found")


async def test_steps_are_of_the_documented_shape(http: Http, task: str) -> None:
    answer = await (await http.get(f"/api/v1/jobs/{task[:36]}/steps", headers=ALICE)).json()
    JobSteps.model_validate(answer)
    (step,) = answer["items"]
    assert (step["task_id"], step["index"], step["name"], step["attempt"]) == (task, 0, "load", 1)
    assert (step["started_at"], step["completed_at"]) == ("2024-01-15T10:30:00.123Z", None)
    assert answer["metadata"] == {"rows": "3"}


@pytest.mark.parametrize("how", ["follow", "accept"])
async def test_a_stream_goes_on_until_the_job_ends(http: Http, engine: FakeEngine, task: str, how: str) -> None:
    job = task[:36]
    engine.log = [entry(1)]
    path, more = (f"/api/v1/jobs/{job}/logs", {"Accept": "text/event-stream"})
    if how == "follow":
        path, more = f"{path}?follow=1", {}
    answer = await http.get(path, headers={**ALICE, **more, "Origin": "https://example.org"})
    assert (answer.status, answer.content_type) == (200, "text/event-stream")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "X-Request-Id" in answer.headers
    assert await answer.content.readuntil(b"\n\n") == b"retry: 1000\n\n"
    first = await answer.content.readuntil(b"\n\n")
    assert first.startswith(b"id: 1\ndata: {")
    engine.log.append(entry(2, "two\nlines"))
    engine.end(job, JobStatus.FAILED)
    engine.log_grew.set()
    second, last = await answer.content.readuntil(b"\n\n"), await answer.content.read()
    assert orjson.loads(second.partition(b"data: ")[2])["text"] == "two\nlines"
    assert last == b'event: end\ndata: {"status":"failed"}\n\n'


async def test_a_stream_goes_on_where_the_reader_was(http: Http, engine: FakeEngine, task: str) -> None:
    engine.log = [entry(1), entry(2), entry(3)]
    engine.end(task[:36], JobStatus.FINISHED)
    path = f"/api/v1/jobs/{task[:36]}/logs?follow&after=1"
    answer = await (await http.get(path, headers=ALICE)).text()
    assert [line for line in answer.splitlines() if line.startswith("id")] == ["id: 2", "id: 3"]
    answer = await (await http.get(path, headers={**ALICE, "Last-Event-ID": "2"})).text()
    assert [line for line in answer.splitlines() if line.startswith("id")] == ["id: 3"]


async def test_missing_lines_are_an_event_of_their_own(http: Http, engine: FakeEngine, task: str) -> None:
    engine.log, engine.log_dropped = [entry(9)], 8
    engine.end(task[:36], JobStatus.FINISHED)
    answer = await (await http.get(f"/api/v1/jobs/{task[:36]}/logs?follow", headers=ALICE)).text()
    assert 'event: dropped\ndata: {"dropped":8}\n\nid: 9\n' in answer


async def test_a_reader_that_leaves_is_let_go(http: Http, engine: FakeEngine, task: str) -> None:
    answer = await http.get(f"/api/v1/jobs/{task[:36]}/logs?follow", headers=ALICE)
    await answer.content.readuntil(b"\n\n")
    answer.close()
    async with asyncio.timeout(5):
        while not engine.follower_left.is_set():
            engine.log_grew.set()  # what it writes finds nobody
            await asyncio.sleep(0.01)
    await until(engine.follower_left.is_set)


# The same over a WebSocket


async def test_a_socket_brings_lines_then_the_end_and_closes(http: Http, engine: FakeEngine, task: str) -> None:
    job = task[:36]
    engine.log, engine.log_dropped = [entry(2), entry(3, stream="stderr")], 1
    async with http.ws_connect(f"/api/v1/jobs/{job}/logs/socket?after=1&api_key=alice-token") as reader:
        assert await reader.receive_json() == {"type": "dropped", "dropped": 1}
        frame = await reader.receive_json()
        assert (frame["type"], [item["seq"] for item in frame["items"]]) == ("lines", [2, 3])
        engine.log_dropped = 0
        engine.end(job, JobStatus.FINISHED)
        engine.log_grew.set()
        assert await reader.receive_json() == {"type": "end", "status": "finished"}
        await reader.receive()
        assert reader.close_code == 1000


@pytest.mark.parametrize(
    "query", ["", "?api_key=nobody", "?api_key=global-token", "?api_key=bob-token&api_key=alice-token"]
)
async def test_a_wrong_key_gets_no_data_and_close_code_1008(
    http: Http, engine: FakeEngine, task: str, query: str
) -> None:
    engine.log = [entry(1)]
    async with http.ws_connect(f"/api/v1/jobs/{task[:36]}/logs/socket{query}") as reader:
        message = await reader.receive()
        assert (message.type, reader.close_code) == (WSMsgType.CLOSE, 1008)


async def test_a_key_in_the_url_opens_nothing_but_sockets(http: Http, task: str) -> None:
    assert (await http.get(f"/api/v1/jobs/{task[:36]}/logs?api_key=alice-token")).status == 401


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("{job}/logs/socket", BOB, 404),
        ("{job}/logs/socket?after=x", ALICE, 400),
        ("{job}/logs/socket?stream=x", ALICE, 400),
    ],
)
async def test_a_socket_that_cannot_be_is_refused_before_the_upgrade(
    http: Http, task: str, path: str, headers: dict[str, str], status: int
) -> None:
    with pytest.raises(WSServerHandshakeError) as refusal:
        await http.ws_connect("/api/v1/jobs/" + path.format(job=task[:36]), headers=headers)
    assert refusal.value.status == status
    plain = await http.get(f"/api/v1/jobs/{task[:36]}/logs/socket", headers=ALICE)
    assert (plain.status, (await plain.json())["code"]) == (400, "invalid_parameter")


async def test_a_socket_whose_reader_leaves_is_let_go(http: Http, engine: FakeEngine, task: str) -> None:
    engine.log = [entry(1)]
    async with http.ws_connect(f"/api/v1/jobs/{task[:36]}/logs/socket", headers=ALICE) as reader:
        await reader.receive_json()
    await until(engine.follower_left.is_set)
