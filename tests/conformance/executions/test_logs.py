"""surfaces.md 3: output as it comes, over a WebSocket, and lines that runners tell one at a time."""

import asyncio
from typing import Any
from urllib.parse import urlencode

import aiohttp
import orjson
import pytest

from tests.conformance.executions.conftest import NEVER, OWN_ID, OWN_TOKEN, RUNTIME, Client, new_client
from tests.system.callers import Caller, PlainWorker, Reply, sent_events, until
from tests.system.processes import WORKER_TOKEN

SCRIPT = "print('hi')"


async def tell(caller: Caller, made: dict[str, Any] | str, number: int, message: str = "x", **more: Any) -> Reply:
    """One line, as a runner posts it."""
    execution_id = made if isinstance(made, str) else made["execution_id"]
    body = {"sequence_number": number, "stream": "stderr", "message": message, **more}
    return await caller.call("POST", f"/api/v1/executions/{execution_id}/logs/stream", body)


def numbers(frames: list[dict[str, Any]]) -> list[int]:
    return [frame["sequence_number"] for frame in frames if frame["type"] == "log"]


async def test_stored_lines_come_first_and_then_the_end(client: Client) -> None:
    done = await client.done("import sys\nprint('1')\nprint('2')\nsys.exit(3)")
    frames, code = await client.frames(done["execution_id"])
    assert code == 1000
    assert [(frame["sequence_number"], frame["stream"], frame["message"]) for frame in frames[:-1]] == [
        (0, "stdout", "1"),
        (1, "stdout", "2"),
    ]
    assert set(frames[0]) == {
        "type",
        "log_id",
        "execution_id",
        "sequence_number",
        "timestamp",
        "stream",
        "message",
    }
    assert frames[0]["log_id"].startswith("log_")
    assert frames[0]["log_id"] != frames[1]["log_id"]
    assert frames[0]["timestamp"].endswith("Z")
    assert frames[-1] == {
        "type": "complete",
        "execution_id": done["execution_id"],
        "exit_code": 3,
        "status": "failed",
    }


async def test_only_lines_after_the_cursor_come(client: Client) -> None:
    done = await client.done("for i in range(5): print(i)")
    frames, _ = await client.frames(done["execution_id"], "?cursor=2")
    assert numbers(frames) == [3, 4]
    frames, _ = await client.frames(done["execution_id"], "?cursor=-1")
    assert numbers(frames) == [0, 1, 2, 3, 4]
    frames, code = await client.frames(done["execution_id"], "?cursor=99")
    assert (numbers(frames), frames[-1]["type"], code) == ([], "complete", 1000)


async def test_lines_come_while_the_script_runs_each_once_and_in_order(client: Client) -> None:
    script = "import time\nfor i in range(40):\n    print(i, flush=True)\n    time.sleep(0.02)"
    made = await client.run(script)
    first, second = await asyncio.gather(client.frames(made["execution_id"]), client.frames(made["execution_id"]))
    for frames, code in (first, second):
        assert [frame["message"] for frame in frames[:-1]] == [str(i) for i in range(40)]
        assert numbers(frames) == list(range(40))
        assert (frames[-1]["type"], frames[-1]["status"], code) == ("complete", "completed", 1000)


async def test_a_socket_is_told_of_lines_before_the_end(quiet: Client, hands: PlainWorker) -> None:
    made = await quiet.run(SCRIPT)
    task = await hands.take()
    async with quiet.session.ws_connect(quiet.log_url(made["execution_id"]), headers=quiet.headers) as socket:
        await socket.send_str("what a client says is not looked at")
        for number in range(3):
            await hands.say(task, number, f"line {number}")
            frame = orjson.loads(await asyncio.wait_for(socket.receive_str(), 10))
            assert (frame["sequence_number"], frame["message"]) == (number, f"line {number}")
        await hands.report(task, data={"exit_code": 0})
        assert orjson.loads(await asyncio.wait_for(socket.receive_str(), 10))["type"] == "complete"


@pytest.mark.parametrize("execution_id", [NEVER, "nonsense", "foreign"])
async def test_an_unknown_or_foreign_execution_is_an_error_and_4404(quiet: Client, execution_id: str) -> None:
    if execution_id == "foreign":
        execution_id = (await new_client(quiet).run(SCRIPT))["execution_id"]
    frames, code = await quiet.frames(execution_id)
    assert code == 4404
    assert frames == [{"type": "error", "execution_id": execution_id, "error": "Execution not found"}]


