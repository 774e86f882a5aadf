"""Saved connections on Redis or Valkey, all under the global tag."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import astuple
from typing import Any

import orjson

from muster.core.ids import UnixMs
from muster.core.limits import RECENT_SLOTS_MAX
from muster.store.connection_records import Backfill, Lead, NotSaved, Pause, SavedConnection, Slot
from muster.store.keys import short_hash

Run = Callable[..., Awaitable[Any]]


class RedisConnectionRecords:
    """*call* is one command, *run* one script by name and tag."""

    def __init__(self, call: Run, run: Run, tag: str) -> None:
        self._call = call
        self._run = run
        self._global = tag

    async def all(self, tenant: str) -> tuple[SavedConnection, ...]:
        flat = await self._call("HGETALL", self._key(tenant))
        found = [_saved(name.decode(), entry) for name, entry in zip(flat[::2], flat[1::2], strict=True)]
        return tuple(sorted(found, key=lambda saved: (saved.created_at, saved.name)))

    async def get(self, tenant: str, name: str) -> SavedConnection | None:
        entry = await self._call("HGET", self._key(tenant), name)
        return None if entry is None else _saved(name, entry)

    async def save(
        self, tenant: str, name: str, record: bytes, nonce: str, *, is_new: bool, most: int
    ) -> SavedConnection | NotSaved:
        reply = await self._run(
            "connect", self._global, short_hash(tenant), tenant, name, nonce, record, int(is_new), most
        )  # fmt: skip
        if reply[0] != b"ok":
            return NotSaved(reply[0].decode())
        return SavedConnection(name, record, UnixMs(int(reply[1])), UnixMs(int(reply[2])))

    async def delete(self, tenant: str, name: str) -> bool:
        return bool(await self._run("disconnect", self._global, short_hash(tenant), tenant, name))

    async def tenants(self) -> tuple[str, ...]:
        fields = await self._call("HKEYS", f"{self._global}ct")
        return tuple(sorted(field.decode() for field in fields if field))

    async def changes(self) -> int:
        return int(await self._call("HGET", f"{self._global}ct", "") or 0)

    async def lead(self, replica: str, lease_ms: int) -> Lead:
        mine, now, changes = await self._run("lead", self._global, replica, lease_ms)
        return Lead(bool(mine), UnixMs(int(now)), int(changes))

    async def slots(self) -> dict[str, Slot]:
        return {schedule: _slot(entry) for schedule, entry in await self._hash("ss")}

    async def note_slots(
        self,
        replica: str,
        slots: Mapping[str, Slot],
        forgotten: Sequence[str] = (),
        told: Sequence[tuple[str, Slot]] = (),
    ) -> bool:
        notes = [word for schedule, slot in slots.items() for word in (schedule, _noted(slot))]
        past = [word for schedule, slot in told for word in (short_hash(schedule), slot.at, _noted(slot))]
        gone = [word for schedule in forgotten for word in (schedule, short_hash(schedule))]
        counts = (len(slots), len(told), RECENT_SLOTS_MAX)
        return bool(await self._run("slot", self._global, replica, *counts, *notes, *past, *gone))

    async def recent(self, schedule: str) -> tuple[Slot, ...]:
        entries = await self._call("ZRANGE", f"{self._global}sn:{short_hash(schedule)}", 0, -1, "REV")
        return tuple(_slot(entry) for entry in entries)

    async def pause(self, schedule: str, pause: Pause) -> None:
        entry = orjson.dumps([pause.is_paused, pause.at, pause.by, pause.reason])
        await self._run("pause_schedule", self._global, schedule, entry)

    async def pauses(self) -> dict[str, Pause]:
        return {schedule: Pause(*orjson.loads(entry)) for schedule, entry in await self._hash("sz")}

    async def backfill(self, schedule: str, backfill: Backfill, replica: str = "") -> Backfill | None:
        entry = orjson.dumps(astuple(backfill))
        reply = await self._run(
            "backfill", self._global, schedule, replica, backfill.id, backfill.state, entry
        )  # fmt: skip
        return _backfill(reply[0]) if reply else None

    async def backfills(self) -> dict[str, Backfill]:
        return {schedule: _backfill(entry) for schedule, entry in await self._hash("sf")}

    async def _hash(self, key: str) -> list[tuple[str, bytes]]:
        flat = await self._call("HGETALL", f"{self._global}{key}")
        return [(field.decode(), entry) for field, entry in zip(flat[::2], flat[1::2], strict=True)]

    def _key(self, tenant: str) -> str:
        return f"{self._global}cn:{short_hash(tenant)}"


def _saved(name: str, entry: bytes) -> SavedConnection:
    created, changed, _, record = entry.split(b"|", 3)
    return SavedConnection(name, record, UnixMs(int(created)), UnixMs(int(changed)))


def _noted(slot: Slot) -> bytes:
    return orjson.dumps(astuple(slot))


def _slot(entry: bytes) -> Slot:
    """An older server noted fewer members."""
    facts = orjson.loads(entry)
    return Slot(*facts[:6], *(tuple(more) for more in facts[6:]))


def _backfill(entry: bytes) -> Backfill:
    return Backfill(*orjson.loads(entry.split(b"|", 2)[2]))
