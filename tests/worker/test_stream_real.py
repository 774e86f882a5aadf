"""The SDK and the real server: tasks over the WebSocket, from the store to the handler and back."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from muster.embedded import EmbeddedEngine, EngineNotStarted
from muster.main import serve
from muster.settings import Settings
from muster_worker import Client, Worker
from pydantic import SecretStr

from tests.support.waiting import until

CLIENT, WORKER = "client-token-of-the-stream-tests", "worker-token-of-the-stream-tests"
FLOW = """
from typing import Any

from muster import Blueprint, Job, Next, finished

streamed = Blueprint("streamed")


@streamed.start
async def first(job: Job[dict[str, Any]]) -> Next:
    return job.run(job.input.get("type", "stream.echo"), job.input, ok=second)


@streamed.state
async def second(job: Job[dict[str, Any]], result: dict[str, Any]) -> Next:
    return job.run(job.input.get("type", "stream.echo"), result, ok=finished)
"""


@dataclass
class Server:
    settings: Settings
    url: str = ""
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    serving: "asyncio.Task[None] | None" = None

    async def start(self) -> None:
        self.stop = asyncio.Event()
        urls: list[str] = []
        serving = asyncio.create_task(serve(self.settings, ready=urls.append, stop=self.stop))
        await until(lambda: urls or serving.done())
        if not urls:
            serving.result()
        self.url, self.serving = urls[0], serving

    async def end(self) -> None:
        assert self.serving is not None
        self.stop.set()
        await asyncio.wait_for(self.serving, 20)

    async def requests(self, route: str) -> int:
        """How many were answered on one route, by the server's own metrics."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.url}/_public/metrics") as answer:
            lines = (await answer.text()).splitlines()
        counted = (line for line in lines if line.startswith("muster_http_requests_total") and f'"{route}"' in line)
        return int(sum(float(line.rpartition(" ")[2]) for line in counted))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    flow = tmp_path / "streamed.py"
    flow.write_text(FLOW)
    try:
        engine = EmbeddedEngine(tmp_path / "state")
        url = await asyncio.to_thread(engine.start)
    except EngineNotStarted as error:
        pytest.skip(str(error))
    try:
        made = Server(
            Settings(
                redis_url=url,
                port=0,
                blueprints=(str(flow),),
                client_token=SecretStr(CLIENT),
                global_worker_token=SecretStr(WORKER),
                delivery_lease_seconds=1,
                lease_seconds=2,
                sdk_heartbeat_seconds=0.4,
                log_level="warning",
            )
        )
        await made.start()
        yield made
        await made.end()
    finally:
        await asyncio.to_thread(engine.stop)


@contextlib.asynccontextmanager
async def working(server: Server, worker: Worker, worker_id: str = "w1") -> AsyncIterator[None]:
    stop = asyncio.Event()
    chosen = worker.settings(url=server.url, token=WORKER, worker_id=worker_id)
    running = asyncio.create_task(worker.serve(stop, chosen))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(running, 20)


async def run_jobs(server: Server, count: int, **more: Any) -> list[str]:
    async with Client(server.url, CLIENT) as client:
        inputs = [{"n": n, **more} for n in range(count)]
        states = await asyncio.gather(*(client.run("streamed", given, timeout_s=30) for given in inputs))
    assert {state.status for state in states} == {"finished"}
    return [state.id for state in states]


async def test_jobs_run_over_the_stream_and_each_task_once(server: Server) -> None:
    worker = Worker(slots=7)
    runs: Counter[str] = Counter()
    held = held_max = 0

    @worker.task("stream.echo")
    async def echo(ctx: Any, value: dict[str, int]) -> dict[str, int]:
        nonlocal held, held_max
        runs[ctx.task_id] += 1
        held += 1
        held_max = max(held_max, held)
        await asyncio.sleep(0.001)
        held -= 1
        return value

    async with working(server, worker):
        await run_jobs(server, 100)
    assert len(runs) == 200
    assert set(runs.values()) == {1}
    assert held_max <= 7
    assert await server.requests("/_worker/workers/{worker_id}/tasks/next") == 0


async def test_two_workers_share_and_one_that_leaves_takes_nothing_along(server: Server) -> None:
    runs: Counter[str] = Counter()

    def counting() -> Worker:
        worker = Worker(slots=4)

        @worker.task("stream.echo")
        async def echo(ctx: Any, value: dict[str, int]) -> dict[str, int]:
            runs[ctx.task_id] += 1
            await asyncio.sleep(0.002)
            return value

        return worker

    async with working(server, counting(), "stays"):
        async with working(server, counting(), "leaves"):
            jobs = asyncio.create_task(run_jobs(server, 80))
            await until(lambda: len(runs) > 40)
        await jobs
    assert len(runs) == 160
    assert set(runs.values()) == {1}