@pytest.mark.parametrize("cursor", ["", "x", "-2", "1.5", "9" * 16])
async def test_a_bad_cursor_is_an_error_and_1008(quiet: Client, cursor: str) -> None:
    made = await quiet.run(SCRIPT)
    frames, code = await quiet.frames(made["execution_id"], f"?cursor={cursor}")
    assert ([frame["type"] for frame in frames], code) == (["error"], 1008)


async def test_a_socket_without_a_valid_key_gets_no_data_and_1008(client: Client, anybody: Caller) -> None:
    done = await client.done(SCRIPT)
    url = client.log_url(done["execution_id"])
    for headers, query in (
        ({}, ""),
        ({"Authorization": "Bearer x"}, ""),
        ({}, "?api_key=x"),
        (client.headers, "?api_key=x"),
    ):
        async with anybody.session.ws_connect(url + query, headers=headers) as socket:
            assert [message async for message in socket] == []
            assert socket.close_code == 1008
    async with anybody.session.ws_connect(f"{url}?api_key={client.key}") as socket:
        assert len([message async for message in socket]) == 2


async def test_the_socket_is_not_below_api_and_is_no_plain_request(client: Client) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await client.session.ws_connect(f"{client.url}/api/v1/ws/executions/{NEVER}/logs", headers=client.headers)
    assert refused.value.status == 404
    reply = await client.call("GET", f"/ws/executions/{NEVER}/logs")
    assert reply.status == 422


# Lines that runners tell


async def test_a_told_line_is_kept_and_reaches_every_open_socket(quiet: Client, runner: Caller) -> None:
    made = await quiet.run(SCRIPT)
    at_b = Caller(runner.session, quiet.url, runner.headers)
    url = quiet.log_url(made["execution_id"])
    async with (
        quiet.session.ws_connect(url, headers=quiet.headers) as one,
        quiet.session.ws_connect(url, headers=quiet.headers) as two,
    ):
        reply = await tell(at_b, made, 7, "hello\n", timestamp="2024-01-15T10:30:00Z")
        assert (reply.status, reply.body["status"]) == (200, "ok")
        for socket in (one, two):
            frame = orjson.loads(await asyncio.wait_for(socket.receive_str(), 10))
            assert frame == {
                "type": "log",
                "log_id": reply.body["log_id"],
                "execution_id": made["execution_id"],
                "sequence_number": 7,
                "timestamp": "2024-01-15T10:30:00.000Z",
                "stream": "stderr",
                "message": "hello",
            }
    found = await quiet.execution(made["execution_id"])
    assert (found["stderr"], found["output_truncated"]) == ("hello\n", False)


async def test_a_number_that_is_known_keeps_its_line_and_its_id(quiet: Client) -> None:
    made = await quiet.run(SCRIPT)
    first = await tell(quiet, made, 3, "first")
    again = await tell(quiet, made, 3, "second")
    assert (again.status, again.body) == (200, first.body)
    assert (await quiet.execution(made["execution_id"]))["stderr"] == "first\n"
    other_line = await tell(quiet, made, 4, "third")
    assert other_line.body["log_id"] != first.body["log_id"]


async def test_numbers_may_have_gaps_and_come_in_any_order(quiet: Client, hands: PlainWorker) -> None:
    made = await quiet.run(SCRIPT)
    task = await hands.take()
    for number in (4, 1, 0, 9):
        assert (await tell(quiet, made, number, f"line {number}")).status == 200
    await hands.say(task, 0, "of the worker")
    await hands.report(task, data={"exit_code": 0})
    frames, _ = await quiet.frames(made["execution_id"])
    assert numbers(frames) == [0, 1, 4, 9, 10]
    assert frames[-2]["message"] == "of the worker"
    frames, _ = await quiet.frames(made["execution_id"], "?cursor=1")
    assert numbers(frames) == [4, 9, 10]
    assert (await quiet.log(made["execution_id"]))["dropped"] == 0, "a number that never was is no line that is gone"


async def test_an_open_socket_is_told_of_every_line_whatever_its_number_once(quiet: Client, hands: PlainWorker) -> None:
    made = await quiet.run(SCRIPT)
    task = await hands.take()
    async with quiet.session.ws_connect(quiet.log_url(made["execution_id"]), headers=quiet.headers) as socket:
        for number in (7, 3, 5, 8, 0):
            await tell(quiet, made, number, f"line {number}")
            await tell(quiet, made, number, "again")
            frame = orjson.loads(await asyncio.wait_for(socket.receive_str(), 10))
            assert (frame["sequence_number"], frame["message"]) == (number, f"line {number}")
        await hands.report(task, data={"exit_code": 0})
        assert orjson.loads(await asyncio.wait_for(socket.receive_str(), 10))["type"] == "complete"


