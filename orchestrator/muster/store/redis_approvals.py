"""Open questions on Redis or Valkey."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from muster.core.ids import JobId
from muster.core.limits import TURN_LEASE_MS
from muster.core.record import JobRecord
from muster.store.approval_codec import dump_tally
from muster.store.approvals import QuestionChange
from muster.store.base import Position, Refusal, Refused, Turn
from muster.store.keys import short_hash
from muster.store.payloads import Value
from muster.store.replies import turn_of

Call = Callable[..., Awaitable[Any]]


class RedisApprovals:
    """*run* is one script by name and tag; *newest* reads a page of an index; *tag_of* gives None for a foreign job."""

    def __init__(
        self,
        call: Call,
        run: Call,
        tag_of: Callable[[JobId], str | None],
        tags: Sequence[str],
        newest: Callable[[str, Position | None, int], Awaitable[list[Position]]],
        read: Callable[[JobId], Awaitable[JobRecord | None]],
    ) -> None:
        self._call = call
        self._run = run
        self._tag_of = tag_of
        self._tags = tags
        self._newest = newest
        self._read = read

    async def change(self, change: QuestionChange) -> Turn | Refused | None:
        tag = self._tag_of(change.job)
        if tag is None:
            return Refused(Refusal.GONE)
        following = "-" if change.next_ms is None else str(change.next_ms)
        messages = [part for message in change.messages for part in (message.id, message.body)]
        reply = await self._run(
            "question", tag,
            change.job, change.wave, change.tally.changes - 1, dump_tally(change.tally), change.history, change.token,
            TURN_LEASE_MS, Value(change.job, change.item) if change.item else "",
            following if change.escalates else "", len(change.messages), *messages,
        )  # fmt: skip
        if reply[0] == b"ok":
            return None
        if reply[0] != b"turn":
            return Refused(Refusal(reply[0].decode()))
        # Unreadable for now: the lease runs out, and the turn comes again.
        return turn_of(change.job, change.token, reply[1], reply[2]) or Refused(Refusal.TAKEN)

    async def asking(
        self, tenant: str, before: Position | None, limit: int
    ) -> tuple[tuple[JobRecord, ...], Position | None]:
        keys = [f"{tag}xa:{short_hash(tenant)}" for tag in self._tags]
        pages = await asyncio.gather(*(self._newest(key, before, limit) for key in keys))
        places = sorted({place for page in pages for place in page}, reverse=True)
        shown = places[:limit]
        records = await asyncio.gather(*(self._read(place.job) for place in shown))
        over = [
            place.job for place, record in zip(shown, records, strict=True) if record is None or record.status.is_final
        ]
        if over:  # an older server ended it: it knows no such index
            await asyncio.gather(*(self._call("ZREM", key, *over) for key in keys))
        found = tuple(record for record in records if record is not None and not record.status.is_final)
        return found, shown[-1] if len(places) >= limit else None