async def test_what_was_sent_to_a_worker_that_died_is_given_to_another(server: Server) -> None:
    headers = {"X-Worker-Token": WORKER}
    async with aiohttp.ClientSession(headers=headers) as http:
        body = {"worker_id": "dead", "supported_tasks": ["stream.echo"], "protocol": 1}
        async with http.post(f"{server.url}/_worker/workers/register", json=body) as answer:
            assert (await answer.json())["features"] == ["stream"]
        async with http.ws_connect(f"{server.url}/_worker/ws/dead", autoping=False) as socket:
            await socket.send_json({"event": "credit", "tasks": 8})
            jobs = asyncio.create_task(run_jobs(server, 1))
            frame = await socket.receive_json(timeout=10)
            assert (frame["command"], len(frame["tasks"])) == ("tasks", 1)
            closed = await socket.receive(timeout=10)  # it says nothing, so it gets nothing
            assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 4408)
    worker = Worker()
    worker.add("stream.echo", _echo)
    async with working(server, worker):
        await asyncio.wait_for(jobs, 20)


async def test_a_worker_finds_its_stream_again_after_a_restart(server: Server) -> None:
    worker = Worker()
    worker.add("stream.echo", _echo)
    async with working(server, worker):
        await run_jobs(server, 3)
        await server.end()
        server.settings = server.settings.model_copy(update={"port": int(server.url.rpartition(":")[2])})
        await server.start()
        await run_jobs(server, 3)


async def test_a_server_that_restarts_sends_nothing_beyond_the_slots_of_tasks_that_still_run(server: Server) -> None:
    narrow = Narrow()
    async with working(server, narrow.worker):
        async with Client(server.url, CLIENT) as client:
            ids = [await client.start("streamed", {"n": n}) for n in range(4)]
        await until(lambda: narrow.running["stream.echo"] == 2)
        await server.end()
        server.settings = server.settings.model_copy(update={"port": int(server.url.rpartition(":")[2])})
        await server.start()
        async with Client(server.url, CLIENT) as client:
            # These come over the new connection, past what may not.
            ids += [await client.start("streamed", {"n": n, "type": "stream.wide"}) for n in range(3)]
            await until(lambda: narrow.running["stream.wide"] == 3)
            why = await client.why(ids[2])
            assert [reason.code for reason in why.reasons] == ["workers_busy"]
            assert narrow.running["stream.echo"] == 2
            narrow.go.set()
            for job_id in ids:
                assert (await client.wait(job_id, timeout_s=30)).status == "finished"
    assert narrow.most["stream.echo"] == 2


@pytest.mark.parametrize("streams", [True, False], ids=["stream", "poll"])
async def test_a_task_costs_the_price_of_its_type(
    server: Server, streams: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not streams:
        monkeypatch.setattr("muster.api.worker.FEATURE", "of the future")
    worker = Worker(cost_per_second=1.0)

    async def slowly(value: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return value

    worker.add("stream.echo", slowly, cost_per_second=0.003)
    worker.add("stream.wide", slowly)
    async with working(server, worker), Client(server.url, CLIENT) as client:
        for kind, price in (("stream.echo", 3), ("stream.wide", 1_000)):
            state = await client.run("streamed", {"type": kind}, timeout_s=30)
            assert state.cost_micros >= 2 * 8 * price
            assert state.cost_micros % price == 0
            assert state.cost_micros < 1_000 * price


async def _echo(value: dict[str, int]) -> dict[str, int]:
    return value


class Narrow:
    """A worker with six slots, two of them for `stream.echo`; its task waits until it is let go."""

    def __init__(self) -> None:
        self.worker = Worker(slots=6)
        self.go = asyncio.Event()
        self.running: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.worker.add("stream.echo", self._handler("stream.echo"), slots=2)
        self.worker.add("stream.wide", self._handler("stream.wide"))

    def _handler(self, kind: str) -> Any:
        async def wait(value: dict[str, Any]) -> dict[str, Any]:
            self.running[kind] += 1
            self.most |= self.running
            await self.go.wait()
            self.running[kind] -= 1
            return value

        return wait


@pytest.mark.parametrize("streams", [True, False], ids=["stream", "poll"])
async def test_a_task_beyond_a_types_slots_runs_at_another_worker(
    server: Server, streams: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not streams:
        monkeypatch.setattr("muster.api.worker.FEATURE", "of the future")
    one, two = Narrow(), Narrow()
    async with working(server, one.worker, "one"):
        jobs = asyncio.create_task(run_jobs(server, 3))
        await until(lambda: one.running["stream.echo"] == 2)
        async with working(server, two.worker, "two"):
            await until(lambda: two.running["stream.echo"] == 1)
            wide = asyncio.create_task(run_jobs(server, 5, type="stream.wide"))
            await until(lambda: one.running["stream.wide"] + two.running["stream.wide"] == 5)
            for narrow in (one, two):
                narrow.go.set()
            await asyncio.gather(jobs, wide)
            await run_jobs(server, 40)
    assert one.most["stream.echo"] == 2
    assert two.most["stream.echo"] <= 2
    polls = await server.requests("/_worker/workers/{worker_id}/tasks/next")
    assert (polls == 0) == streams
