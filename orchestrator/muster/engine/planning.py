"""What clients do with schedules: look at them, pause and resume them, ask for slots of the past."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from muster.core.ids import UnixMs
from muster.core.limits import BACKFILL_SLOTS_MAX
from muster.core.timing import Timing, TooManySlots, between, preview
from muster.engine.connections import Connections, Known
from muster.errors import ErrorCode, MusterError
from muster.store.base import Store
from muster.store.connection_records import Backfill, Pause, Slot

SHOWN_SLOTS: Final = 100
"""Of a dry run; the total is told in any case."""


@dataclass(frozen=True, slots=True)
class ScheduleView:
    """A schedule as its client sees it. `next`: when it runs next by itself; `recent`: its last slots, newest first."""

    known: Known
    next: UnixMs | None
    pause: Pause | None
    queued: tuple[UnixMs, ...]
    recent: tuple[Slot, ...]
    backfill: Backfill | None


@dataclass(frozen=True, slots=True)
class BackfillPlan:
    """The slots that a backfill is about, and the backfill, where it was not just a dry run."""

    slots: tuple[UnixMs, ...]
    backfill: Backfill | None


class Planning:
    """All raise MusterError: CONNECTION_NOT_FOUND, and SCHEDULE_NOT_FOUND for a connection that has none."""

    def __init__(self, store: Store, connections: Connections, now: Callable[[], UnixMs]) -> None:
        self._records = store.connections
        self._connections = connections
        self._now = now

    async def schedules(self, tenant: str) -> tuple[ScheduleView, ...]:
        """Of all connections that the tenant sees and that have one."""
        seen = [known for known in await self._connections.seen_by(tenant) if known.connection.planned is not None]
        slots, pauses, fills = await self._standing()
        return tuple(self._view(known, slots.get(known.key), pauses, (), fills) for known in seen)

    async def schedule(self, tenant: str, name: str) -> ScheduleView:
        known, _ = await self._find(tenant, name)
        slots, pauses, fills = await self._standing()
        recent = await self._records.recent(known.key)
        return self._view(known, slots.get(known.key), pauses, recent, fills)

    async def _standing(self) -> tuple[dict[str, Slot], dict[str, Pause], dict[str, Backfill]]:
        return await asyncio.gather(self._records.slots(), self._records.pauses(), self._records.backfills())

    def _view(
        self,
        known: Known,
        slot: Slot | None,
        pauses: dict[str, Pause],
        recent: tuple[Slot, ...],
        fills: dict[str, Backfill],
    ) -> ScheduleView:
        pause, timing = pauses.get(known.key), known.connection.timing
        pause = pause if pause is not None and pause.is_paused else None
        comes = None if timing is None or pause is not None else timing.next(self._now())
        return ScheduleView(known, comes, pause, slot.queued if slot else (), recent, fills.get(known.key))

    async def next(self, tenant: str, name: str, count: int, after: UnixMs | None = None) -> tuple[UnixMs, ...]:
        """Its next slots, whether or not it is enabled or paused."""
        _, timing = await self._find(tenant, name)
        return preview(timing, self._now() if after is None else after, count)

    async def pause(self, tenant: str, name: str, reason: str) -> ScheduleView:
        """No slot is run until it is resumed; those of that time are not made up for."""
        return await self._set_pause(tenant, name, Pause(True, self._now(), tenant, reason))

    async def resume(self, tenant: str, name: str) -> ScheduleView:
        return await self._set_pause(tenant, name, Pause(False, self._now(), tenant))

    async def _set_pause(self, tenant: str, name: str, pause: Pause) -> ScheduleView:
        known, _ = await self._find(tenant, name)
        await self._records.pause(known.key, pause)
        self._connections.on_change()
        return await self.schedule(tenant, name)

    async def backfill(
        self, tenant: str, name: str, fill_id: str, start: UnixMs, until: UnixMs, *, queue: bool, dry_run: bool
    ) -> BackfillPlan:
        """Run the slots from *start* to *until*, each once at most: those whose job is kept are passed over.

        Raises:
            MusterError: TOO_MANY_SLOTS, INVALID_BODY, BACKFILL_RUNNING, CONNECTION_CONFIGURED where it is disabled.
        """
        known, timing = await self._find(tenant, name)
        if known.connection.timing is None:
            raise _not_found(f"The schedule of connection {name!r} is disabled.", "Enable the connection first.")
        slots = _slots(timing, start, until, self._now())
        if dry_run or not slots:
            return BackfillPlan(slots, None)
        fill = Backfill(fill_id, start, until, UnixMs(start - 1), len(slots), queue, tenant)
        noted = await self._records.backfill(known.key, fill)
        assert noted is not None
        if noted.id != fill.id:
            raise _running(name, noted)
        self._connections.on_change()
        return BackfillPlan(slots, noted)

    async def cancel_backfill(self, tenant: str, name: str) -> Backfill:
        """Slots that were run stay so. Raises: MusterError SCHEDULE_NOT_FOUND where no backfill is known."""
        known, _ = await self._find(tenant, name)
        there = (await self._records.backfills()).get(known.key)
        if there is None:
            raise _not_found(f"Connection {name!r} has no backfill.", "")
        if there.state != "running":
            return there
        noted = await self._records.backfill(known.key, _cancelled(there))
        self._connections.on_change()
        return there if noted is None else noted

    async def _find(self, tenant: str, name: str) -> tuple[Known, Timing]:
        known = await self._connections.find(tenant, name)
        timing = known.connection.planned
        if timing is None:
            raise _not_found(
                f"Connection {name!r} has no schedule.", "Save it with `schedule` (cron) or `every` (an interval)."
            )
        return known, timing


def _cancelled(fill: Backfill) -> Backfill:
    facts = {name: getattr(fill, name) for name in Backfill.__slots__}
    return Backfill(**{**facts, "state": "cancelled"})


def _slots(timing: Timing, start: UnixMs, until: UnixMs, now: UnixMs) -> tuple[UnixMs, ...]:
    if until < start:
        raise MusterError(ErrorCode.INVALID_BODY, "`until` is before `from`.")
    if until > now:
        raise MusterError(
            ErrorCode.INVALID_BODY, "`until` is in the future.", hint="A backfill runs slots that have passed."
        )
    try:
        return between(timing, start, until, BACKFILL_SLOTS_MAX)
    except TooManySlots as error:
        raise MusterError(
            ErrorCode.TOO_MANY_SLOTS,
            f"A backfill has at most {BACKFILL_SLOTS_MAX} slots, and {error}.",
            hint="Ask for a shorter time, and for the rest afterwards.",
        ) from error


def _running(name: str, fill: Backfill) -> MusterError:
    return MusterError(
        ErrorCode.BACKFILL_RUNNING,
        f"Connection {name!r} has a backfill under way: {fill.made + fill.there} of {fill.total} slots.",
        hint="Wait for its end, or cancel it.",
    )


def _not_found(detail: str, hint: str) -> MusterError:
    return MusterError(ErrorCode.SCHEDULE_NOT_FOUND, detail, hint=hint)
