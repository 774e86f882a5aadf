"""A job's log over a WebSocket, for pages that have one open anyway. The same lines as the stream of `logs.py`."""

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import orjson
from aiohttp import WSCloseCode, WSMsgType, web

from muster.api.auth import Client
from muster.api.call import Call
from muster.api.client_socket import KEEP_ALIVE_S, tell
from muster.api.logs import after_line, line_object, wanted_stream
from muster.api.operations import Auth
from muster.api.shared_pages import made_once
from muster.engine.journal import LogPage


async def follow_log(call: Call) -> web.StreamResponse:
    """A page's lines are one frame. A reader that is slow is read for slowly."""
    job_id = call.path["job_id"]
    after, stream = after_line(call.query("after")), wanted_stream(call)

    async def send(client: Client, socket: web.WebSocketResponse) -> int:
        pages = call.engine.follow_logs(client.tenant, job_id, after=after, stream=stream, quiet_s=KEEP_ALIVE_S)
        async with aclosing(pages):
            async for page in pages:
                if page.dropped:
                    await socket.send_str(_text({"type": "dropped", "dropped": page.dropped}))
                if page.items:
                    await socket.send_frame(_lines(page), WSMsgType.TEXT)
                if page.is_end:
                    await socket.send_str(_text({"type": "end", "status": await call.engine.job_status(job_id)}))
                    return WSCloseCode.OK
        return WSCloseCode.GOING_AWAY

    async def known(client: Client) -> None:
        await call.engine.job(client.tenant, job_id)

    return await tell(call, Auth.CLIENT, send, known)


@made_once
def _lines(page: LogPage) -> bytes:
    """Followers at the same place share the page, and this."""
    return orjson.dumps({"type": "lines", "items": [line_object(entry) for entry in page.items]})


def _text(frame: Mapping[str, Any]) -> str:
    return orjson.dumps(frame).decode()
