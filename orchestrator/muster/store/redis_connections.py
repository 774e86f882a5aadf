"""Saved connections on Redis or Valkey, all under the global tag."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson

from muster.core.ids import UnixMs
from muster.store.connection_records import Lead, NotSaved, SavedConnection, Slot
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

    async def lead(self, replica: str, lease_ms: int) -> Lead:
        mine, now, changes = await self._run("lead", self._global, replica, lease_ms)
        return Lead(bool(mine), UnixMs(int(now)), int(changes))

    async def slots(self) -> dict[str, Slot]:
        flat = await self._call("HGETALL", f"{self._global}ss")
        pairs = zip(flat[::2], flat[1::2], strict=True)
        return {schedule.decode(): Slot(*orjson.loads(entry)) for schedule, entry in pairs}

    async def note_slots(self, replica: str, slots: Mapping[str, Slot], forgotten: Sequence[str] = ()) -> bool:
        notes = [word for schedule, slot in slots.items() for word in (schedule, _noted(slot))]
        return bool(await self._run("slot", self._global, replica, len(slots), *notes, *forgotten))

    def _key(self, tenant: str) -> str:
        return f"{self._global}cn:{short_hash(tenant)}"


def _saved(name: str, entry: bytes) -> SavedConnection:
    created, changed, _, record = entry.split(b"|", 3)
    return SavedConnection(name, record, UnixMs(int(created)), UnixMs(int(changed)))


def _noted(slot: Slot) -> bytes:
    return orjson.dumps([slot.schedule, slot.at, slot.outcome, slot.detail])
