"""How a client's WebSocket ends: whoever reads again in time learns why, whoever never does holds nothing."""

import asyncio
import secrets
import socket
import struct
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer
from muster.api import client_socket
from muster.api.closing import close_within

FRAME = b"x" * 10_000
TALK = b"\x81\x84\0\0\0\0talk"
SECONDS_MAX = 30.0

Closing: TypeAlias = Callable[[web.Request, web.WebSocketResponse], Awaitable[None]]


@asynccontextmanager
async def unread(closing: Closing) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, asyncio.Event]]:
    """A client of a server that sent until nothing more went through; the event says that it has closed."""
    stalled, closed = asyncio.Event(), asyncio.Event()

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(timeout=client_socket.UNREAD_SECONDS)
        await socket.prepare(request)
        with suppress(TimeoutError):
            while True:
                async with asyncio.timeout(0.3):
                    await socket.send_frame(FRAME, WSMsgType.BINARY)
        stalled.set()
        await closing(request, socket)
        closed.set()
        return socket

    app = web.Application()
    app.router.add_get("/", serve)
    async with TestServer(app) as server:
        few = socket.socket()
        few.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # else the system takes megabytes for us
        few.setblocking(False)
        await asyncio.get_running_loop().sock_connect(few, (server.host, server.port))
        reader, writer = await asyncio.open_connection(sock=few, limit=1024)
        key = b64encode(secrets.token_bytes(16)).decode()
        writer.write(
            f"GET / HTTP/1.1\r\nHost: {server.host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        await stalled.wait()
        try:
            yield reader, writer, closed
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, size = await reader.readexactly(2)
    if size == 126:
        size = struct.unpack(">H", await reader.readexactly(2))[0]
    return first & 0x0F, await reader.readexactly(size)


async def read_for_ever(reader: asyncio.StreamReader) -> None:
    while True:
        await read_frame(reader)


async def test_a_client_that_reads_slowly_and_goes_on_talking_comes_to_the_reason() -> None:
    """Its own frames must not reset the connection under what it has not read yet."""

    async def closing(request: web.Request, socket: web.WebSocketResponse) -> None:
        await close_within(client_socket.UNREAD_SECONDS, request, socket, 1013)

    async with asyncio.timeout(SECONDS_MAX), unread(closing) as (reader, writer, closed):
        opcode, frames = 0, 0
        while opcode != WSMsgType.CLOSE:
            opcode, payload = await read_frame(reader)
            frames += 1
            writer.write(TALK)
            if frames % 20 == 0:
                await asyncio.sleep(0.2)
        assert struct.unpack(">H", payload[:2]) == (1013,)
        assert frames > 20
        assert not closed.is_set()
        writer.write(b"\x88\x82\0\0\0\0" + payload[:2])
        await closed.wait()
        assert await reader.read() == b""


async def test_a_client_that_never_reads_is_cut_off() -> None:
    async def closing(request: web.Request, socket: web.WebSocketResponse) -> None:
        await close_within(0.2, request, socket, 1013)

    async with asyncio.timeout(SECONDS_MAX), unread(closing) as (reader, _, closed):
        await closed.wait()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await read_for_ever(reader)


async def test_a_client_that_reads_and_never_answers_is_cut_off() -> None:
    async def closing(request: web.Request, socket: web.WebSocketResponse) -> None:
        await close_within(1.0, request, socket, 1000)

    async with asyncio.timeout(SECONDS_MAX), unread(closing) as (reader, _, closed):
        while (await read_frame(reader))[0] != WSMsgType.CLOSE:
            pass
        await closed.wait()
