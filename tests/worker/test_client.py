"""The client against the documented routes on a real socket."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Self

import orjson
import pytest
from aiohttp import web
from muster_worker import Client, Conflict, NotAllowed, NotFound, Unreachable
from pydantic import BaseModel


class Order(BaseModel):
    sku: str


class FakeJobs:
    """Jobs that take one step whenever someone waits for them."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.steps = ["pending", "running", "finished"]
        self.version = 0
        self.unavailable = 0
        self.queries: list[str] = []
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/api/v1/jobs", self._list)
        app.router.add_get("/api/v1/jobs/{id}", self._job)
        app.router.add_post("/api/v1/jobs/{id}/decision", self._decide)
        app.router.add_post("/api/v1/jobs/{id}/cancel", self._cancel)
        app.router.add_get("/api/v1/jobs/{id}/history", self._history)
        app.router.add_get("/api/v1/blueprints/{name}/graph", self._graph)
        app.router.add_post("/api/v1/{endpoint:.+}", self._start)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}".format(*self._runner.addresses[0][:2])
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def _state(self) -> dict[str, Any]:
        status = self.steps[min(self.version, len(self.steps) - 1)]
        return {
            "id": "j1",
            "blueprint_name": "orders",
            "status": status,
            "version": self.version,
            "result": 7,
            "new": 1,
        }

    async def _start(self, request: web.Request) -> web.Response:
        if request.headers.get("X-Client-Token") != "secret":
            return _problem(401, "unauthenticated", "the client token is missing or wrong", "set MUSTER_CLIENT_TOKEN")
        headers = {k: v for k, v in request.headers.items() if k in ("Idempotency-Key", "Prefer")}
        self.posted.append((request.path, orjson.loads(await request.read()), headers))
        return web.json_response({"status": "accepted", "job_id": "j1"}, status=202)

    async def _job(self, request: web.Request) -> web.Response:
        if request.match_info["id"] != "j1":
            return _problem(404, "job_not_found", "Job not found", "")
        if self.unavailable:
            self.unavailable -= 1
            return _problem(503, "store_unavailable", "Redis does not answer", "")
        if "wait" in request.query and self.version < len(self.steps) - 1:
            self.version += 1
        self.queries.append(request.query_string)
        return web.json_response(self._state())

    async def _list(self, request: web.Request) -> web.Response:
        self.queries.append(request.query_string)
        return web.json_response({"items": [self._state()], "next": "c2"})

    async def _decide(self, request: web.Request) -> web.Response:
        self.posted.append((request.path, orjson.loads(await request.read()), {}))
        return _problem(409, "not_waiting_for_decision", "job j1 does not wait for a decision", "")

    async def _cancel(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "cancellation_request_sent"})

    async def _history(self, request: web.Request) -> web.Response:
        return web.json_response([{"event_type": "job_created"}])

    async def _graph(self, request: web.Request) -> web.Response:
        return web.Response(text=f"digraph {request.match_info['name']} {request.query['format']}")


def _problem(status: int, code: str, detail: str, hint: str) -> web.Response:
    return web.json_response({"status": status, "code": code, "detail": detail, "hint": hint}, status=status)


@pytest.fixture
async def jobs() -> AsyncIterator[FakeJobs]:
    async with FakeJobs() as fake:
        yield fake


@pytest.fixture
async def client(jobs: FakeJobs) -> AsyncIterator[Client]:
    async with Client(jobs.url, "secret") as made:
        yield made


async def test_starting_a_job_returns_its_id(jobs: FakeJobs, client: Client) -> None:
    assert await client.start("orders", Order(sku="s"), webhook_url="http://x/y", idempotency_key="k") == "j1"
    assert await client.start("flows/special", {"a": 1}, deadline="90m") == "j1"
    (path, body, headers), (other_path, other_body, other_headers) = jobs.posted
    assert (path, other_path) == ("/api/v1/jobs/orders", "/api/v1/flows/special")
    assert body == {"initial_data": {"sku": "s"}, "webhook_url": "http://x/y"}
    assert other_body == {"initial_data": {"a": 1}, "deadline_seconds": 5_400}
    assert headers["Idempotency-Key"] == "k"
    assert other_headers["Idempotency-Key"]


async def test_run_waits_for_the_end(jobs: FakeJobs, client: Client) -> None:
    state = await client.run("orders", timeout_s=10)
    assert (state.status, state.is_final, state.succeeded, state.result) == ("finished", True, True, 7)
    assert state.model_extra == {"new": 1}
    assert jobs.posted[0][2]["Prefer"] == "wait=10"


async def test_watching_shows_every_change_and_ends(client: Client) -> None:
    assert [state.status async for state in client.watch("j1")] == ["pending", "running", "finished"]


async def test_waiting_sits_out_a_short_outage(jobs: FakeJobs, client: Client) -> None:
    jobs.unavailable = 2
    assert (await client.wait("j1")).status == "finished"


async def test_waiting_too_long_is_a_timeout_naming_the_job(jobs: FakeJobs, client: Client) -> None:
    jobs.steps = ["waiting_for_human"]
    with pytest.raises(TimeoutError, match="job j1 is still waiting_for_human"):
        await client.wait("j1", timeout_s=0.01)


async def test_lists_cancels_history_and_graphs(jobs: FakeJobs, client: Client) -> None:
    page = await client.jobs(status=("finished", "failed"), blueprint="orders", limit=5, cursor="c1")
    assert (page.items[0].id, page.next) == ("j1", "c2")
    assert jobs.queries == ["limit=5&status=finished,failed&blueprint=orders&cursor=c1"]
    assert await client.cancel("j1") == "cancellation_request_sent"
    assert await client.history("j1") == [{"event_type": "job_created"}]
    assert await client.graph("orders", "mermaid") == "digraph orders mermaid"


async def test_errors_are_named_for_what_happened(jobs: FakeJobs, client: Client) -> None:
    with pytest.raises(NotFound) as missing:
        await client.job("j/2")
    assert (missing.value.status, missing.value.code) == (404, "job_not_found")
    with pytest.raises(Conflict, match="does not wait"):
        await client.decide("j1", "approved", note="fine", by="me")
    assert jobs.posted[-1][1] == {"decision": "approved", "note": "fine", "by": "me"}
    async with Client(jobs.url, "wrong") as stranger:
        with pytest.raises(NotAllowed) as refused:
            await stranger.start("orders")
    assert refused.value.hint == "set MUSTER_CLIENT_TOKEN"


async def test_no_orchestrator_at_all_is_unreachable() -> None:
    async with Client("http://127.0.0.1:9", "secret") as client:
        with pytest.raises(Unreachable, match=r"cannot reach http://127\.0\.0\.1:9"):
            await client.job("j1")


async def test_another_address_is_tried_when_the_first_does_not_answer(jobs: FakeJobs) -> None:
    async with Client(["http://127.0.0.1:9", jobs.url], "secret") as client:
        assert (await client.job("j1")).id == "j1"
        assert await asyncio.wait_for(client.start("orders"), 5) == "j1"


async def test_something_else_on_the_port_is_reported_as_such() -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>hello</html>", status=418)

    app = web.Application()
    app.router.add_get("/{any:.*}", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with Client("http://{}:{}".format(*runner.addresses[0][:2]), "secret") as client:
            with pytest.raises(Exception, match="<html>hello") as refused:
                await client.job("j1")
        assert getattr(refused.value, "code", "") == "http_418"
    finally:
        await runner.cleanup()
