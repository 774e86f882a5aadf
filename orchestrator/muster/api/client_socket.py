"""WebSockets of clients. A wrong key gets an upgrade, no data, and close code 1008: browsers show no HTTP status."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from aiohttp import WSCloseCode, web

from muster.api.auth import Client, authenticate_caller
from muster.api.call import Call, Edge
from muster.api.operations import Auth
from muster.errors import ErrorCode, MusterError

KEEP_ALIVE_S: Final = 15.0
FRAME_BYTES_MAX: Final = 4096
"""Readers have little to say."""
CLOSE_SECONDS: Final = 5.0
UNREAD_SECONDS: Final = 30.0
"""So long a client that reads nothing may take to come to the close frame."""
NOT_FOUND: Final = 4404
"""Close code: there is no such job, or it is another tenant's."""

Talk: TypeAlias = Callable[[Client, web.WebSocketResponse], Awaitable[int]]
"""Sends what there is to send, and returns the close code."""
Check: TypeAlias = Callable[[Client], Awaitable[None]]


async def tell(call: Call, auth: Auth, talk: Talk, check: Check | None = None) -> web.StreamResponse:
    """A socket on which only the server talks; *talk* is cancelled when the client leaves."""

    async def both(client: Client, socket: web.WebSocketResponse) -> int:
        leaving = asyncio.ensure_future(_until_closed(socket))
        talking = asyncio.ensure_future(talk(client, socket))
        try:
            await asyncio.wait({leaving, talking}, return_when=asyncio.FIRST_COMPLETED)
            return talking.result() if talking.done() else WSCloseCode.OK
        except ConnectionError:
            return WSCloseCode.OK  # it left while we wrote
        finally:
            for task in (leaving, talking):
                task.cancel()
            await asyncio.gather(leaving, talking, return_exceptions=True)

    return await converse(call, auth, both, check)


async def converse(call: Call, auth: Auth, talk: Talk, check: Check | None = None) -> web.StreamResponse:
    """A socket of an authenticated client, for *talk* to read and write; closed with the code that it returns.

    What *check* raises is answered in HTTP, before there is a socket.
    """
    settings = call.edge.settings
    socket = web.WebSocketResponse(heartbeat=KEEP_ALIVE_S, max_msg_size=FRAME_BYTES_MAX, timeout=CLOSE_SECONDS)
    try:
        client = authenticate_caller(call.request, call.edge.credentials, settings, auth, key_in_url=True)
    except MusterError as refusal:
        if refusal.code is not ErrorCode.UNAUTHENTICATED:
            raise
        await socket.prepare(call.request)
        await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"the key is missing or not valid")
        return socket
    if check is not None:
        await check(client)
    await socket.prepare(call.request)
    code: int = WSCloseCode.INTERNAL_ERROR
    call.edge.client_sockets.add(socket)
    try:
        code = await talk(client, socket)
    finally:
        call.edge.client_sockets.discard(socket)
        await _close(call.request, socket, code)
    return socket


async def close_client_sockets(edge: Edge) -> None:
    """Tell every client that this server stops."""
    await asyncio.gather(*(socket.close(code=WSCloseCode.GOING_AWAY) for socket in list(edge.client_sockets)))


async def _close(request: web.Request, socket: web.WebSocketResponse, code: int) -> None:
    try:
        async with asyncio.timeout(UNREAD_SECONDS):
            await socket.close(code=code)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()


def refuse_plain_requests(call: Call) -> None:
    """A guard for operations that are WebSockets."""
    if call.request.headers.get("Upgrade", "").lower() != "websocket":
        raise MusterError(
            ErrorCode.INVALID_PARAMETER,
            "This URL is a WebSocket.",
            hint="Connect with a WebSocket client, as wscat or a browser's WebSocket object.",
        )


async def _until_closed(socket: web.WebSocketResponse) -> None:
    """What the reader sends is not read, but its leaving is noticed."""
    async for _ in socket:
        pass
