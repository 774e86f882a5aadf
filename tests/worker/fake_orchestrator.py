"""A small orchestrator for the worker's tests: the real routes on a real socket, and knobs to misbehave."""

import asyncio
import threading
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Any, Self

import orjson
from aiohttp import WSMsgType, web

TOKEN = "worker-secret"
Condition = Callable[[], bool]


async def until(condition: Condition, timeout_s: float = 10.0) -> None:
    """Poll a condition; an AssertionError after the deadline."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "the condition did not come true in time"
        await asyncio.sleep(0.005)


class FakeOrchestrator:
    """Everything it was sent is kept: `results`, `heartbeats`, `registrations`."""

    def __init__(self, *, heartbeat_s: float = 0.05, poll_s: float = 5.0, streams: bool = False) -> None:
        self.heartbeat_s = heartbeat_s
        self.poll_s = poll_s
        self.streams = streams
        self.credits: list[int] = []
        self.granted = 0
        self.knows_free = True
        """A server of before takes no notice of free slots by type."""
        self.frees: list[dict[str, int]] = []
        """What was said of them, with each poll, report and credit."""
        self.free: dict[str, int] = {}
        """What is left of the last credit's."""
        self.held_by_type: Counter[str] = Counter()
        self.held_by_type_max: Counter[str] = Counter()
        self.types: dict[str, str] = {}
        self.streamed: list[str] = []
        self.answers_withdrawal = True
        self.refuses_sockets = False
        self._may_stream = asyncio.Event()
        self.registrations: list[dict[str, Any]] = []
        self.heartbeats: list[dict[str, Any]] = []
        self.heartbeat_times_s: list[float] = []
        self.results: list[dict[str, Any]] = []
        self.report_requests: list[int] = []
        self.refused_bodies: list[bytes] = []
        self.polls = 0
        self.polls_waiting = 0
        self.handed_out: list[str] = []
        self.events: dict[str, list[dict[str, Any]]] = {}
        """Taken events, by task."""
        self.event_requests: list[int] = []
        self.fail_events = 0
        """So many requests with events are answered 503."""
        self.refuse_events_with: int | None = None
        self.lose_event_answers = 0
        self.events_take_s = 0.0
        """So many times events are taken, and the answer is lost."""
        self.ignore_events = False
        self.cancel_by_events = False
        self.events_gate: asyncio.Event | None = None
        """While it is there and not set, requests with events are held."""
        self.known_workers: set[str] = set()
        self.cancel_ids: list[str] = []
        self.lost_ids: list[str] = []
        self.fail_reports = 0
        self.refuse_reports_with: int | None = None
        self.result_bytes_max = 1_000_000
        self.sockets: list[web.WebSocketResponse] = []
        self.held = 0
        self.held_max = 0
        self._queue: deque[dict[str, Any]] = deque()
        self._arrived = asyncio.Event()
        self._numbers = 0
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[_authenticated], client_max_size=8 * 1024 * 1024)
        app.router.add_post("/_worker/workers/register", self._register)
        app.router.add_patch("/_worker/workers/{worker}", self._heartbeat)
        app.router.add_get("/_worker/workers/{worker}/tasks/next", self._next)
        app.router.add_post("/_worker/tasks/results", self._results)
        app.router.add_post("/_worker/tasks/{task}/events", self._events)
        app.router.add_get("/_worker/ws/{worker}", self._socket)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        if self._runner is not None:
            for socket in self.sockets:
                await socket.close()
            await self._runner.cleanup()
            self._runner = None

    def give(self, type_: str, params: Any = None, **more: Any) -> str:
        """Queue a task; returns its id."""
        self._numbers += 1
        task_id = f"job-{self._numbers}.1"
        task = {
            "job_id": f"job-{self._numbers}",
            "task_id": task_id,
            "type": type_,
            "params": params,
            "attempt": 1,
            "timeout_seconds": 30,
            "priority": 0,
            "tracing_context": {},
            "fence": f"fence-{self._numbers}",
            "lease_seconds": 8,
            **more,
        }
        self.types[str(task["task_id"])] = type_
        self._queue.append(task)
        self._arrived.set()
        self._may_stream.set()
        return str(task["task_id"])

    def result_of(self, task_id: str) -> dict[str, Any]:
        found = [r for r in self.results if r["task_id"] == task_id]
        assert len(found) == 1, f"{len(found)} results for {task_id}"
        result: dict[str, Any] = found[0]["result"]
        return result

    async def result(self, task_id: str) -> dict[str, Any]:
        await until(lambda: any(r["task_id"] == task_id for r in self.results))
        return self.result_of(task_id)

    async def cancel_by_socket(self, task_id: str) -> None:
        for socket in self.sockets:
            await socket.send_json({"command": "cancel_task", "task_id": task_id, "job_id": task_id.split(".")[0]})

    def forget_workers(self) -> None:
        self.known_workers.clear()

    async def _register(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        self.registrations.append(body)
        self.known_workers.add(body["worker_id"])
        return web.json_response(
            {
                "status": "registered",
                "protocol": 1,
                "heartbeat_seconds": self.heartbeat_s,
                "lease_seconds": 8,
                "poll_seconds": self.poll_s,
                **({"features": ["stream", "of.the.future"]} if self.streams else {}),
            }
        )

    async def _heartbeat(self, request: web.Request) -> web.Response:
        worker = request.match_info["worker"]
        if worker not in self.known_workers:
            return _problem(404, "worker_not_found", "Worker not found")
        body = orjson.loads(await request.read())
        self.heartbeats.append(body)
        self.heartbeat_times_s.append(time.monotonic())
        cancel, self.cancel_ids = self.cancel_ids, []
        lost, self.lost_ids = self.lost_ids, []
        return web.json_response({"worker_id": worker, "cancel_task_ids": cancel, "lost_task_ids": lost})

    async def _next(self, request: web.Request) -> web.Response:
        if request.match_info["worker"] not in self.known_workers:
            return _problem(404, "worker_not_found", "Worker not found")
        self.polls += 1
        deadline_s = time.monotonic() + float(request.query["timeout"])
        free = self._said(orjson.loads(request.query.get("free", "{}")))
        self.polls_waiting += 1
        try:
            while not self._fits(free):
                self._arrived.clear()
                await asyncio.wait_for(self._arrived.wait(), deadline_s - time.monotonic())
        except TimeoutError:
            return web.Response(status=204)
        finally:
            self.polls_waiting -= 1
        return _json({"tasks": self._hand_out(int(request.query["max"]), free)})

    async def _results(self, request: web.Request) -> web.Response:
        raw = await request.read()
        if self.fail_reports > 0:
            self.fail_reports -= 1
            self.refused_bodies.append(raw)
            return _problem(503, "store_unavailable", "Redis does not answer")
        if self.refuse_reports_with is not None:
            self.refused_bodies.append(raw)
            return _problem(self.refuse_reports_with, "task_not_found", "no")
        if len(raw) > self.result_bytes_max:
            self.refused_bodies.append(raw)
            return _problem(413, "body_too_large", "the body is too large")
        results = orjson.loads(raw)["results"]
        self.report_requests.append(len(results))
        self.results += results
        self.held -= len(results)
        self.held_by_type.subtract(self.types.get(r["task_id"], "") for r in results)
        free = self._said(orjson.loads(request.query.get("free", "{}")))
        receipts = [{"status": f"result_accepted_{r['result']['status']}", "task_id": r["task_id"]} for r in results]
        return _json({"results": receipts, "tasks": self._hand_out(int(request.query.get("next", 0)), free)})

    async def _events(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        if self.events_gate is not None:
            await self.events_gate.wait()
        await asyncio.sleep(self.events_take_s)
        if self.fail_events > 0:
            self.fail_events -= 1
            return _problem(503, "store_full", "no memory left")
        if self.refuse_events_with is not None:
            return _problem(self.refuse_events_with, "refused", "no")
        if self.ignore_events:
            return _json({"status": "ignored", "reason": "stale_task"})
        known = self.events.setdefault(request.match_info["task"], [])
        self.event_requests.append(len(body["events"]))
        known += [event for event in body["events"] if event["seq"] >= len(known)]
        if self.lose_event_answers > 0:
            self.lose_event_answers -= 1
            assert request.transport is not None
            request.transport.abort()
        return _json({"accepted_to": len(known) - 1, "cancel_requested": self.cancel_by_events})

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if self.refuses_sockets:
            return _problem(503, "shutting_down", "not now")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        self.granted, before = 0, len(self.streamed)
        streaming = asyncio.create_task(self._stream(socket))
        async for frame in socket:
            if frame.type is WSMsgType.TEXT:
                credit = orjson.loads(frame.data)
                self.credits.append(credit["tasks"])
                self.granted = credit["tasks"] - (len(self.streamed) - before - credit["received"])
                self.free = dict(self._said(credit.get("free", {})))
                for task_id in self.streamed[before + credit["received"] :]:
                    if (kind := self.types.get(task_id, "")) in self.free:
                        self.free[kind] -= 1
                self._may_stream.set()
                if credit["tasks"] == 0 and self.answers_withdrawal:
                    await socket.send_json({"command": "tasks", "tasks": []})
        streaming.cancel()
        self.granted = 0
        self.sockets.remove(socket)
        return socket

    async def _stream(self, socket: web.WebSocketResponse) -> None:
        while True:
            await self._may_stream.wait()
            self._may_stream.clear()
            if self.granted > 0 and self._fits(self.free):
                tasks = self._hand_out(self.granted, self.free)
                self.granted -= len(tasks)
                self.streamed += [t["task_id"] for t in tasks]
                await socket.send_json({"command": "tasks", "tasks": tasks})

    def _said(self, free: dict[str, int]) -> dict[str, int]:
        self.frees.append(dict(free))
        return free if self.knows_free else {}

    def _fits(self, free: dict[str, int]) -> bool:
        return any(free.get(task["type"], 1) > 0 for task in self._queue)

    def _hand_out(self, count: int, free: dict[str, int]) -> list[dict[str, Any]]:
        """The oldest, of a type in *free* no more than that says, which is lowered."""
        tasks: list[dict[str, Any]] = []
        for task in list(self._queue):
            if len(tasks) < count and free.get(task["type"], 1) > 0:
                self._queue.remove(task)
                tasks.append(task)
                if task["type"] in free:
                    free[task["type"]] -= 1
        self.handed_out += [t["task_id"] for t in tasks]
        self.held_by_type.update(t["type"] for t in tasks)
        self.held_by_type_max |= self.held_by_type
        self.held += len(tasks)
        self.held_max = max(self.held_max, self.held)
        return tasks


class ThreadedOrchestrator:
    """The same on a thread of its own, for workers that block their event loop."""

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self.fake: FakeOrchestrator

    def __enter__(self) -> FakeOrchestrator:
        self._thread.start()
        assert self._started.wait(10)
        return self.fake

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def call(self, function: Callable[[], Any]) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(function)

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with FakeOrchestrator(**self._settings) as self.fake:
            self._started.set()
            await self._stop.wait()


@web.middleware
async def _authenticated(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    if request.headers.get("X-Worker-Token") != TOKEN:
        return _problem(401, "unauthenticated", "the worker token is missing or wrong")
    return await handler(request)


def _json(value: object) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")


def _problem(status: int, code: str, detail: str) -> web.Response:
    body = {"status": status, "code": code, "detail": detail, "error": detail}
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/problem+json")
