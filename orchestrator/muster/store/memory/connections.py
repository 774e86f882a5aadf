"""Saved connections in the model."""

from collections.abc import Callable, Mapping, Sequence

from muster.core.ids import UnixMs
from muster.store.connection_records import Lead, NotSaved, SavedConnection, Slot


class MemoryConnectionRecords:
    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._saved: dict[str, dict[str, tuple[str, SavedConnection]]] = {}
        self._changes = 0
        self._slots: dict[str, Slot] = {}
        self._leader = ("", 0)

    async def all(self, tenant: str) -> tuple[SavedConnection, ...]:
        found = [saved for _, saved in self._saved.get(tenant, {}).values()]
        return tuple(sorted(found, key=lambda saved: (saved.created_at, saved.name)))

    async def get(self, tenant: str, name: str) -> SavedConnection | None:
        entry = self._saved.get(tenant, {}).get(name)
        return None if entry is None else entry[1]

    async def save(
        self, tenant: str, name: str, record: bytes, nonce: str, *, is_new: bool, most: int
    ) -> SavedConnection | NotSaved:
        mine = self._saved.get(tenant, {})
        there = mine.get(name)
        if there is not None and there[0] == nonce:
            return there[1]
        if there is not None and is_new:
            return NotSaved.EXISTS
        if there is None and len(mine) >= most:
            return NotSaved.FULL
        now = UnixMs(self._now())
        saved = SavedConnection(name, record, now if there is None else there[1].created_at, now)
        self._saved.setdefault(tenant, {})[name] = (nonce, saved)
        self._changes += 1
        return saved

    async def delete(self, tenant: str, name: str) -> bool:
        mine = self._saved.get(tenant, {})
        if mine.pop(name, None) is None:
            return False
        if not mine:
            del self._saved[tenant]
        self._changes += 1
        return True

    async def tenants(self) -> tuple[str, ...]:
        return tuple(sorted(self._saved))

    async def lead(self, replica: str, lease_ms: int) -> Lead:
        is_mine = self._holder() in {"", replica} and lease_ms > 0
        if is_mine:
            self._leader = (replica, self._now() + lease_ms)
        elif self._holder() == replica:
            self._leader = ("", 0)
        return Lead(is_mine, UnixMs(self._now()), self._changes)

    async def slots(self) -> dict[str, Slot]:
        return dict(self._slots)

    async def note_slots(self, replica: str, slots: Mapping[str, Slot], forgotten: Sequence[str] = ()) -> bool:
        if self._holder() != replica:
            return False
        self._slots.update(slots)
        for schedule in forgotten:
            self._slots.pop(schedule, None)
        return True

    def _holder(self) -> str:
        replica, until = self._leader
        return replica if until > self._now() else ""
