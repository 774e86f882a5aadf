"""WebSockets of clients. A wrong key gets an upgrade, no data, and close code 1008: browsers show no HTTP status."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from aiohttp import WSCloseCode, web

from muster.api.auth import Client, authenticate_caller
from muster.api.call import Call, Edge
from muster.api.closing import close_within
from muster.api.operations import Auth
from muster.errors import ErrorCode, MusterError

KEEP_ALIVE_S: Final = 15.0
FRAME_BYTES_MAX: Final = 4096
"""Readers have little to say."""
CLOSE_SECONDS: Final = 5.0
"""Of strangers, and of a server that stops: a client has so long to answer the close frame."""
UNREAD_SECONDS: Final = 30.0
"""So long a client may take to come to the close frame and answer it: one that was not reading has much to read."""
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
    socket = web.WebSocketResponse(heartbeat=KEEP_ALIVE_S, max_msg_size=FRAME_BYTES_MAX, timeout=UNREAD_SECONDS)
    try:
        client = authenticate_caller(call.request, call.edge.credentials, settings, auth, key_in_url=True)
    except MusterError as refusal:
        if refusal.code is not ErrorCode.UNAUTHENTICATED:
            raise
        await socket.prepare(call.request)
        await close_within(
            CLOSE_SECONDS, call.request, socket, WSCloseCode.POLICY_VIOLATION, b"the key is missing or not valid"
        )
        return socket
    if check is not None:
        await check(client)
    await socket.prepare(call.request)
    code: int = WSCloseCode.INTERNAL_ERROR
    call.edge.client_sockets[socket] = call.request
    try:
        code = await talk(client, socket)
    finally:
        call.edge.client_sockets.pop(socket, None)
        await close_within(UNREAD_SECONDS, call.request, socket, code)
    return socket


async def close_client_sockets(edge: Edge) -> None:
    """Tell every client that this server stops."""
    code = WSCloseCode.GOING_AWAY
    sockets = list(edge.client_sockets.items())
    await asyncio.gather(*(close_within(CLOSE_SECONDS, request, socket, code) for socket, request in sockets))


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
