"""Whether the server reaches its store, in RGrid's words."""

import time

from aiohttp import web

from muster.api.call import Call, json_answer
from muster.api.wire import time_text
from muster.core.ids import UnixMs
from muster.version import product_version


async def get_executions_health(call: Call) -> web.Response:
    """Always 200: the text says whether the store answers."""
    db = "connected" if await call.engine.ready() else "disconnected"
    now = UnixMs(int(time.time() * 1000))
    return json_answer({"status": f"ok (db: {db})", "version": product_version(), "timestamp": time_text(now)})
