"""The WebSocket of document 003."""

import asyncio
import secrets
import signal
import socket
import struct
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
from muster.api.client_socket import UNREAD_SECONDS
from muster.surfaces.monitor.socket import SUBSCRIPTIONS_MAX

from tests.conformance.monitor.conftest import NEVER, Frames, Monitor
from tests.conformance.monitor.test_artifacts import Form, uploaded
from tests.system.callers import session, until
from tests.system.conftest import MakeCluster
from tests.system.processes import SECONDS_MAX

SCRIPT = (
    "echo 'STEP_START:load'; echo one; echo two >&2; echo x > f.csv; echo 'ARTIFACT:f.csv:made'; "
    "echo 'STEP_COMPLETE:load'; echo three"
)


LINES = 20_000
"""Of a kilobyte each: more than all buffers between the server and a client hold."""


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def of_kind(said: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [message["data"] for message in said if message["type"] == kind]


async def test_the_first_message_says_who_one_is(client: Monitor) -> None:
    async with client.socket() as first, client.socket() as second:
        one, two = await first.next(), await second.next()
    for said in (one, two):
        assert said["type"] == "connection_established"
        assert set(said["data"]) == {"client_id", "server_time", "connected_clients"}
        assert isinstance(said["data"]["client_id"], int)
        assert said["data"]["server_time"].endswith("Z")
    assert one["data"]["client_id"] != two["data"]["client_id"]
    assert two["data"]["connected_clients"] >= 2


async def test_who_never_subscribed_is_told_of_all_ones_executions_in_order(client: Monitor) -> None:
    async with client.socket() as frames:
        await frames.next()
        for name in ("first", "second"):
            execution_id = await client.run(shell(SCRIPT), name=name)
            said = await frames.until("execution_completed", execution_id=execution_id)
            assert {message["data"]["execution_id"] for message in said} == {execution_id}
            kinds = [message["type"] for message in said]
            assert kinds[0] == "execution_started"
            assert kinds[-1] == "execution_completed"
            assert kinds.count("execution_started") == kinds.count("execution_completed") == 1
            details = await client.details(execution_id)
            _check_messages(said, details)


def _check_messages(said: list[dict[str, Any]], details: dict[str, Any]) -> None:
    execution, (step,), (artifact,) = details["execution"], details["steps"], details["artifacts"]
    assert of_kind(said, "execution_started") == [
        {
            "execution_id": execution["id"],
            "name": execution["name"],
            "command": execution["command"],
            "started_at": execution["started_at"],
        }
    ]
    steps = [data["step"] for data in of_kind(said, "step_update")]
    assert [found["status"] for found in steps] == ["running", "completed"]
    assert steps[-1] == step
    assert {"id", "name", "status", "index", "started_at"} <= set(steps[0])
    (told,) = of_kind(said, "artifact_created")
    assert set(told) == {"execution_id", "artifact"}
    assert told["artifact"] == {name: artifact[name] for name in ("id", "name", "file_name", "download_url")}
    lines = of_kind(said, "log_entry")
    assert {line["content"]: line["level"] for line in lines} == {"one": "info", "two": "error", "three": "info"}
    steps_of = {line["content"]: line["step_id"] for line in lines}
    assert (steps_of["one"], steps_of["three"]) == (step["id"], None)
    assert set(lines[0]) == {"execution_id", "step_id", "content", "timestamp", "level"}
    assert of_kind(said, "execution_completed") == [
        {
            "execution_id": execution["id"],
            "status": "completed",
            "exit_code": 0,
            "completed_at": execution["completed_at"],
            "duration_seconds": execution["duration_seconds"],
            "total_steps": 1,
            "artifacts_count": 1,
        }
    ]


async def test_a_steps_lines_come_between_its_start_and_its_end(client: Monitor) -> None:
    async with client.socket() as frames:
        execution_id = await client.run(shell("echo STEP_START:a; echo in; echo STEP_COMPLETE:a; echo out"))
        said = await frames.until("execution_completed", execution_id=execution_id)
    shown = [
        (message["type"], message["data"].get("content") or message["data"]["step"]["status"])
        for message in said
        if message["type"] in {"step_update", "log_entry"}
    ]
    assert shown == [
        ("step_update", "running"),
        ("log_entry", "in"),
        ("step_update", "completed"),
        ("log_entry", "out"),
    ]


async def test_a_failed_run_is_an_error_before_its_end(client: Monitor) -> None:
    async with client.socket() as frames:
        execution_id = await client.run(shell("exit 3"))
        said = await frames.until("execution_completed", execution_id=execution_id)
    error, completed = said[-2]["data"], said[-1]["data"]
    assert said[-2]["type"] == "error"
    assert error == {
        "execution_id": execution_id,
        "error_message": "command exited with status 3",
        "error_code": "EXECUTION_ERROR",
        "timestamp": error["timestamp"],
    }
    assert (completed["status"], completed["exit_code"]) == ("failed", 3)


async def test_a_cancelled_run_is_completed_as_cancelled_and_no_error(client: Monitor) -> None:
    async with client.socket() as frames:
        execution_id = await client.run("sleep 300")
        await frames.until("execution_started", execution_id=execution_id)
        await client.cancel(execution_id)
        said = await frames.until("execution_completed", execution_id=execution_id)
    assert (said[-1]["data"]["status"], said[-1]["data"]["exit_code"]) == ("cancelled", None)
    assert of_kind(said, "error") == []


async def test_deleting_a_run_tells_its_end_to_subscribers_and_to_who_never_subscribed(client: Monitor) -> None:
    async with client.socket() as everything, client.socket() as one:
        execution_id = await client.run("sleep 300")
        await one.subscribe(execution_id)
        for frames in (everything, one):
            await frames.until("execution_started", execution_id=execution_id)
        await client.data("DELETE", f"/api/executions/{execution_id}")
        for frames in (everything, one):
            said = await frames.until("execution_completed", execution_id=execution_id)
            assert said[-1]["data"]["status"] == "cancelled"
    await client.error("GET", f"/api/executions/{execution_id}", status=404)


async def test_a_run_that_never_began_is_completed_without_a_start(client: Monitor) -> None:
    async with client.socket() as frames:
        await frames.next()
        job_id = await client.start("simple_flow")
        await client.cancel(job_id)
        said = await frames.until("execution_completed", execution_id=job_id)
    assert of_kind(said, "execution_started") == []
    assert (said[-1]["data"]["status"], said[-1]["data"]["duration_seconds"]) == ("cancelled", None)


async def test_another_tenants_executions_are_not_told(client: Monitor, other_client: Monitor) -> None:
    async with client.socket() as frames:
        await frames.next()
        await other_client.done("true")
        mine = await client.run("true")
        said = await frames.until("execution_completed", execution_id=mine)
    assert {message["data"]["execution_id"] for message in said} == {mine}


async def test_states_of_other_blueprints_are_told_as_steps(client: Monitor) -> None:
    async with client.socket() as frames:
        job_id = await client.start("approval_flow")
        await client.is_(job_id, "waiting_for_human")
        reply = await client.call("POST", f"/api/v1/jobs/{job_id}/decision", {"decision": "approved"})
        assert reply.status == 200
        await frames.until("execution_completed", execution_id=job_id)


async def test_who_subscribed_is_told_of_nothing_else_also_after_unsubscribing(client: Monitor) -> None:
    async with client.socket() as frames:
        wanted = await client.run("sleep 300")
        await frames.subscribe(wanted)
        other = await client.run("true")
        await client.ended(other)
        await frames.say("unsubscribe", wanted)
        said = await frames.until("unsubscribed", execution_id=wanted)
        assert {message["data"]["execution_id"] for message in said} == {wanted}
        await client.cancel(wanted)
        await client.ended(wanted)
        await client.done("true")
        await frames.say("ping")
        assert (await frames.next())["type"] == "pong"


async def test_a_subscription_brings_up_to_date_without_lines(client: Monitor) -> None:
    script = f"{SCRIPT}; echo STEP_START:wait; sleep 300"
    execution_id = await client.run(shell(script))
    async with client.socket() as before:
        await before.subscribe(execution_id)
        while not [s for s in of_kind([await before.next()], "step_update") if s["step"]["name"] == "wait"]:
            pass
    async with client.socket() as frames:
        await frames.subscribe(execution_id)
        said = await frames.until("step_update", execution_id=execution_id)
        while said[-1]["type"] != "step_update" or said[-1]["data"]["step"]["name"] != "wait":
            said.append(await frames.next())
        kinds = [message["type"] for message in said]
        assert kinds[0] == "execution_started"
        assert of_kind(said, "log_entry") == []
        assert {data["step"]["name"]: data["step"]["status"] for data in of_kind(said, "step_update")} == {
            "load": "completed",
            "wait": "running",
        }
        await client.cancel(execution_id)
        said += await frames.until("execution_completed", execution_id=execution_id)
        assert said[-1]["data"]["total_steps"] == 2


async def test_an_uploaded_artifact_is_told_to_whoever_follows_its_execution(client: Monitor) -> None:
    execution_id = await client.run("sleep 300")
    async with client.socket() as of_all, client.socket() as of_one:
        await client.reaches(execution_id, "running")
        await of_one.subscribe(execution_id)
        form = Form().text("execution_id", execution_id).text("name", "Output Report").file()
        artifact = await uploaded(form, client)
        for frames in (of_all, of_one):
            said = await frames.until("artifact_created", execution_id=execution_id)
            assert said[-1]["data"]["artifact"]["id"] == artifact["id"]
            assert said[-1]["data"]["artifact"]["name"] == "Output Report"
        await client.cancel(execution_id)
        assert (await of_one.until("execution_completed"))[-1]["data"]["artifacts_count"] == 1


async def test_a_subscription_to_an_execution_that_ended_tells_its_end(client: Monitor) -> None:
    details = await client.done(shell(SCRIPT))
    execution_id = details["execution"]["id"]
    async with client.socket() as frames:
        await frames.subscribe(execution_id)
        said = await frames.until("execution_completed", execution_id=execution_id)
        kinds = [message["type"] for message in said]
        assert kinds[0] == "execution_started"
        assert set(kinds[1:-1]) == {"step_update", "artifact_created"}
        assert [data["step"] for data in of_kind(said, "step_update")][-1] == details["steps"][0]


async def test_lines_after_the_subscription_are_told(client: Monitor) -> None:
    execution_id = await client.run(shell("echo before; while [ ! -e go ]; do sleep 0.05; done; echo after"))
    async with client.socket() as frames:
        await frames.until("log_entry", execution_id=execution_id, content="before")
        await frames.subscribe(execution_id)
        await frames.until("execution_started", execution_id=execution_id)
        await client.cancel(execution_id)
        said = await frames.until("execution_completed", execution_id=execution_id)
        assert "before" not in {data["content"] for data in of_kind(said, "log_entry")}


async def test_several_executions_may_be_subscribed_to(client: Monitor) -> None:
    first, second = await client.run("sleep 300"), await client.run("sleep 300")
    async with client.socket() as frames:
        await frames.subscribe(first)
        await frames.subscribe(second)
        for execution_id in (first, second):
            await client.cancel(execution_id)
        ended: set[str] = set()
        while ended != {first, second}:
            ended.add((await frames.until("execution_completed"))[-1]["data"]["execution_id"])


async def test_a_connection_that_names_too_many_executions_is_told_so(client: Monitor) -> None:
    made = [await client.start("simple_flow") for _ in range(SUBSCRIPTIONS_MAX + 1)]
    async with client.socket() as frames:
        for job_id in made[:-1]:
            await frames.subscribe(job_id)
        await frames.say("subscribe", made[-1])
        said = await frames.until("error", execution_id=made[-1])
        assert said[-1]["data"]["error_code"] == "TOO_MANY_SUBSCRIPTIONS"
        await frames.say("unsubscribe", made[0])
        await frames.subscribe(made[-1])


async def test_a_subscription_may_be_asked_for_again(client: Monitor) -> None:
    execution_id = await client.run("sleep 300")
    await client.reaches(execution_id, "running")
    async with client.socket() as frames:
        for _ in range(2):
            await frames.subscribe(execution_id)
            await frames.until("execution_started", execution_id=execution_id)
        await client.cancel(execution_id)
        await frames.until("execution_completed", execution_id=execution_id)


async def test_status_is_told_when_asked_for(client: Monitor) -> None:
    details = await client.done(shell(SCRIPT))
    async with client.socket() as frames:
        await frames.next()
        await frames.say("get_status", details["execution"]["id"])
        (said,) = await frames.until("execution_status")
        assert said["data"] == {
            "execution_id": details["execution"]["id"],
            "execution": details["execution"],
            "steps": details["steps"],
        }


async def test_an_unknown_execution_is_an_error_and_the_connection_stays(
    client: Monitor, other_client: Monitor
) -> None:
    foreign = await other_client.run("true")
    async with client.socket() as frames:
        await frames.next()
        for execution_id in (NEVER, "uuid-string", foreign):
            for kind in ("subscribe", "unsubscribe", "get_status"):
                await frames.say(kind, execution_id)
                said = await frames.next()
                assert said["type"] == "error"
                assert said["data"]["execution_id"] == execution_id
                assert said["data"]["error_code"] == "EXECUTION_NOT_FOUND"
        mine = await client.run("true")
        await frames.until("execution_completed", execution_id=mine)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "INVALID_MESSAGE"),
        ("[]", "INVALID_MESSAGE"),
        ('"ping"', "INVALID_MESSAGE"),
        ("{}", "INVALID_MESSAGE"),
        ('{"type": 1}', "INVALID_MESSAGE"),
        ('{"type": "subscribe"}', "INVALID_MESSAGE"),
        ('{"type": "subscribe", "data": "x"}', "INVALID_MESSAGE"),
        ('{"type": "unsubscribe", "data": {}}', "INVALID_MESSAGE"),
        ('{"type": "get_status", "data": {"execution_id": 5}}', "INVALID_MESSAGE"),
        ('{"type": "restart", "data": {}}', "UNKNOWN_TYPE"),
    ],
)
async def test_what_is_not_understood_is_an_error_and_the_connection_stays(
    client: Monitor, text: str, code: str
) -> None:
    async with client.socket() as frames:
        await frames.next()
        await frames.socket.send_str(text)
        said = await frames.next()
        assert (said["type"], said["data"]["error_code"]) == ("error", code)
        assert set(said["data"]) == {"execution_id", "error_message", "error_code", "timestamp"}
        assert said["data"]["execution_id"] is None
        await frames.say("ping")
        assert (await frames.next())["type"] == "pong"


