"""The worker's WebSocket: commands and tasks go out, progress and credits come in.

Whoever may not have it gets no upgrade.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import orjson
import structlog
from aiohttp import WSCloseCode, WSMsgType, web
from muster_worker.wire import Number, Wire
from pydantic import Field, StrictStr, ValidationError

from muster.api.body import parse_json
from muster.api.call import Call, Edge, plain
from muster.api.closing import close_within
from muster.api.stream import CreditFrame, TaskStream
from muster.core.ids import split_task_id
from muster.errors import ErrorCode, MusterError
from muster.observe import names
from muster.store.base import StoreFull, StoreUnavailable

FRAME_BYTES_MAX: Final = 64 * 1024
PING_SECONDS: Final = 30
CLOSE_SECONDS: Final = 5
"""A peer that does not take our close frame, or does not answer it, is dropped after this time."""
REPLACED: Final = 4409
_log = structlog.stdlib.get_logger()


class ProgressFrame(Wire):
    """What a worker may tell of a task."""

    event: Literal["progress"]
    job_id: StrictStr
    task_id: StrictStr
    progress: Annotated[Number, Field(ge=0, le=1)]
    message: Annotated[StrictStr, Field(max_length=2000)] = ""


class WorkerSocket:
    """One connection. Commands that come before the upgrade is done are kept until it is."""

    def __init__(self, edge: Edge, worker_id: str) -> None:
        self.worker_id = worker_id
        self._edge = edge
        self._stream = web.WebSocketResponse(
            heartbeat=PING_SECONDS, max_msg_size=FRAME_BYTES_MAX, compress=False, timeout=CLOSE_SECONDS
        )
        self._early: list[Mapping[str, Any]] | None = []
        self._closing: tuple[int, bytes] | None = None
        self._request: web.Request | None = None
        self._tasks = TaskStream(edge.engine, edge.settings, worker_id, send=self._send, close=self._close)

    async def send_cancel(self, job_id: str, task_id: str) -> bool:
        """Send `cancel_task`; False when the connection is gone."""
        return await self._command({"command": "cancel_task", "task_id": task_id, "job_id": job_id})

    async def send_order(self, order: str, slots: int | None) -> bool:
        """Send `drain`, `resume`, `disconnect` or `resize`; False when the connection is gone."""
        return await self._command({"command": order, **({} if slots is None else {"slots": slots})})

    async def _command(self, frame: Mapping[str, Any]) -> bool:
        if self._closing is not None:
            return False
        if self._early is not None:
            self._early.append(frame)
            return True
        return await self._send(frame)

    async def close_replaced(self) -> None:
        """Another connection of the worker took over. Does not wait for the old peer, which may be dead."""
        self._close(REPLACED, b"replaced")

    async def close_going_away(self) -> None:
        """The server goes down: say so, and wait a moment for the peer's answer."""
        self._closing = (WSCloseCode.GOING_AWAY, b"shutting down")
        self._tasks.end()
        await self._close_now(*self._closing)

    async def serve(self, call: Call) -> web.WebSocketResponse:
        """Upgrade, then read until either side closes."""
        await self._stream.prepare(call.request)
        self._request = call.request
        early, self._early = self._early or [], None
        for frame in early:
            await self._send(frame)
        if self._closing is not None:
            await self._close_now(*self._closing)
        try:
            async for message in self._stream:
                if message.type is WSMsgType.TEXT:
                    await self._read(message.data)
        finally:
            self._tasks.end()
        return self._stream

    def _close(self, code: int, reason: bytes) -> None:
        self._closing = (code, reason)
        self._tasks.end()
        if self._request is not None:
            closing = asyncio.create_task(self._close_now(code, reason))
            self._edge.background.add(closing)
            closing.add_done_callback(self._edge.background.discard)

    async def _close_now(self, code: int, reason: bytes) -> None:
        if self._request is not None:
            await close_within(CLOSE_SECONDS, self._request, self._stream, code, reason)

    async def _send(self, frame: Mapping[str, Any]) -> bool:
        if self._stream.closed:
            return False
        try:
            await self._stream.send_frame(orjson.dumps(frame, default=plain), WSMsgType.TEXT)
        except (ConnectionError, RuntimeError):
            return False
        return True

    async def _read(self, text: str) -> None:
        """A frame that cannot be read, or that speaks of another job's task, changes nothing."""
        try:
            value = parse_json(text.encode())
            if isinstance(value, dict) and value.get("event") == "credit":
                await self._tasks.credit(CreditFrame.model_validate(value))
            else:
                await self._progress(ProgressFrame.model_validate(value))
        except (MusterError, ValidationError, StoreUnavailable, StoreFull) as ignored:
            code = ignored.code if isinstance(ignored, MusterError) else type(ignored).__name__
            _log.debug(names.WORKER_FRAME_IGNORED, worker_id=self.worker_id, code=str(code))

    async def _progress(self, frame: ProgressFrame) -> None:
        _refuse_foreign_task(frame)
        await self._edge.engine.progress(self.worker_id, frame.task_id, float(frame.progress), frame.message)


async def worker_socket(call: Call) -> web.StreamResponse:
    """Commands for a registered worker, until the connection ends."""
    socket = WorkerSocket(call.edge, call.path["worker_id"])
    try:
        await call.engine.attach_socket(socket.worker_id, socket)
        call.edge.sockets.add(socket)
        _log.debug(names.WORKER_SOCKET_OPENED, worker_id=socket.worker_id)
        return await socket.serve(call)
    finally:
        call.edge.sockets.discard(socket)
        _log.debug(names.WORKER_SOCKET_CLOSED, worker_id=socket.worker_id)
        with contextlib.suppress(MusterError, StoreUnavailable, StoreFull):
            await call.engine.detach_socket(socket.worker_id, socket)


def refuse_pages_and_plain_requests(call: Call) -> None:
    """Workers are no browsers: a page that opens this socket is an attack, unless its origin is allowed.

    Some libraries of programs name the server itself as the origin; that is no other site's page.
    """
    request = call.request
    origin = request.headers.get("Origin")
    own = {f"{scheme}://{request.host}" for scheme in ("http", "https")}
    if origin is not None and origin not in own and origin not in call.edge.settings.cors_origins:
        raise MusterError(
            ErrorCode.FORBIDDEN,
            f"Pages of {origin[:200]!r} may not connect as a worker.",
            hint="Add the origin to MUSTER_CORS_ORIGINS if it is yours.",
        )
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise MusterError(
            ErrorCode.INVALID_PARAMETER,
            "This URL is a WebSocket.",
            hint="Connect with a WebSocket client; over plain HTTP use …/tasks/next.",
        )


async def close_sockets(edge: Edge) -> None:
    """At shutdown: every worker is told to connect elsewhere."""
    await asyncio.gather(*(socket.close_going_away() for socket in list(edge.sockets)))


def _refuse_foreign_task(frame: ProgressFrame) -> None:
    parts = split_task_id(frame.task_id)
    if parts is None or parts[0] != frame.job_id:
        raise MusterError(ErrorCode.TASK_NOT_FOUND, "The task is not of this job.")
