"""What a person does to jobs, on Redis or Valkey."""

from collections.abc import Awaitable, Callable
from typing import Any

from muster.core.ids import JobId
from muster.core.limits import TURN_LEASE_MS
from muster.store import codec
from muster.store.base import Refusal, Refused, Turn
from muster.store.replies import turn_of

Run = Callable[..., Awaitable[Any]]


class RedisOperations:
    """*run* is one script by name and tag; *tag_of* gives None for a foreign partition."""

    def __init__(self, run: Run, tag_of: Callable[[JobId], str | None]) -> None:
        self._run = run
        self._tag_of = tag_of

    async def pause(self, job: JobId, by: str, reason: str, history: str, below: str = "") -> Refused | None:
        tag = self._tag_of(job)
        if tag is None:
            return Refused(Refusal.GONE)
        (word,) = await self._run("pause", tag, job, codec.dump([by, reason]), history, below)
        return None if word == b"ok" else Refused(Refusal(word.decode()))

    async def resume(self, job: JobId, token: str, history: str, below: str = "") -> Turn | Refused | None:
        tag = self._tag_of(job)
        if tag is None:
            return Refused(Refusal.GONE)
        reply = await self._run("resume", tag, job, token, TURN_LEASE_MS, history, below)
        match reply[0]:
            case b"turn":
                return turn_of(job, token, reply[1], reply[2])
            case b"ok":
                return None
            case word:
                return Refused(Refusal(word.decode()))
