"""Probes: alive (the process answers), ready (it may be sent requests)."""

import asyncio
from typing import Final

from aiohttp import web

from muster.api.call import Call, json_answer
from muster.errors import ErrorCode, MusterError
from muster.store.base import StoreUnavailable
from muster.version import product_version

READY_TIMEOUT_S: Final = 2.0


async def livez(call: Call) -> web.Response:  # noqa: ARG001 -- every handler takes the call
    return json_answer({"status": "ok"})


async def readyz(call: Call) -> web.Response:
    if await _ready(call):
        return json_answer({"status": "ok"})
    raise MusterError(
        ErrorCode.STORE_UNAVAILABLE,
        "Not ready: the store cannot be reached, or the server is going down.",
        hint="Send requests to another server until this one answers 200.",
    )


async def healthz(call: Call) -> web.Response:
    ready = await _ready(call)
    return json_answer(
        {
            "status": "ok" if ready else "unavailable",
            "version": product_version(),
            "mode": call.edge.settings.mode,
            "ready": ready,
        },
        status=200 if ready else 503,
        headers=None if ready else {"Retry-After": "1"},
    )


async def _ready(call: Call) -> bool:
    try:
        return await asyncio.wait_for(call.engine.ready(), READY_TIMEOUT_S)
    except (MusterError, StoreUnavailable, TimeoutError):
        return False