async def test_native_events_of_the_job_go_on_after_a_late_line_with_each_line_once(quiet: Client) -> None:
    made = await quiet.run(SCRIPT)
    await tell(quiet, made, 7)
    events = f"{quiet.url}/api/v1/jobs/{made['execution_id']}/events"

    async def next_lines(place: str | None, *wanted: int) -> list[str]:
        """The places of the next lines after *place*, as a stream and over a socket."""
        sent: list[tuple[int, str]] = []
        headers = dict(quiet.headers) if place is None else {**quiet.headers, "Last-Event-ID": place}
        async with asyncio.timeout(20), quiet.session.get(events, headers=headers) as answer:
            async for told in sent_events(answer.content):
                if told.get("data", {}).get("type") == "log":
                    assert told["id"] == told["data"]["place"]
                    sent.append((told["data"]["line"]["seq"], told["id"]))
                if len(sent) == len(wanted):
                    break
        query = "" if place is None else f"?after={place}"
        async with asyncio.timeout(20), quiet.session.ws_connect(f"{events}/socket{query}", headers=headers) as socket:
            for line in sent:
                while (frame := orjson.loads(await socket.receive_str()))["type"] != "log":
                    pass
                assert (frame["line"]["seq"], frame["place"]) == line
        assert [seq for seq, _ in sent] == list(wanted)
        return [place for _, place in sent]

    (place,) = await next_lines(None, 8)
    for number in (2, 4):
        await tell(quiet, made, number)
    assert await next_lines(place, 3, 5) == ["8.1", "8.2"]
    await tell(quiet, made, 9)
    assert await next_lines("8.1", 5, 10) == ["8.2", "10.2"]
    assert await next_lines("8", 10) == ["10.2"]
    reply = await quiet.call("GET", f"/api/v1/jobs/{made['execution_id']}/events?after=8.x")
    assert (reply.status, reply.body["code"]) == (400, "invalid_parameter")


async def test_values_may_stand_in_the_query(quiet: Client) -> None:
    made = await quiet.run(SCRIPT)
    path = f"/api/v1/executions/{made['execution_id']}/logs/stream"
    query = urlencode({"sequence_number": 0, "stream": "stdout", "message": "a b&c"})
    assert (await quiet.call("POST", f"{path}?{query}")).status == 200
    mixed = await quiet.call("POST", f"{path}?sequence_number=1&stream=stdout", {"message": "body"})
    assert mixed.status == 200
    assert (await quiet.execution(made["execution_id"]))["stdout"] == "a b&c\nbody\n"


@pytest.mark.parametrize(
    "wrong",
    [
        {"sequence_number": None},
        {"sequence_number": -1},
        {"sequence_number": "x"},
        {"sequence_number": 1.5},
        {"sequence_number": True},
        {"sequence_number": 10**13},
        {"stream": None},
        {"stream": "notice"},
        {"stream": 1},
        {"message": None},
        {"message": 1},
        {"message": "x" * 65_537},
        {"timestamp": "yesterday"},
        {"timestamp": 1},
        {"timestamp": "0001-01-01T00:00:00"},
    ],
    ids=lambda wrong: str(wrong)[:60],
)
async def test_a_line_that_makes_no_sense_is_422(quiet: Client, wrong: dict[str, Any]) -> None:
    made = await quiet.run(SCRIPT)
    body = {"sequence_number": 0, "stream": "stdout", "message": "x", **wrong}
    path = f"/api/v1/executions/{made['execution_id']}/logs/stream"
    kept = {k: v for k, v in body.items() if v is not None}
    reply = await quiet.call("POST", path, kept)
    assert (reply.status, reply.body["code"]) == (422, "unprocessable")
    assert (await quiet.call("POST", path, data=b"{")).status == 400
    assert (await quiet.execution(made["execution_id"]))["stdout"] == ""


async def test_the_longest_message_is_taken(quiet: Client) -> None:
    made = await quiet.run(SCRIPT)
    assert (await tell(quiet, made, 0, "x" * 65_536)).status == 200


