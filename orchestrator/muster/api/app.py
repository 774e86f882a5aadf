"""The aiohttp application: one dispatcher over the table of operations, middlewares around it."""

import asyncio
from collections.abc import Mapping, Sequence

from aiohttp import web

from muster.api.approval_page import PREFIX, page_of_error
from muster.api.auth import Credentials, authenticate_caller, authenticate_worker, authorize_operator, authorize_worker
from muster.api.body import parse_object, read_bytes, validated
from muster.api.call import EDGE, Call, Edge, Envelope
from muster.api.client_socket import close_client_sockets
from muster.api.middleware import ROUTE, explain_errors, name_request, observe_request, share_with_origins
from muster.api.openapi import Reference
from muster.api.operations import INVALID, NDJSON, Auth, Operation, Router
from muster.api.ports import Engine
from muster.api.routes import OPERATIONS
from muster.api.socket import close_sockets
from muster.core.ids import is_job_id, is_worker_id
from muster.errors import ErrorCode, MusterError
from muster.settings import Settings


def create_app(
    engine: Engine,
    settings: Settings,
    credentials: Credentials,
    *,
    operations: Sequence[Operation] = OPERATIONS,
    envelopes: Mapping[str, Envelope] | None = None,
) -> web.Application:
    """The server's application. Run it with `handler_cancellation=True`: a poller that leaves frees its wait.

    Raises:
        RouteCollisionError: a blueprint's URL is one of the fixed ones.
    """
    shown = tuple(row for row in operations if not (row.development_only and settings.is_production))
    router = Router(shown, engine.blueprints)
    router.check_blueprints()
    app = web.Application(
        middlewares=[name_request, observe_request, share_with_origins, explain_errors],
        client_max_size=settings.max_body_bytes,
    )
    app[EDGE] = Edge(
        engine=engine,
        settings=settings,
        credentials=credentials,
        metrics=engine.counters,
        router=router,
        reference=Reference(shown, engine.blueprints, settings.api_key_header),
        envelopes={PREFIX: page_of_error, **(envelopes or {})},
    )
    for path in dict.fromkeys(row.path for row in shown if "{" not in row.path):
        app.router.add_route("*", path, _dispatch)  # found faster than by the pattern below
    app.router.add_route("*", "/{path:.*}", _dispatch)
    app.on_shutdown.append(_close_sockets)
    return app


async def _dispatch(request: web.Request) -> web.StreamResponse:
    """Who, then what it says, then whether it exists: nothing is learned about foreign ids on the way."""
    edge = request.app[EDGE]
    match = edge.router.resolve(request.method, request.rel_url.raw_path)
    operation = match.operation
    request[ROUTE] = operation.path
    call = Call(request, edge, operation, match.path)
    if not operation.unprocessable:
        return await _answer(call)
    try:
        return await _answer(call)
    except MusterError as error:
        if error.code in INVALID:
            raise MusterError(ErrorCode.UNPROCESSABLE, error.detail, hint=error.hint, extra=error.extra) from error
        raise


async def _answer(call: Call) -> web.StreamResponse:
    operation = call.operation
    if operation.auth is not Auth.NONE:
        _authenticate(call)
    if operation.guard is not None:
        operation.guard(call)
    if operation.body is not None and not (operation.takes_lines and call.request.content_type == NDJSON):
        await _read_body(call)
    _refuse_impossible_ids(call)
    return await operation.handler(call)


def _authenticate(call: Call) -> None:
    edge = call.edge
    if call.operation.auth.is_client:
        call.client = authenticate_caller(call.request, edge.credentials, edge.settings, call.operation.auth)
        if call.operation.auth is Auth.OPERATOR:
            authorize_operator(call.client, edge.settings)
        return
    call.identity = authenticate_worker(call.request, edge.credentials)
    worker_id = call.path.get("worker_id")
    if worker_id is not None:
        authorize_worker(call.identity, edge.credentials, worker_id)


async def _read_body(call: Call) -> None:
    operation, bytes_max = call.operation, call.edge.settings.max_body_bytes
    assert operation.body is not None, operation.path
    if operation.body_bytes_max is not None:
        bytes_max = min(bytes_max, operation.body_bytes_max)
    data = await read_bytes(call.request, bytes_max)
    if data or not operation.empty_body_is_none:
        call.payload = validated(operation.body, parse_object(data))


def _refuse_impossible_ids(call: Call) -> None:
    """What cannot be an id is unknown, without asking the store."""
    job_id, worker_id = call.path.get("job_id"), call.path.get("worker_id")
    if job_id is not None and not is_job_id(job_id):
        raise MusterError(ErrorCode.JOB_NOT_FOUND, "Job not found")
    if worker_id is not None and not is_worker_id(worker_id):
        raise MusterError(ErrorCode.WORKER_NOT_FOUND, "Worker not found", hint="Register first.")


async def _close_sockets(app: web.Application) -> None:
    await asyncio.gather(close_sockets(app[EDGE]), close_client_sockets(app[EDGE]))
