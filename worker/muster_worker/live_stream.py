"""Live events as a client reads them: a stream that goes on over lost connections."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from urllib.parse import urlencode

import orjson

from muster_worker.backoff import Backoff
from muster_worker.errors import Unreachable
from muster_worker.log_stream import OUTAGE_S_MAX, SILENCE_S_MAX, sent_events
from muster_worker.transport import Transport


async def follow_events(
    transport: Transport, path: str, place_name: str, place: str, *, ends: bool
) -> AsyncGenerator[dict[str, Any], None]:
    """Events after *place*, the query parameter *place_name*; where the stream *ends*, until the one of type `end`.

    Raises:
        ClientError: there is no such job, or no orchestrator answered for a minute.
    """
    backoff, give_up_s = Backoff(longest_s=2.0), time.monotonic() + OUTAGE_S_MAX
    while True:
        try:
            query = f"?{urlencode({place_name: place})}" if place else ""
            async with aclosing(transport.lines(path + query, silence_s=SILENCE_S_MAX)) as received:
                async for sent in sent_events(received):
                    backoff.reset()
                    give_up_s = time.monotonic() + OUTAGE_S_MAX
                    place = sent.id or place
                    if not sent.data:
                        continue
                    event: dict[str, Any] = orjson.loads(sent.data)
                    yield event
                    if ends and event["type"] == "end":
                        return
            delay_s = backoff.next_delay_s()  # the server shuts down; another one goes on
        except Unreachable as error:
            if time.monotonic() > give_up_s:
                raise
            delay_s = backoff.next_delay_s(error.retry_after_s)
        await asyncio.sleep(delay_s)
