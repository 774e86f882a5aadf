"""Callers over HTTP and nothing else: a client, and a worker that knows only the documented routes."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import aiohttp
import orjson

from tests.system.processes import ALPHA, POLL_S, SECONDS_MAX, WORKER_TOKEN

NOW_MS = 1_705_314_600_000
FINAL = {"finished", "failed", "cancelled", "quarantined"}


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return orjson.loads(self.raw) if self.raw else None


@dataclass
class Caller:
    """Requests to one server with one set of headers."""

    session: aiohttp.ClientSession
    url: str
    headers: dict[str, str] = field(default_factory=dict[str, str])

    async def call(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 70,
    ) -> Reply:
        body = data if data is not None else None if json is None else orjson.dumps(json)
        # aiohttp warns of large bodies that are plain bytes.
        sent = None if body is None else io.BytesIO(body)
        async with self.session.request(
            method,
            self.url + path,
            data=sent,
            headers={**self.headers, **(headers or {})},
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            allow_redirects=False,
        ) as answer:
            return Reply(answer.status, dict(answer.headers), await answer.read())


@dataclass
class Api(Caller):
    """A client of one tenant at one replica."""

    async def start(self, blueprint: str, /, webhook_url: str | None = None, **initial_data: Any) -> str:
        body = {"initial_data": initial_data, **({"webhook_url": webhook_url} if webhook_url else {})}
        reply = await self.call("POST", f"/api/v1/jobs/{blueprint}", body)
        assert reply.status == 202, reply
        job_id: str = reply.body["job_id"]
        return job_id

    async def job(self, job_id: str) -> dict[str, Any]:
        reply = await self.call("GET", f"/api/v1/jobs/{job_id}")
        assert reply.status == 200, reply
        found: dict[str, Any] = reply.body
        return found

    async def end_of(self, job_id: str, seconds: float = SECONDS_MAX) -> dict[str, Any]:
        """The job once it has ended."""
        reply = await self.call("GET", f"/api/v1/jobs/{job_id}?wait={seconds}")
        assert reply.status == 200, reply
        job: dict[str, Any] = reply.body
        assert job["status"] in FINAL, job
        return job

    async def is_(self, job_id: str, status: str, seconds: float = SECONDS_MAX) -> dict[str, Any]:
        """The job once it has *status*."""
        job: dict[str, Any] = {}

        async def there() -> bool:
            nonlocal job
            job = await self.job(job_id)
            assert job["status"] == status or job["status"] not in FINAL, job
            return bool(job["status"] == status)

        await until(there, f"the job is {status}", seconds)
        return job

    async def events(self, job_id: str) -> list[str]:
        reply = await self.call("GET", f"/api/v1/jobs/{job_id}/history")
        assert reply.status == 200, reply
        return [event["event_type"] for event in reply.body]

    async def log(self, job_id: str, **query: Any) -> dict[str, Any]:
        """One page of the job's log."""
        reply = await self.call("GET", f"/api/v1/jobs/{job_id}/logs?{urlencode(query)}")
        assert reply.status == 200, reply
        page: dict[str, Any] = reply.body
        return page

    @contextlib.asynccontextmanager
    async def following(self, job_id: str, **headers: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """The job's log as server-sent events: `{"id", "event", "data"}` of each."""
        async with self.session.get(
            f"{self.url}/api/v1/jobs/{job_id}/logs?follow", headers={**self.headers, **headers}
        ) as answer:
            assert (answer.status, answer.content_type) == (200, "text/event-stream")
            yield sent_events(answer.content)

    async def cancel(self, job_id: str) -> Reply:
        return await self.call("POST", f"/api/v1/jobs/{job_id}/cancel")


async def sent_events(content: aiohttp.StreamReader) -> AsyncIterator[dict[str, Any]]:
    event: dict[str, Any] = {}
    async for line in content:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name in {"id", "event"}:
            event[name] = value
        elif name == "data":
            event["data"] = orjson.loads(value)
        elif not name and event:
            yield event
            event = {}


@dataclass
class PlainWorker(Caller):
    """A worker as anybody may write it with curl."""

    worker_id: str = "plain"
    headers: dict[str, str] = field(default_factory=lambda: {"X-Worker-Token": WORKER_TOKEN})

    async def register(self, *types: str, **more: Any) -> None:
        body = {"worker_id": self.worker_id, "supported_tasks": types, **more}
        reply = await self.call("POST", "/_worker/workers/register", body)
        assert (reply.status, reply.body["status"]) == (200, "registered"), reply

    async def poll(self, timeout_s: float = 10) -> dict[str, Any] | None:
        reply = await self.call("GET", f"/_worker/workers/{self.worker_id}/tasks/next?timeout={timeout_s}")
        assert reply.status in {200, 204}, reply
        task: dict[str, Any] | None = reply.body
        return task

    async def take(self, timeout_s: float = 10) -> dict[str, Any]:
        task = await self.poll(timeout_s)
        assert task is not None, "no task came"
        return task

    async def report(
        self, task: Mapping[str, Any], status: str = "success", data: Any = None, error: Any = None
    ) -> Reply:
        body = {
            "job_id": task["job_id"],
            "task_id": task["task_id"],
            "worker_id": self.worker_id,
            "result": {"status": status, "data": data, "error": error},
        }
        return await self.call("POST", "/_worker/tasks/result", body)

    async def tell(self, task: Mapping[str, Any], *events: Mapping[str, Any], **changes: Any) -> Reply:
        """Events of a task, as they are."""
        body = {"worker_id": self.worker_id, "attempt": task["attempt"], "events": events, **changes}
        return await self.call("POST", f"/_worker/tasks/{task['task_id']}/events", body)

    async def say(self, task: Mapping[str, Any], first: int, *texts: str) -> Reply:
        """Lines of stdout, the first of them being the attempt's event number *first*."""
        return await self.tell(
            task, *({"seq": first + i, "kind": "log", "text": text, "at": NOW_MS} for i, text in enumerate(texts))
        )

    async def beat(self, **fields: Any) -> Reply:
        return await self.call("PATCH", f"/_worker/workers/{self.worker_id}", fields or None)


@contextlib.asynccontextmanager
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=True) as opened:
        yield opened


def api_at(http: aiohttp.ClientSession, url: str, token: str = ALPHA) -> Api:
    return Api(http, url, {"X-Client-Token": token})


async def until(condition: Callable[[], Awaitable[object]], what: str, seconds: float = SECONDS_MAX) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not await condition():
        assert loop.time() < deadline, f"not in {seconds:g} s: {what}"
        await asyncio.sleep(POLL_S)