@pytest.mark.parametrize("query", ["", "?api_key=wrong"])
async def test_a_missing_or_wrong_key_is_closed_with_1008_and_no_data(stranger: Monitor, query: str) -> None:
    async with stranger.session.ws_connect(f"{stranger.url}/ws{query}") as socket:
        frame = await socket.receive(SECONDS_MAX)
        assert (frame.type, socket.close_code) == (aiohttp.WSMsgType.CLOSE, 1008)


async def test_a_wrong_key_is_not_taken_for_none(anybody: Monitor) -> None:
    async with anybody.session.ws_connect(f"{anybody.url}/ws?api_key=wrong") as socket:
        assert (await socket.receive(SECONDS_MAX)).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1008


async def test_a_key_may_stand_in_the_sockets_url(stranger: Monitor, client: Monitor) -> None:
    async with stranger.socket(f"/ws?api_key={client.headers['X-Client-Token']}") as frames:
        execution_id = await client.run("true")
        await frames.until("execution_completed", execution_id=execution_id)


async def test_a_plain_request_for_the_socket_is_400(anybody: Monitor) -> None:
    assert (await anybody.call("GET", "/ws")).status == 400


@pytest.mark.parametrize("path", ["/", "/ws"])
async def test_the_separate_listener_serves_the_socket(client: Monitor, listener_url: str, path: str) -> None:
    async with client.session.ws_connect(listener_url + path, headers=client.headers) as socket:
        frames = Frames(socket)
        assert (await frames.next())["type"] == "connection_established"
        execution_id = await client.run("true")
        await frames.until("execution_completed", execution_id=execution_id)


