"""A job's log as a client reads it: lines, and the stream that goes on over lost connections until the job ends."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, TypeAdapter

from muster_worker.answers import read_answer
from muster_worker.backoff import Backoff
from muster_worker.errors import Unreachable
from muster_worker.task_events import STREAM, TaskEvent, event_of
from muster_worker.transport import Transport

OUTAGE_S_MAX: Final = 60.0
"""How long following a log outlasts orchestrators that do not answer."""
SILENCE_S_MAX: Final = 45.0
"""The server sends a comment every 15 s; after three missing ones the connection is taken for dead."""


class LogLine(BaseModel):
    """One line of output. Where `stream` is `notice`, `dropped` lines are missing; where `event`, see `event`."""

    model_config = ConfigDict(extra="allow")

    seq: int
    """Grows by one from line to line of a job, from 1."""
    at: datetime | None = None
    stream: str
    text: str
    task_id: str = ""
    dropped: int = 0

    @property
    def event(self) -> TaskEvent | None:
        """What a task told by `ctx.event`; None for other lines."""
        return event_of(self.text) if self.stream == STREAM else None


class LogPage(BaseModel):
    """`next` is what to ask `after`; None once the job's last line was read. `dropped` lines before these are gone."""

    items: list[LogLine]
    next: int | None
    dropped: int = 0


class JobStep(BaseModel):
    """A named part of a task."""

    model_config = ConfigDict(extra="allow")

    task_id: str
    index: int
    name: str
    status: str
    error_message: str | None = None
    duration_seconds: float | None = None


class JobSteps(BaseModel):
    items: list[JobStep]
    metadata: dict[str, str] = {}


@dataclass(slots=True)
class SentEvent:
    """One block of a stream; only an `id` where it has no data."""

    kind: str = ""
    data: bytes = b""
    id: str = ""


_LINE: Final = TypeAdapter(LogLine)


async def follow(transport: Transport, job_path: str, after: int) -> AsyncGenerator[LogLine, None]:
    """Lines after line *after*, as they come, until the job is final. Lost connections are made again.

    Raises:
        ClientError: the job is not there, or no orchestrator answered for a minute.
    """
    backoff, give_up_s = Backoff(longest_s=2.0), time.monotonic() + OUTAGE_S_MAX
    while True:
        try:
            path = f"{job_path}/logs?follow=1&after={after}"
            async with aclosing(transport.lines(path, silence_s=SILENCE_S_MAX)) as received:
                async for event in sent_events(received):
                    backoff.reset()
                    give_up_s = time.monotonic() + OUTAGE_S_MAX
                    if not event.data:
                        continue
                    if event.kind == "end":
                        return
                    line = _line(event, after)
                    after = line.seq
                    yield line
            delay_s = backoff.next_delay_s()  # the server shuts down; another one goes on
        except Unreachable as error:
            if time.monotonic() > give_up_s:
                raise
            delay_s = backoff.next_delay_s(error.retry_after_s)
        await asyncio.sleep(delay_s)


async def sent_events(received: AsyncIterator[bytes]) -> AsyncIterator[SentEvent]:
    """Server-sent events (html.spec.whatwg.org, section 9.2): as much of them as our server uses."""
    event = SentEvent()
    async for line in received:
        if not line:
            if event.data or event.id:
                yield event
            event = SentEvent()
            continue
        name, _, value = line.partition(b":")
        if name == b"event":
            event.kind = value.strip().decode()
        elif name == b"data":
            event.data = value.strip()
        elif name == b"id":
            event.id = value.strip().decode()


def _line(event: SentEvent, after: int) -> LogLine:
    if event.kind != "dropped":
        return read_answer(_LINE, event.data)
    count = read_answer(_DROPPED, event.data).dropped
    text = f"{count} lines are gone: the log was longer than is kept"
    return LogLine(seq=after + count, stream="notice", text=text, dropped=count)


class _Dropped(BaseModel):
    dropped: int


_DROPPED: Final = TypeAdapter(_Dropped)
