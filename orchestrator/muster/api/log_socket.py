"""A job's log over a WebSocket, for pages that have one open anyway. The same lines as the stream of `logs.py`."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import lru_cache
from typing import Any, Final

import orjson
from aiohttp import WSCloseCode, web

from muster.api.auth import Client, authenticate_client
from muster.api.call import Call
from muster.api.logs import KEEP_ALIVE_S, after_line, line_object, wanted_stream
from muster.engine.journal import LogPage
from muster.errors import ErrorCode, MusterError

FRAME_BYTES_MAX: Final = 4096
"""Readers have nothing to say."""
CLOSE_SECONDS: Final = 5


async def follow_log(call: Call) -> web.StreamResponse:
    """A page's lines are one frame. A wrong key gets an upgrade, no data, and close code 1008."""
    client = _client(call)
    if client is None:
        return await _refuse(call)
    job_id = call.path["job_id"]
    after, stream = after_line(call.query("after")), wanted_stream(call)
    await call.engine.job(client.tenant, job_id)
    socket = web.WebSocketResponse(heartbeat=KEEP_ALIVE_S, max_msg_size=FRAME_BYTES_MAX, timeout=CLOSE_SECONDS)
    await socket.prepare(call.request)
    leaving = asyncio.ensure_future(_until_closed(socket))
    pages = call.engine.follow_logs(client.tenant, job_id, after=after, stream=stream, quiet_s=KEEP_ALIVE_S)
    sending = asyncio.ensure_future(_send(call, socket, pages))
    try:
        await asyncio.wait({leaving, sending}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (leaving, sending):
            task.cancel()
        await asyncio.gather(leaving, sending, return_exceptions=True)
    await socket.close(code=WSCloseCode.OK if _was_told_all(sending) else WSCloseCode.GOING_AWAY)
    return socket


def refuse_plain_requests(call: Call) -> None:
    if call.request.headers.get("Upgrade", "").lower() != "websocket":
        raise MusterError(
            ErrorCode.INVALID_PARAMETER,
            "This URL is a WebSocket.",
            hint="Connect with a WebSocket client; over plain HTTP use …/logs?follow.",
        )


def _client(call: Call) -> Client | None:
    """Browsers cannot send headers with a WebSocket: here, and only here, the key may be in the URL."""
    settings = call.edge.settings
    try:
        return authenticate_client(call.request, call.edge.credentials, settings.api_key_header, key_in_url=True)
    except MusterError:
        return None


async def _refuse(call: Call) -> web.StreamResponse:
    socket = web.WebSocketResponse(timeout=CLOSE_SECONDS)
    await socket.prepare(call.request)
    await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"the key is missing or not valid")
    return socket


async def _until_closed(socket: web.WebSocketResponse) -> None:
    """What the reader sends is not read, but its leaving is noticed."""
    async for _ in socket:
        pass


async def _send(call: Call, socket: web.WebSocketResponse, pages: AsyncGenerator[LogPage, None]) -> bool:
    """True once the job's last line was sent. A reader that is slow is read for slowly."""
    async with aclosing(pages):
        async for page in pages:
            if page.dropped:
                await socket.send_str(_text({"type": "dropped", "dropped": page.dropped}))
            if page.items:
                await socket.send_str(_lines(page))
            if page.is_end:
                status = await call.engine.job_status(call.path["job_id"])
                await socket.send_str(_text({"type": "end", "status": status}))
                return True
    return False


@lru_cache(maxsize=16)
def _lines(page: LogPage) -> str:
    """Followers at the same place share the page, and this; hence the small number that is remembered."""
    return _text({"type": "lines", "items": [line_object(entry) for entry in page.items]})


def _text(frame: Mapping[str, Any]) -> str:
    return orjson.dumps(frame).decode()


def _was_told_all(sending: "asyncio.Future[bool]") -> bool:
    return sending.done() and not sending.cancelled() and sending.exception() is None and sending.result()
