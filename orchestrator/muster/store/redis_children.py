"""Children in another partition than their parents, on Redis or Valkey."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from muster.core.ids import JobId, UnixMs
from muster.core.limits import TURN_LEASE_MS
from muster.store import codec
from muster.store.arguments import job_args
from muster.store.base import NewJob, Turn
from muster.store.child_messages import HoldChild

Run = Callable[..., Awaitable[Any]]


class RedisChildren:
    """*run* is one script by name and tag, *call* a plain command. *tag_of* gives None for a foreign partition."""

    def __init__(self, call: Run, run: Run, tag_of: Callable[[JobId], str | None]) -> None:
        self._call = call
        self._run = run
        self._tag_of = tag_of

    async def begin(self, job: NewJob, token: str) -> Turn | None:
        tag = self._tag_of(job.id)
        assert tag is not None, "its id was drawn for this deployment"
        (word,) = await self._run("begin_child", tag, token, TURN_LEASE_MS, *job_args(job))
        return Turn(token, job.record(UnixMs(int(time.time() * 1000))), ()) if word == b"created" else None

    async def ended(self, parent: JobId, wave: int, child: JobId, item: str) -> bool:
        tag = self._tag_of(parent)
        if tag is None:
            return False
        (word,) = await self._run("end_child", tag, parent, wave, child, item)
        return bool(word == b"ok")

    async def hold(self, message: HoldChild, history: str) -> bool:
        tag = self._tag_of(message.child)
        if tag is None:
            return False
        words = b"" if message.words is None else codec.dump(message.words)
        (word,) = await self._run(
            "hold_child", tag, message.child, message.count, message.above, words, history
        )  # fmt: skip
        return bool(word == b"ok")

    async def unsent(self, parent: JobId, child: JobId) -> int | None:
        tag = self._tag_of(parent)
        tries = None if tag is None else await self._call("HGET", f"{tag}ob:{child}.start", "n")
        return None if tries is None else int(tries)
