"""What a client does with schedules. A part of `Client`."""

import uuid
from datetime import datetime
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode

from pydantic import BaseModel, TypeAdapter

from muster_worker.answers import read_answer
from muster_worker.codec import encode
from muster_worker.transport import Transport


class _Items(BaseModel):
    items: list[dict[str, Any]]


class _Times(BaseModel):
    items: list[datetime]


_OBJECT: Final = TypeAdapter(dict[str, Any])
_LIST: Final = TypeAdapter(_Items)
_SLOTS: Final = TypeAdapter(_Times)


class ScheduleCalls:
    _transport: Transport

    async def schedules(self) -> list[dict[str, Any]]:
        """Of all connections that one sees and that run by themselves."""
        return read_answer(_LIST, (await self._transport.request("GET", "/api/v1/schedules")).body).items

    async def schedule(self, name: str) -> dict[str, Any]:
        """How the schedule of a connection stands, with what became of its last slots."""
        return await self._schedule_call("GET", name, "")

    async def next_slots(self, name: str, count: int = 10, *, after: datetime | None = None) -> list[datetime]:
        """The next times at which it would run."""
        query: dict[str, str | int] = {"count": count}
        if after is not None:
            query["after"] = after.isoformat()
        path = f"{_path(name)}/next?{urlencode(query)}"
        return read_answer(_SLOTS, (await self._transport.request("GET", path)).body).items

    async def pause_schedule(self, name: str, reason: str = "") -> dict[str, Any]:
        """No slot is run until it is resumed; those of that time are not made up for."""
        return await self._schedule_call("POST", name, "/pause", {"reason": reason})

    async def resume_schedule(self, name: str) -> dict[str, Any]:
        return await self._schedule_call("POST", name, "/resume")

    async def backfill(
        self,
        name: str,
        start: datetime,
        until: datetime,
        *,
        overlap: Literal["allow", "queue"] = "allow",
        dry_run: bool = False,
        backfill_id: str | None = None,
    ) -> dict[str, Any]:
        """Run slots of the past, in the background: `slots`, their `total`, and the `backfill`, None for a dry run.

        Raises:
            ClientError: more than 10,000 slots, or another backfill is under way.
        """
        # It always has an id: a request that is sent again after a lost answer must not find another one under way.
        wanted = {
            "from": start.isoformat(),
            "until": until.isoformat(),
            "overlap": overlap,
            "dry_run": dry_run,
            "id": backfill_id or uuid.uuid4().hex,
        }
        return await self._schedule_call("POST", name, "/backfill", wanted)

    async def cancel_backfill(self, name: str) -> dict[str, Any]:
        """Make no more jobs of the backfill; those that there are go on."""
        return await self._schedule_call("DELETE", name, "/backfill")

    async def _schedule_call(
        self, method: str, name: str, verb: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        sent = None if body is None else encode(body)
        return read_answer(_OBJECT, (await self._transport.request(method, f"{_path(name)}{verb}", body=sent)).body)


def _path(name: str) -> str:
    return f"/api/v1/connections/{quote(name, safe='')}/schedule"
