"""What happens around every request, from the outside in: id, access log and metrics, CORS, problems."""

import itertools
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import structlog
from aiohttp import hdrs, web

from muster.api.auth import APPROVAL_HEADER, CLIENT_HEADER
from muster.api.call import EDGE, Edge
from muster.api.problems import from_http, from_store, unexpected
from muster.errors import ErrorCode, MusterError
from muster.observe import names
from muster.store.base import StoreFull, StoreUnavailable

Next: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

REQUEST_ID: Final = web.RequestKey("muster.request_id", str)
ROUTE: Final = web.RequestKey("muster.route", str)
"""The template of the operation that answers; set once it is known."""
UNMATCHED: Final = "unmatched"
WENT_AWAY: Final = 499
"""Counted, never sent: the caller left before the answer."""
_SAFE_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_WORKERS: Final = "/_worker/"
_PREFIX: Final = secrets.token_hex(4)
_number = itertools.count(1)
_log = structlog.stdlib.get_logger()


@web.middleware
async def name_request(request: web.Request, handler: Next) -> web.StreamResponse:
    """Give the request an id, or keep the caller's, and send it back."""
    given = request.headers.get("X-Request-Id")
    known = given is not None and _SAFE_ID.fullmatch(given) is not None
    request_id = given if given is not None and known else f"{_PREFIX}-{next(_number):x}"
    request[REQUEST_ID] = request_id
    response = await handler(request)
    if not response.prepared:
        response.headers["X-Request-Id"] = request_id
    return response


@web.middleware
async def observe_request(request: web.Request, handler: Next) -> web.StreamResponse:
    """Count and time the answer. The log holds the route's template and never a query: it may carry tokens."""
    started = time.perf_counter()
    status = WENT_AWAY
    try:
        response = await handler(request)
        status = response.status
        return response
    finally:
        seconds = time.perf_counter() - started
        route = request.get(ROUTE, UNMATCHED)
        edge = request.app[EDGE]
        edge.metrics.request_answered(route=route, method=request.method, status=status, seconds=seconds)
        if edge.settings.log_level == "debug":
            _log.debug(
                names.HTTP_REQUEST,
                method=request.method,
                route=route,
                status=status,
                duration_ms=round(seconds * 1000, 3),
                request_id=request[REQUEST_ID],
            )


@web.middleware
async def share_with_origins(request: web.Request, handler: Next) -> web.StreamResponse:
    """CORS. Workers are no browsers, so their routes are shared with no origin."""
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is None or request.path.startswith(_WORKERS):
        return await handler(request)
    preflight = request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
    response = web.Response(status=204) if preflight else await handler(request)
    if not response.prepared:
        response.headers.update(_cors_headers(request.app[EDGE], origin, preflight=preflight))
    return response


@web.middleware
async def explain_errors(request: web.Request, handler: Next) -> web.StreamResponse:
    """Every error becomes a problem document."""
    try:
        return await handler(request)
    except MusterError as error:
        if error.code in {ErrorCode.UNAUTHENTICATED, ErrorCode.FORBIDDEN}:
            _log.info(names.AUTH_REFUSED, route=request.get(ROUTE, UNMATCHED), reason=error.detail)
        return request.app[EDGE].error_answer(error, request.path)
    except (StoreUnavailable, StoreFull) as trouble:
        _log.warning(names.STORE_LOST, route=request.get(ROUTE, UNMATCHED), error=repr(trouble))
        return request.app[EDGE].error_answer(from_store(trouble), request.path)
    except web.HTTPException as refusal:
        return request.app[EDGE].error_answer(from_http(refusal), request.path)
    except ConnectionError:
        raise  # the caller went away while we wrote: there is nobody to answer
    except Exception as error:  # noqa: BLE001 -- the last line of defence; it is logged with its traceback
        request_id = request[REQUEST_ID]
        _log.exception(names.HTTP_FAILED, route=request.get(ROUTE, UNMATCHED), request_id=request_id)
        development = not request.app[EDGE].settings.is_production
        return request.app[EDGE].error_answer(unexpected(error, request_id, show_traceback=development), request.path)


def headers_of_stream(request: web.Request) -> dict[str, str]:
    """What the middlewares add to an answer afterwards, for one that is sent while it is made; and no buffering."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Request-Id": request[REQUEST_ID]}
    origin = request.headers.get(hdrs.ORIGIN)
    return headers if origin is None else {**headers, **_cors_headers(request.app[EDGE], origin, preflight=False)}


def _cors_headers(edge: Edge, origin: str, *, preflight: bool) -> dict[str, str]:
    settings = edge.settings
    headers: dict[str, str] = {} if settings.any_origin_allowed else {hdrs.VARY: hdrs.ORIGIN}
    if settings.any_origin_allowed:
        headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = "*"
    elif origin in settings.cors_origins:
        headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
    else:
        return headers
    if not preflight:
        headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = "Location, Preference-Applied, Retry-After, X-Request-Id"
        return headers
    allowed = ("Authorization", "Content-Type", CLIENT_HEADER, settings.api_key_header, APPROVAL_HEADER)
    headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = ", ".join((*allowed, "Idempotency-Key", "Last-Event-ID", "Prefer"))
    headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = "GET, HEAD, POST, PUT, PATCH, DELETE"
    headers[hdrs.ACCESS_CONTROL_MAX_AGE] = "600"
    return headers
