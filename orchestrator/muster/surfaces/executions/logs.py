"""The lines of an execution: followed over a WebSocket, and told by runners one at a time.

Clients number lines from 0, the journal from 1: a line's `sequence_number` is its number there less one.
"""

import hashlib
import re
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, Final

import orjson
from aiohttp import WSCloseCode, WSMsgType, hdrs, web
from muster_worker.codec import encode

from muster.api import client_socket
from muster.api.auth import (
    CLIENT_HEADER,
    WORKER_HEADER,
    Client,
    WorkerIdentity,
    authenticate_client,
    authenticate_worker,
)
from muster.api.body import validated
from muster.api.call import Call, json_answer
from muster.api.operations import Auth
from muster.api.shared_pages import made_once
from muster.api.wire import time_text
from muster.core.ids import UnixMs
from muster.engine.journal import LogEntry
from muster.engine.live_events import LineCame, LinePlace
from muster.engine.story import Page
from muster.errors import ErrorCode, MusterError
from muster.surfaces.command_job import exit_code_of
from muster.surfaces.executions.models import LogLine, StreamLogLine, moment_of
from muster.surfaces.executions.shapes import SURFACE
from muster.surfaces.words import word

FROM_THE_START: Final = -1
OUTPUT: Final = ("stdout", "stderr")
MS: Final = 1000
_CURSOR: Final = re.compile(r"-1|[0-9]{1,15}")
_NUMBER: Final = re.compile(r"[0-9]{1,15}")


async def follow_execution_log(call: Call) -> web.StreamResponse:
    """Frames `log`, at last `complete`, then close code 1000. An unknown execution: `error` and 4404."""

    async def talk(client: Client, socket: web.WebSocketResponse) -> int:
        return await _talk(call, client, socket)

    return await client_socket.tell(call, Auth.CLIENT, talk)


async def _talk(call: Call, client: Client, socket: web.WebSocketResponse) -> int:
    execution_id, given = call.path["execution_id"], call.query("cursor")
    cursor = str(FROM_THE_START) if given is None else given
    if _CURSOR.fullmatch(cursor) is None:
        await socket.send_str(_error(execution_id, f"cursor={cursor[:100]!r} is not an integer from -1"))
        return WSCloseCode.POLICY_VIOLATION
    after, quiet_s = LinePlace(int(cursor) + 1), client_socket.KEEP_ALIVE_S
    pages = call.engine.follow_pages(client.tenant, execution_id, after=after, quiet_s=quiet_s)
    try:
        async with aclosing(pages):
            async for page in pages:
                if page is None:
                    continue
                for frame in _frames(page):
                    await socket.send_frame(frame, WSMsgType.TEXT)
                if page.is_end:
                    await socket.send_str(await _complete(call, client, execution_id))
                    return WSCloseCode.OK
        await call.engine.job(client.tenant, execution_id)  # it ends where the job was deleted, too
    except MusterError as error:
        if error.code is not ErrorCode.JOB_NOT_FOUND:
            raise
        await socket.send_str(_error(execution_id, "Execution not found"))
        return client_socket.NOT_FOUND
    return WSCloseCode.GOING_AWAY


async def stream_log_line(call: Call) -> web.Response:
    """Keeps one line and shows it to whoever follows. A number that is known already changes nothing."""
    line = _line_of(call)
    execution_id = call.path["execution_id"]
    at = None if line.timestamp is None else UnixMs(round(moment_of(line.timestamp).timestamp() * MS))
    try:
        await call.engine.note_line(
            execution_id,
            tenant=None if call.client is None else call.client.tenant,
            worker=None if call.identity is None else call.identity.worker_id,
            seq=line.sequence_number + 1,
            stream=line.stream,
            text=line.message.removesuffix("\n").removesuffix("\r"),
            at=at,
        )
    except MusterError as error:
        if error.code is ErrorCode.JOB_NOT_FOUND:
            raise MusterError(error.code, "Execution not found") from None
        raise
    return json_answer({"status": "ok", "log_id": log_id(execution_id, line.sequence_number)})


def let_runners_and_owners_in(call: Call) -> None:
    """A guard: a worker's token, as its own header or as Bearer, or a client's. Beside a worker's, a client's is valid.

    Raises:
        MusterError: UNAUTHENTICATED.
    """
    request, credentials = call.request, call.edge.credentials
    api_key_header = call.edge.settings.api_key_header
    is_alone = CLIENT_HEADER not in request.headers and api_key_header not in request.headers
    if WORKER_HEADER in request.headers:
        call.identity = authenticate_worker(request, credentials)
        carries_more = not is_alone or hdrs.AUTHORIZATION in request.headers
        if carries_more and not (is_alone and _bearing_worker(call) == call.identity):
            authenticate_client(request, credentials, api_key_header)
        return
    try:
        call.client = authenticate_client(request, credentials, api_key_header)
    except MusterError as refusal:
        if refusal.code is not ErrorCode.UNAUTHENTICATED:
            raise
        call.identity = _bearing_worker(call) if is_alone else None
        if call.identity is None:
            raise


def _bearing_worker(call: Call) -> WorkerIdentity | None:
    """The worker whose token the request carries as Bearer."""
    scheme, _, token = call.request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    return call.edge.credentials.worker(token.strip().encode("utf-8", "surrogateescape"))


def log_id(execution_id: str, sequence_number: int) -> str:
    """The same for the same line, whoever asks.

    >>> log_id("018f0000-0000-7005-8000-000000000001", 0)
    'log_ddb3fe7e15d4c6d0'
    """
    return "log_" + hashlib.blake2b(f"{execution_id}|{sequence_number}".encode(), digest_size=8).hexdigest()


def _line_of(call: Call) -> LogLine:
    """Members of the body, and of the query where the body has them not."""
    query = call.request.query
    given: dict[str, Any] = {name: query[name] for name in StreamLogLine.model_fields if name in query}
    number = given.get("sequence_number")
    if number is not None and _NUMBER.fullmatch(number):
        given["sequence_number"] = int(number)
    if call.payload is not None:
        told = call.body(StreamLogLine)
        given |= {name: getattr(told, name) for name in told.model_fields_set}
    return validated(LogLine, given)


@made_once
def _frames(page: Page) -> tuple[bytes, ...]:
    """Followers at the same place share the page, and this."""
    lines = (event for event in page.events if isinstance(event, LineCame))
    return tuple(_log(line.job_id, line.entry) for line in lines if line.entry.stream in OUTPUT)


def _log(execution_id: str, entry: LogEntry) -> bytes:
    return encode(
        {
            "type": "log",
            "log_id": log_id(execution_id, entry.seq - 1),
            "execution_id": execution_id,
            "sequence_number": entry.seq - 1,
            "timestamp": time_text(entry.at),
            "stream": entry.stream,
            "message": entry.text,
        }
    )


async def _complete(call: Call, client: Client, execution_id: str) -> str:
    record = await call.engine.job(client.tenant, execution_id)
    return _text(
        {
            "type": "complete",
            "execution_id": execution_id,
            "exit_code": exit_code_of(record),
            "status": word(SURFACE, record),
        }
    )


def _error(execution_id: str, text: str) -> str:
    return _text({"type": "error", "execution_id": execution_id, "error": text})


def _text(frame: Mapping[str, Any]) -> str:
    return orjson.dumps(frame).decode()
