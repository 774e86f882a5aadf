"""Routes without credentials: they must be safe from the open internet and from a browser on this machine."""

import asyncio
from typing import Final
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from muster.api.approval_models import Approve
from muster.api.auth import APPROVAL_HEADER
from muster.api.call import Call, json_answer
from muster.api.nearby import host_name
from muster.engine.approvals import Caller, Given
from muster.errors import ErrorCode, MusterError
from muster.observe import names
from muster.observe.metrics import CONTENT_TYPE, FleetCounts
from muster.settings import is_loopback

FLEET_TIMEOUT_S: Final = 2.0
"""A scrape waits no longer for the store: the process's own counters matter most when it is down."""
_STATUS_OK: Final = b'{"status":"ok"}'
_log = structlog.stdlib.get_logger()


async def status(call: Call) -> web.Response:  # noqa: ARG001 -- every handler takes the call
    return web.Response(body=_STATUS_OK, content_type="application/json")


async def metrics(call: Call) -> web.Response:
    body = call.edge.metrics.render(await _fleet_counts(call))
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})


async def approve(call: Call) -> web.Response:
    """An outside system answers a job's question."""
    body = call.body(Approve)
    job_id = call.path["job_id"]
    token = call.request.headers.get(APPROVAL_HEADER) or call.query("token")
    given = Given(body.decision, body.by, body.comment or "", body.form)
    await call.engine.approvals.decide(job_id, given, Caller(token=token))
    return json_answer({"status": "approval_received", "job_id": job_id})


async def flush_db(call: Call) -> web.Response:
    await call.engine.flush()
    _log.warning(names.STORE_FLUSHED)
    return json_answer({"status": "db_flushed"})


def refuse_other_sites(call: Call) -> None:
    """A page of another site must not be able to act through the browser of someone who opened it."""
    request = call.request
    if request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin", "same-site"}:
        raise _forbidden("Pages of other sites may not do this.")
    origin = request.headers.get("Origin")
    if origin is None or origin in call.edge.settings.cors_origins:
        return
    if not request.host or urlsplit(origin).netloc.lower() != request.host.lower():
        raise _forbidden(f"Pages of {origin[:200]!r} may not do this.")


def refuse_far_callers(call: Call) -> None:
    """Only a process of this machine that calls this machine by a local name, and no page of another site."""
    request = call.request
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    if isinstance(peer, tuple) and not is_loopback(str(peer[0])):
        raise _forbidden("Only a caller on this machine may do this.")
    if not is_loopback(host_name(request.host)):
        raise _forbidden(f"The Host {request.host[:200]!r} is not a name of this machine.")
    if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        raise _forbidden("A forwarded request may come from anywhere.")
    if request.headers.get("Sec-Fetch-Site") == "same-site":
        raise _forbidden("Pages of other sites may not do this.")
    refuse_other_sites(call)


async def _fleet_counts(call: Call) -> FleetCounts | None:
    try:
        return await asyncio.wait_for(call.engine.dashboard(), FLEET_TIMEOUT_S)
    except Exception as error:  # noqa: BLE001 -- whatever ails the store, the own counters are told
        _log.warning(names.FLEET_COUNTS_UNAVAILABLE, error=repr(error))
        return None


def _forbidden(detail: str) -> MusterError:
    return MusterError(ErrorCode.FORBIDDEN, detail, hint="Call it from a program instead, for example with curl.")
