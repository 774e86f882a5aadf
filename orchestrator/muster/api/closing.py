"""The end of a WebSocket, so that its client learns why, and that none is held for ever."""

import asyncio

from aiohttp import WSCloseCode, web


async def close_within(
    seconds: float, request: web.Request, socket: web.WebSocketResponse, code: int, message: bytes = b""
) -> None:
    """Tell the client why, after what is on its way to it; one that has not answered after *seconds* is cut off.

    Until then what it says is still read. A connection that is closed with unread input is reset, and then the
    client's system throws away what it had not read yet, the reason too. Nothing waits for the connection to take
    the frame: where a sender was cancelled while it waited for that, aiohttp ends every later wait as cancelled.
    """
    transport = request.transport
    try:
        async with asyncio.timeout(seconds):
            await socket.close(code=code, message=message, drain=False)
    except TimeoutError:
        pass
    finally:
        if socket.close_code == WSCloseCode.ABNORMAL_CLOSURE and transport is not None:
            transport.abort()  # else it would wait for the client to read what is left
