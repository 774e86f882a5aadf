"""Saved connections in the model."""

from collections.abc import Callable, Mapping, Sequence

from muster.core.ids import UnixMs
from muster.core.limits import RECENT_SLOTS_MAX
from muster.store.connection_records import Backfill, Lead, NotSaved, Pause, SavedConnection, Slot


class MemoryConnectionRecords:
    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._saved: dict[str, dict[str, tuple[str, SavedConnection]]] = {}
        self._changes = 0
        self._slots: dict[str, Slot] = {}
        self._recent: dict[str, dict[UnixMs, Slot]] = {}
        self._pauses: dict[str, Pause] = {}
        self._backfills: dict[str, Backfill] = {}
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

    async def changes(self) -> int:
        return self._changes

    async def lead(self, replica: str, lease_ms: int) -> Lead:
        is_mine = self._holder() in {"", replica} and lease_ms > 0
        if is_mine:
            self._leader = (replica, self._now() + lease_ms)
        elif self._holder() == replica:
            self._leader = ("", 0)
        return Lead(is_mine, UnixMs(self._now()), self._changes)

    async def slots(self) -> dict[str, Slot]:
        return dict(self._slots)

    async def note_slots(
        self,
        replica: str,
        slots: Mapping[str, Slot],
        forgotten: Sequence[str] = (),
        told: Sequence[tuple[str, Slot]] = (),
    ) -> bool:
        if self._holder() != replica:
            return False
        self._slots.update(slots)
        for schedule, slot in told:
            recent = self._recent.setdefault(schedule, {})
            recent[slot.at] = slot
            for oldest in sorted(recent)[:-RECENT_SLOTS_MAX]:
                del recent[oldest]
        for schedule in forgotten:
            for known in (self._slots, self._recent, self._pauses, self._backfills):
                known.pop(schedule, None)
        return True

    async def recent(self, schedule: str) -> tuple[Slot, ...]:
        return tuple(slot for _, slot in sorted(self._recent.get(schedule, {}).items(), reverse=True))

    async def pause(self, schedule: str, pause: Pause) -> None:
        self._pauses[schedule] = pause
        self._changes += 1

    async def pauses(self) -> dict[str, Pause]:
        return dict(self._pauses)

    async def backfill(self, schedule: str, backfill: Backfill, replica: str = "") -> Backfill | None:
        known = self._backfills.get(schedule)
        goes_on = known is not None and known.state == "running"
        is_it = known is not None and known.id == backfill.id
        if replica and (self._holder() != replica or not goes_on or not is_it):
            return None
        starts = not replica and backfill.state == "running"
        if (starts and (goes_on or is_it)) or (not starts and not (goes_on and is_it)):
            return known
        self._backfills[schedule] = backfill
        if not replica:
            self._changes += 1
        return backfill

    async def backfills(self) -> dict[str, Backfill]:
        return dict(self._backfills)

    def _holder(self) -> str:
        replica, until = self._leader
        return replica if until > self._now() else ""