async def test_an_ended_execution_takes_no_more_lines(client: Client, runner: Caller) -> None:
    done = await client.done(SCRIPT)
    for caller in (client, runner):
        for number in (0, 5):
            reply = await tell(caller, done, number)
            assert (reply.status, reply.body["code"]) == (409, "job_final")
    assert (await client.execution(done["execution_id"]))["stderr"] == ""


async def test_workers_and_the_owner_may_tell_lines_and_nobody_else(quiet: Client) -> None:
    made = await quiet.run(SCRIPT)
    anyone = Caller(quiet.session, quiet.url)
    bearer = f"Bearer {WORKER_TOKEN}"
    for number, headers in enumerate(({"X-Worker-Token": WORKER_TOKEN}, {"Authorization": bearer}, quiet.headers)):
        assert (await tell(Caller(anyone.session, anyone.url, dict(headers)), made, number)).status == 200
    wrong: tuple[dict[str, str], ...] = (
        {},
        {"X-Worker-Token": "x"},
        {"X-Worker-Token": quiet.key},
        {"Authorization": "Bearer x"},
        {"Authorization": f"Basic {WORKER_TOKEN}"},
        {"Authorization": bearer, "X-API-Key": "x"},
        {"X-API-Key": WORKER_TOKEN},
    )
    for headers in wrong:
        reply = await tell(Caller(anyone.session, anyone.url, headers), made, 9)
        assert reply.status == 401, headers
    assert (await tell(new_client(quiet), made, 9)).status == 404


async def test_a_worker_with_a_token_of_its_own_tells_lines_of_what_it_has(quiet: Client) -> None:
    own = PlainWorker(quiet.session, quiet.url, worker_id=OWN_ID, headers={"X-Worker-Token": OWN_TOKEN})
    await own.register("command", cost_per_second=2, runtimes=[RUNTIME])
    made = await quiet.run(SCRIPT)
    reply = await tell(own, made, 0)
    assert (reply.status, reply.body["code"]) == (403, "forbidden")
    task = await own.take()
    assert (await tell(own, made, 0)).status == 200
    bearer = Caller(quiet.session, quiet.url, {"Authorization": f"Bearer {OWN_TOKEN}"})
    other = await new_client(quiet).run(SCRIPT)
    for caller, execution, status in ((bearer, made, 200), (own, other, 403), (bearer, other, 403)):
        assert (await tell(caller, execution, 1)).status == status
    assert (await tell(own, NEVER, 0)).status == 404
    await own.report(task, data={"exit_code": 0})
    await quiet.ended(made)
    assert (await tell(own, made, 2)).status == 403


async def test_a_wrong_client_credential_beside_a_workers_token_is_refused(quiet: Client) -> None:
    made = await quiet.run(SCRIPT)
    with_token = {"X-Worker-Token": WORKER_TOKEN}
    bearer, basic = {"Authorization": "Bearer x"}, {"Authorization": "Basic eA=="}
    for headers in ({"X-Client-Token": "x"}, {"X-API-Key": "x"}, bearer, basic):
        reply = await tell(Caller(quiet.session, quiet.url, {**with_token, **headers}), made, 0)
        assert reply.status == 401, headers
    for headers in ({"Authorization": f"Bearer {WORKER_TOKEN}"}, dict(quiet.headers)):
        assert (await tell(Caller(quiet.session, quiet.url, {**with_token, **headers}), made, 0)).status == 200, headers


async def test_lines_of_unknown_executions_are_404(quiet: Client, runner: Caller) -> None:
    at_b = Caller(runner.session, quiet.url, runner.headers)
    for caller in (quiet, at_b):
        for unknown in (NEVER, "nonsense", "%00"):
            reply = await tell(caller, unknown, 0)
            assert (reply.status, reply.body["code"], reply.body["detail"]) == (
                404,
                "job_not_found",
                "Execution not found",
            )


async def test_a_socket_sees_the_lines_of_the_worker_and_of_a_runner(quiet: Client, hands: PlainWorker) -> None:
    made = await quiet.run(SCRIPT)
    task = await hands.take()
    await hands.say(task, 0, "a")
    await tell(quiet, made, 1, "b")
    await hands.say(task, 1, "c")
    await hands.report(task, data={"exit_code": 0})

    async def ended() -> bool:
        return bool((await quiet.execution(made["execution_id"]))["status"] == "completed")

    await until(ended, "it has ended")
    frames, _ = await quiet.frames(made["execution_id"])
    assert [(frame["sequence_number"], frame["message"]) for frame in frames[:-1]] == [(0, "a"), (1, "b"), (2, "c")]
