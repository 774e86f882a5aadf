"""A job's log and steps for its owner: a page, or a stream of server-sent events that goes on until the job ends."""

from contextlib import aclosing
from functools import lru_cache
from typing import Any, Final

import orjson
from aiohttp import web

from muster.api.call import Call, json_answer
from muster.api.middleware import headers_of_stream
from muster.api.parameters import refused, whole
from muster.api.shared_pages import made_once
from muster.api.wire import time_text
from muster.core.ids import UnixMs
from muster.engine.journal import LogEntry, LogPage, StepView
from muster.store.journal import Stream

PAGE_LINES: Final = 1000
PAGE_LINES_MAX: Final = 5000
SEQ_MAX: Final = 2**53 - 1
KEEP_ALIVE_S: Final = 15.0
"""A stream without lines sends a comment so often, so that nobody on the way takes it for dead."""
EVENT_STREAM: Final = "text/event-stream"
_STREAMS: Final[dict[str, Stream]] = {"stdout": "stdout", "stderr": "stderr", "event": "event"}
_TIMES: Final = ("created_at", "started_at", "completed_at")
_OFF: Final = frozenset({"0", "false", "no"})


async def get_logs(call: Call) -> web.StreamResponse:
    follow = call.query("follow")
    wants_stream = EVENT_STREAM in call.request.headers.get("Accept", "")
    if (follow is not None and follow.lower() not in _OFF) or (follow is None and wants_stream):
        return await _stream(call)
    limit = call.query("limit")
    page = await call.engine.logs(
        call.tenant,
        call.path["job_id"],
        after=after_line(call.query("after")),
        limit=PAGE_LINES if limit is None else whole("limit", limit, minimum=1, maximum=PAGE_LINES_MAX),
        stream=wanted_stream(call),
    )
    items = [line_object(entry) for entry in page.items]
    return json_answer({"items": items, "next": None if page.is_end else page.position, "dropped": page.dropped})


async def get_steps(call: Call) -> web.Response:
    steps = await call.engine.steps(call.tenant, call.path["job_id"])
    return json_answer({"items": [step_object(view) for view in steps.items], "metadata": steps.metadata})


async def _stream(call: Call) -> web.StreamResponse:
    """A reader that is slow is read for slowly: nothing is held for it but the page it is being sent."""
    job_id = call.path["job_id"]
    # A browser that reconnects says where it was, whatever the URL says.
    after, stream = after_line(call.request.headers.get("Last-Event-ID") or call.query("after")), wanted_stream(call)
    await call.engine.job(call.tenant, job_id)  # refused before the stream has begun
    response = web.StreamResponse(headers={**headers_of_stream(call.request), "Content-Type": EVENT_STREAM})
    await response.prepare(call.request)
    await response.write(b"retry: 1000\n\n")
    pages = call.engine.follow_logs(call.tenant, job_id, after=after, stream=stream, quiet_s=KEEP_ALIVE_S)
    async with aclosing(pages):
        async for page in pages:
            await response.write(await _frames(call, page) or b": still here\n\n")
    await response.write_eof()
    return response


async def _frames(call: Call, page: LogPage) -> bytes:
    if not page.is_end:
        return _encoded(page)
    status = await call.engine.job_status(call.path["job_id"])
    return _encoded(page) + _frame({"status": status}, "end")


@made_once
def _encoded(page: LogPage) -> bytes:
    """Followers at the same place share the page, and this."""
    frames = [b"id: %d\ndata: %b\n\n" % (entry.seq, orjson.dumps(line_object(entry))) for entry in page.items]
    if page.dropped:
        frames.insert(0, _frame({"dropped": page.dropped}, "dropped"))
    return b"".join(frames)


def _frame(data: dict[str, Any], event: str) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event.encode(), orjson.dumps(data))


def line_object(entry: LogEntry) -> dict[str, Any]:
    return {
        "seq": entry.seq,
        "at": _clock(entry.at),
        "stream": entry.stream,
        "text": entry.text,
        "task_id": entry.task_id,
        "dropped": entry.dropped,
    }


@lru_cache(maxsize=4096)
def _clock(moment: UnixMs) -> str | None:
    """Lines come in bursts: many share their millisecond."""
    return time_text(moment)


def step_object(view: StepView) -> dict[str, Any]:
    fields = dict(view.fields)
    for name in _TIMES:
        moment = fields.get(name)
        fields[name] = time_text(None if moment is None else UnixMs(moment))
    return {"task_id": view.task_id, "attempt": view.attempt, "index": view.index, **fields}


def after_line(text: str | None) -> int:
    return 0 if not text else whole("after", text, minimum=0, maximum=SEQ_MAX)


def wanted_stream(call: Call) -> Stream | None:
    name = call.query("stream")
    if not name:
        return None
    if name not in _STREAMS:
        raise refused("stream", name, "stdout, stderr or event")
    return _STREAMS[name]
