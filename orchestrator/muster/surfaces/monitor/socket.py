"""The WebSocket: everything that happens to one's executions, or to those one asked for."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, Final

import orjson
import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from muster.api.auth import Client
from muster.api.call import Call
from muster.api.client_socket import KEEP_ALIVE_S, converse
from muster.api.operations import Auth
from muster.api.ports import Engine
from muster.engine.live_events import LinePlace, LiveEvent
from muster.errors import ErrorCode, MusterError
from muster.surfaces.monitor.clients import CLIENTS
from muster.surfaces.monitor.envelope import now_text
from muster.surfaces.monitor.execution_view import execution_object
from muster.surfaces.monitor.outbox import NotReading, Outbox
from muster.surfaces.monitor.steps import steps_of
from muster.surfaces.monitor.telling import Teller, error_message, message

SUBSCRIPTIONS_MAX: Final = 100
"""Of one connection, to executions that go on; who wants more subscribes to none and gets all."""
_OF_ONE: Final = frozenset({"subscribe", "unsubscribe", "get_status"})
_log = structlog.stdlib.get_logger()


async def follow_executions(call: Call) -> web.StreamResponse:
    """Frames `{"type", "data", "timestamp"}`. A wrong key, or none while one is needed, is closed with 1008."""

    async def talk(client: Client, socket: web.WebSocketResponse) -> int:
        with CLIENTS.joined() as number:
            return await Conversation(call.engine, client.tenant, socket, number).run()

    return await converse(call, Auth.MONITOR, talk)


class Conversation:
    """With one client. Until its first subscription it is told of all executions of its tenant."""

    def __init__(self, engine: Engine, tenant: str, socket: web.WebSocketResponse, number: int) -> None:
        self._engine = engine
        self._tenant = tenant
        self._socket = socket
        self._number = number
        self._outbox = Outbox(socket)
        self._over: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        self._of_all: asyncio.Task[None] | None = None
        self._of_one: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> int:
        """Returns the close code."""
        counts = {"server_time": now_text(), "connected_clients": CLIENTS.connected}
        await self._outbox.put(message("connection_established", {"client_id": self._number, **counts}))
        self._spawn(self._outbox.send())
        self._of_all = self._spawn(self._tell_all())
        self._spawn(self._listen())
        try:
            return await self._over
        finally:
            await _end(*self._tasks)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(self._until_done(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _until_done(self, work: Coroutine[Any, Any, None]) -> None:
        """A part that fails ends the conversation."""
        try:
            await work
        except NotReading:
            self._end_with(WSCloseCode.TRY_AGAIN_LATER)
        except ConnectionError:
            self._end_with(WSCloseCode.OK)  # it left while we wrote
        except Exception:  # noqa: BLE001 -- the last line of defence; it is logged with its traceback
            _log.exception("monitor_socket_failed")
            self._end_with(WSCloseCode.INTERNAL_ERROR)

    def _end_with(self, code: int) -> None:
        if not self._over.done():
            self._over.set_result(code)

    # What the client says

    async def _listen(self) -> None:
        async for frame in self._socket:
            if frame.type is WSMsgType.TEXT:
                await self._take(frame.data)
            else:
                await self._refuse(None, "Only text frames are understood.", "INVALID_MESSAGE")
        self._end_with(WSCloseCode.OK)

    async def _take(self, text: str) -> None:
        try:
            said = orjson.loads(text)
        except orjson.JSONDecodeError:
            said = None
        kind = said.get("type") if isinstance(said, Mapping) else None
        if not isinstance(said, Mapping) or not isinstance(kind, str):
            await self._refuse(None, 'A message is a JSON object with a "type".', "INVALID_MESSAGE")
        elif kind == "ping":
            await self._outbox.put(message("pong", {}))
        elif kind not in _OF_ONE:
            await self._refuse(None, f"There is no message {kind[:100]!r}.", "UNKNOWN_TYPE")
        else:
            await self._take_of_one(kind, said.get("data"))

    async def _take_of_one(self, kind: str, data: object) -> None:
        execution_id = data.get("execution_id") if isinstance(data, Mapping) else None
        if not isinstance(execution_id, str) or not execution_id:
            await self._refuse(None, 'Its "data" must be an object with an "execution_id".', "INVALID_MESSAGE")
            return
        try:
            if kind == "subscribe":
                await self._subscribe(execution_id)
            elif kind == "unsubscribe":
                await self._unsubscribe(execution_id)
            else:
                await self._tell_status(execution_id)
        except MusterError as error:
            if error.code is not ErrorCode.JOB_NOT_FOUND:
                raise
            await self._refuse(execution_id, "Execution not found", "EXECUTION_NOT_FOUND")

    async def _refuse(self, execution_id: str | None, text: str, code: str) -> None:
        await self._outbox.put(error_message(execution_id, text, code))

    async def _subscribe(self, execution_id: str) -> None:
        record = await self._engine.job(self._tenant, execution_id)
        known = self._of_one.pop(record.id, None)
        if known is None and len(self._of_one) >= SUBSCRIPTIONS_MAX:
            text = f"A connection may name {SUBSCRIPTIONS_MAX} executions; one that names none is told of all."
            await self._refuse(execution_id, text, "TOO_MANY_SUBSCRIPTIONS")
            return
        of_all, self._of_all = self._of_all, None
        await _end(*(task for task in (known, of_all) if task is not None))
        await self._outbox.put(message("subscribed", {"execution_id": record.id}))
        self._of_one[record.id] = self._spawn(self._tell_one(record.id))

    async def _unsubscribe(self, execution_id: str) -> None:
        known = self._of_one.pop(execution_id, None)
        if known is None:
            await self._engine.job(self._tenant, execution_id)
        else:
            await _end(known)
        await self._outbox.put(message("unsubscribed", {"execution_id": execution_id}))

    async def _tell_status(self, execution_id: str) -> None:
        record = await self._engine.job(self._tenant, execution_id)
        steps = await steps_of(self._engine, record)
        shown = {"execution": execution_object(record, steps), "steps": steps.items}
        await self._outbox.put(message("execution_status", {"execution_id": record.id, **shown}))

    # What it is told

    async def _tell_all(self) -> None:
        teller = Teller(self._engine)
        await self._tell(teller, self._engine.follow_tenant(self._tenant, quiet_s=KEEP_ALIVE_S))
        # It ends where this server stops, and where so much happened that the client cannot be told all of it.
        too_slow = await self._engine.ready()
        self._end_with(WSCloseCode.TRY_AGAIN_LATER if too_slow else WSCloseCode.GOING_AWAY)

    async def _tell_one(self, execution_id: str) -> None:
        """What is so far, without its lines, and what comes."""
        teller = Teller(self._engine)
        try:
            line = LinePlace(await self._engine.last_line(self._tenant, execution_id))
            events = self._engine.follow_job(self._tenant, execution_id, after=line, quiet_s=KEEP_ALIVE_S)
            await self._tell(teller, events)
            if not teller.has_told_an_end:
                await self._engine.job(self._tenant, execution_id)
                self._end_with(WSCloseCode.GOING_AWAY)  # it goes on, but not here: this server stops
        except MusterError as error:
            if error.code is not ErrorCode.JOB_NOT_FOUND:
                raise
            for said in await teller.deleted():
                await self._outbox.put(said)
        self._of_one.pop(execution_id, None)

    async def _tell(self, teller: Teller, events: AsyncGenerator[LiveEvent | None, None]) -> None:
        async with aclosing(events):
            async for event in events:
                for said in await (teller.deleted() if event is None else teller.messages(event)):
                    await self._outbox.put(said)


async def _end(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