async def test_the_separate_listener_serves_nothing_else(client: Monitor, listener_url: str) -> None:
    elsewhere = Monitor(client.session, listener_url, client.headers)
    assert (await elsewhere.call("GET", "/api/executions")).status == 404


async def test_a_server_that_stops_closes_with_1001(make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    async with session() as http:
        client = Monitor(http, cluster.a.url)
        async with client.socket() as all_of_them, client.socket() as only_one:
            job_id = await client.run("true")
            await only_one.subscribe(job_id)
            await only_one.say("unsubscribe", job_id)
            await only_one.until("unsubscribed")
            cluster.a.signal(signal.SIGTERM)
            for frames in (all_of_them, only_one):
                while (await frames.socket.receive(SECONDS_MAX)).type is aiohttp.WSMsgType.TEXT:
                    pass
                assert frames.socket.close_code == 1001


async def test_a_client_that_does_not_read_is_dropped_with_1013(client: Monitor) -> None:
    async def nobody_is_there() -> bool:
        return int((await client.data("GET", "/api/health/status"))["websocket"]["connected_clients"]) == 0

    async def somebody_is_there() -> bool:
        return not await nobody_is_there()

    await until(nobody_is_there, "clients of other tests have gone")
    async with _unread_socket(client) as reader:
        await until(somebody_is_there, "the client is connected")  # it is answered before it is counted
        await client.run([sys.executable, "-c", f"for _ in range({LINES}): print('x' * 1000)"])
        await until(nobody_is_there, "the server has given the client up", 2 * SECONDS_MAX)
        # Whoever reads again finds what was under way, and then the reason.
        async with asyncio.timeout(UNREAD_SECONDS):
            while (code := await _next_close(reader)) is None:
                pass
        assert code == 1013


@asynccontextmanager
async def _unread_socket(client: Monitor) -> AsyncIterator[asyncio.StreamReader]:
    """A WebSocket of which nothing is read beyond what the operating system takes."""
    host, port = client.url.removeprefix("http://").split(":")
    few = socket.socket()
    few.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # else the system takes some megabytes for us
    few.setblocking(False)
    await asyncio.get_running_loop().sock_connect(few, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=few, limit=1024)
    try:
        key = b64encode(secrets.token_bytes(16)).decode()
        writer.write(
            f"GET /ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            f"X-Client-Token: {client.headers['X-Client-Token']}\r\n\r\n".encode()
        )
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        living = asyncio.create_task(_say_pong(writer))
        yield reader
        living.cancel()
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _say_pong(writer: asyncio.StreamWriter) -> None:
    """It is alive, and only reads nothing: the server must not take it for dead first."""
    while True:
        writer.write(b"\x8a\x80\0\0\0\0")
        await asyncio.sleep(2)


async def _next_close(reader: asyncio.StreamReader) -> int | None:
    """Read a frame: the code where it is a close frame."""
    head = await reader.readexactly(2)
    size = head[1] & 0x7F
    if size == 126:
        size = struct.unpack(">H", await reader.readexactly(2))[0]
    elif size == 127:
        size = struct.unpack(">Q", await reader.readexactly(8))[0]
    payload = await reader.readexactly(size)
    return struct.unpack(">H", payload[:2])[0] if head[0] & 0x0F == 8 else None
