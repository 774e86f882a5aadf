"""Requests over unreliable connections."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from muster_worker import ClientError, Unreachable
from muster_worker.transport import Transport

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Flaky:
    """Answers raw HTTP; `plan` says what to do with each request: a status line with headers, or b"" to hang up."""

    def __init__(self) -> None:
        self.plan: list[bytes] = []
        self.requests = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                answer = self.plan.pop(0) if self.plan else b"200 OK"
                if not answer:
                    return
                writer.write(b"HTTP/1.1 " + answer + b"\r\nContent-Length: 2\r\n\r\n{}")
                await writer.drain()
        except asyncio.IncompleteReadError:
            pass


@contextlib.asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[str]:
    """A server whose connections are all closed in the end. Yields its address."""
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await serve(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield "http://{}:{}".format(*server.sockets[0].getsockname())
    finally:
        server.close()
        await asyncio.wait_for(asyncio.gather(*connections), 5)


@pytest.fixture
async def flaky() -> AsyncIterator[Flaky]:
    fake = Flaky()
    async with listening(fake.serve) as fake.url:
        yield fake


async def test_a_dropped_connection_is_made_again_at_once(flaky: Flaky) -> None:
    flaky.plan = [b"200 OK", b""]
    async with Transport([flaky.url], {}) as transport:
        await transport.request("POST", "/a", body=b"{}")
        assert (await transport.request("POST", "/a", body=b"{}")).body == b"{}"
    assert flaky.requests == 3


async def test_one_that_keeps_dropping_is_unreachable(flaky: Flaky) -> None:
    flaky.plan = [b""] * 9
    async with Transport([flaky.url], {}) as transport:
        with pytest.raises(Unreachable, match="closed the connection"):
            await transport.request("POST", "/a", body=b"{}")
    assert flaky.requests == 2


async def test_a_503_turns_to_the_next_address_and_keeps_to_it(flaky: Flaky) -> None:
    second = Flaky()
    flaky.plan = [b"503 Service Unavailable"]
    async with listening(second.serve) as second.url, Transport([flaky.url, second.url], {}) as transport:
        await transport.request("GET", "/a")
        await transport.request("GET", "/a")
    assert (flaky.requests, second.requests) == (1, 2)


async def test_retry_after_reaches_the_caller(flaky: Flaky) -> None:
    flaky.plan = [b"503 Service Unavailable\r\nRetry-After: 7"]
    async with Transport([flaky.url, "http://127.0.0.1:9"], {}) as transport:
        with pytest.raises(Unreachable) as refused:
            await transport.request("GET", "/a")
    assert (refused.value.status, refused.value.retry_after_s) == (503, 7)


async def test_silence_is_unreachable_after_the_timeout() -> None:
    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(never_answer) as url, Transport([url], {}) as transport:
        with pytest.raises(Unreachable, match=r"did not answer within 0\.05 s"):
            await transport.request("GET", "/a", timeout_s=0.05)


async def test_a_redirect_is_not_followed_with_the_token(flaky: Flaky) -> None:
    flaky.plan = [b"302 Found\r\nLocation: http://elsewhere.invalid/"]
    async with Transport([flaky.url], {"X-Worker-Token": "t"}) as transport:
        with pytest.raises(ClientError, match="redirects elsewhere"):
            await transport.request("GET", "/a")
