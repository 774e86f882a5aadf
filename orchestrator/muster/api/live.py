"""Live events of one job or of all, as server-sent events and over WebSockets. docs/events.md shows them."""

import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final, TypeAlias, assert_never

import orjson
from aiohttp import WSCloseCode, web

from muster.api.auth import Client
from muster.api.call import Call
from muster.api.client_socket import tell
from muster.api.logs import EVENT_STREAM, KEEP_ALIVE_S, line_object, step_object
from muster.api.middleware import headers_of_stream
from muster.api.operations import Auth
from muster.api.parameters import refused, whole
from muster.api.shared_pages import made_once
from muster.api.wire import artifact_object, job_object
from muster.core.record import JobRecord
from muster.engine.live import ArtifactKept, CaughtUp, JobChanged, JobEnded, LineCame, LiveEvent, Page, StepChanged
from muster.engine.live_events import FROM_THE_START, LinePlace

_PLACE: Final = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")
SINCE_MS_MAX: Final = 2**53 - 1
PLACE_EVERY_S: Final = 1.0
"""A stream of a busy tenant says so often where to go on."""
_LARGE: Final = frozenset({"initial_data", "state_history"})
"""Members of a job that its events leave out: they are sent with every change."""

Told: TypeAlias = Page | CaughtUp | None
Pages: TypeAlias = AsyncGenerator[Told, None]


async def job_events(call: Call) -> web.StreamResponse:
    after = _after(call.request.headers.get("Last-Event-ID") or call.query("after"))
    await call.engine.job(call.tenant, call.path["job_id"])  # refused before the stream has begun
    return await _stream(call, _pages_of_job(call, call.tenant, after), of_job=True)


async def job_events_socket(call: Call) -> web.StreamResponse:
    after = _after(call.query("after"))

    async def send(client: Client, socket: web.WebSocketResponse) -> int:
        return await _send(socket, _pages_of_job(call, client.tenant, after), of_job=True)

    async def known(client: Client) -> None:
        await call.engine.job(client.tenant, call.path["job_id"])

    return await tell(call, Auth.CLIENT, send, known)


async def events(call: Call) -> web.StreamResponse:
    since_ms = _since_ms(call.request.headers.get("Last-Event-ID") or call.query("since"))
    pages = call.engine.follow_tenant_pages(call.tenant, quiet_s=KEEP_ALIVE_S, since_ms=since_ms)
    return await _stream(call, pages, of_job=False)


async def events_socket(call: Call) -> web.StreamResponse:
    since_ms = _since_ms(call.query("since"))

    async def send(client: Client, socket: web.WebSocketResponse) -> int:
        pages = call.engine.follow_tenant_pages(client.tenant, quiet_s=KEEP_ALIVE_S, since_ms=since_ms)
        return await _send(socket, pages, of_job=False)

    return await tell(call, Auth.CLIENT, send)


async def _pages_of_job(call: Call, tenant: str, after: LinePlace) -> Pages:
    pages = call.engine.follow_pages(tenant, call.path["job_id"], after=after, quiet_s=KEEP_ALIVE_S)
    async with aclosing(pages):
        async for page in pages:
            yield page


def _after(text: str | None) -> LinePlace:
    """The place of a log event, or only the number of a line.

    >>> _after("7.2"), _after("7"), _after(None)
    (LinePlace(line=7, late=2), LinePlace(line=7, late=None), LinePlace(line=0, late=None))
    """
    if not text:
        return FROM_THE_START
    if _PLACE.fullmatch(text) is None:
        raise refused("after", text, "a line's seq or place, for example 7 or 7.0")
    line, _, late = text.partition(".")
    return LinePlace(int(line), int(late) if late else None)


def _since_ms(text: str | None) -> int | None:
    return None if not text else whole("since", text, minimum=0, maximum=SINCE_MS_MAX)


async def _stream(call: Call, pages: Pages, *, of_job: bool) -> web.StreamResponse:
    """A reader that is slow is read for slowly: nothing is held for it but the pages it is being sent."""
    response = web.StreamResponse(headers={**headers_of_stream(call.request), "Content-Type": EVENT_STREAM})
    await response.prepare(call.request)
    await response.write(b"retry: 1000\n\n")
    clock = _PlaceClock()
    async with aclosing(pages):
        async for told in pages:
            if isinstance(told, Page):
                await response.write(_frames_of_job(told) if of_job else _frames_of_tenant(told))
            elif isinstance(told, CaughtUp) and clock.is_due(told):
                await response.write(b"id: %d\n\n" % told.at)
            if told is None or (isinstance(told, CaughtUp) and told.is_quiet):
                await response.write(b": still here\n\n")
    await response.write_eof()
    return response


async def _send(socket: web.WebSocketResponse, pages: Pages, *, of_job: bool) -> int:
    clock = _PlaceClock()
    async with aclosing(pages):
        async for told in pages:
            if isinstance(told, CaughtUp):
                if clock.is_due(told):
                    await socket.send_str(_text({"type": "place", "since": told.at}))
            elif told is not None:
                for text in _texts(told):
                    await socket.send_str(text)
                if told.is_end and of_job:
                    return WSCloseCode.OK
    return WSCloseCode.GOING_AWAY


class _PlaceClock:
    """Says of a tenant's stream when it is time to tell again where to go on."""

    def __init__(self) -> None:
        self._told_s = float("-inf")

    def is_due(self, told: CaughtUp) -> bool:
        now_s = time.monotonic()
        if not told.is_quiet and now_s - self._told_s < PLACE_EVERY_S:
            return False
        self._told_s = now_s
        return True


@made_once
def _texts(page: Page) -> tuple[str, ...]:
    """Followers at the same place share the page, and this."""
    return tuple(_text(event_object(event)) for event in page.events)


@made_once
def _frames_of_job(page: Page) -> bytes:
    """The place in a job's stream is that of its newest line."""
    return b"".join(
        _place(event) + b"data: " + text.encode() + b"\n\n"
        for event, text in zip(page.events, _texts(page), strict=True)
    )


@made_once
def _frames_of_tenant(page: Page) -> bytes:
    """A tenant's stream tells its place by itself."""
    return b"".join(b"data: " + text.encode() + b"\n\n" for text in _texts(page))


def _place(event: LiveEvent) -> bytes:
    return f"id: {event.place}\n".encode() if isinstance(event, LineCame) else b""


def event_object(event: LiveEvent) -> dict[str, Any]:
    match event:
        case JobChanged(record):
            return {"type": "job", "job_id": record.id, "job": _job(record)}
        case StepChanged(job, step):
            return {"type": "step", "job_id": job, "step": step_object(step)}
        case LineCame(job, entry, step, place):
            index = None if step is None else step.index
            shown = {"line": line_object(entry), "step_index": index, "place": str(place)}
            return {"type": "log", "job_id": job, **shown}
        case ArtifactKept(job, file):
            return {"type": "artifact", "job_id": job, "artifact": artifact_object(file)}
        case JobEnded(record):
            return {"type": "end", "job_id": record.id, "status": record.status.value, "job": _job(record)}
        case _:
            assert_never(event)


def _job(record: JobRecord) -> dict[str, Any]:
    return {name: value for name, value in job_object(record).items() if name not in _LARGE}


def _text(frame: dict[str, Any]) -> str:
    return orjson.dumps(frame).decode()
