"""What a person does to jobs, on Redis or Valkey."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from muster.core.ids import JobId, UnixMs
from muster.core.limits import TURN_LEASE_MS
from muster.core.status import JobStatus
from muster.store import codec
from muster.store.arguments import job_args
from muster.store.base import NewJob, Refusal, Refused, Turn
from muster.store.codec import UNREADABLE
from muster.store.entered import Entered, load_entered
from muster.store.operations import RETRIES_KEPT, Retry
from muster.store.payloads import Value
from muster.store.redis_index import IndexCalls
from muster.store.replies import turn_of

Run = Callable[..., Awaitable[Any]]
Fields = Callable[[str], Awaitable[list[Any]]]


class RedisOperations:
    """*run* is one script by name and tag, *fields* the fields of a hash with large values filled in.

    *tag_of* gives None for a foreign partition.
    """

    def __init__(self, index: IndexCalls, run: Run, fields: Fields, tag_of: Callable[[JobId], str | None]) -> None:
        self.failures, self.errors = index.failures, index.errors
        self._run = run
        self._fields = fields
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

    async def entered(self, job: JobId) -> Mapping[str, Entered]:
        tag = self._tag_of(job)
        flat = [] if tag is None else await self._fields(f"{tag}en:{job}")
        found = dict(zip(flat[::2], flat[1::2], strict=True))
        return load_entered({state.decode(): blob for state, blob in found.items() if blob != UNREADABLE})

    async def retry(self, retry: Retry) -> Turn | Refused | None:
        tag = self._tag_of(retry.job)
        if tag is None:
            return Refused(Refusal.GONE)
        reply = await self._run(
            "retry", tag, retry.job, retry.version, retry.token, TURN_LEASE_MS, JobStatus.RUNNING, retry.state,
            Value(retry.job, codec.dump_context(retry.context)), retry.blueprint_version, retry.history,
        )  # fmt: skip
        match reply[0]:
            case b"turn":
                return turn_of(retry.job, retry.token, reply[1], reply[2])
            case b"ok":
                return None
            case word:
                return Refused(Refusal(word.decode()))

    async def rerun(self, job: JobId, new: NewJob, token: str) -> Turn | Refused | None:
        tag = self._tag_of(job)
        if tag is None:
            return Refused(Refusal.GONE)
        (word,) = await self._run("rerun", tag, job, RETRIES_KEPT, token, TURN_LEASE_MS, *job_args(new))
        if word == b"created":
            return Turn(token, new.record(UnixMs(int(time.time() * 1000))), ())
        return None if word == b"ok" else Refused(Refusal(word.decode()))
