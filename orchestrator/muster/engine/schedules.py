"""Runs connections at their times. One replica does it for all; another takes over when it is gone.

A slot makes one job at most, whoever asks for it: its idempotency key is the slot. What became of it is noted
afterwards, so whoever takes over goes on from there.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from muster.core.ids import UnixMs
from muster.engine.connections import Connections
from muster.engine.firing import Firing, Timed
from muster.errors import ErrorCode, MusterError
from muster.store.base import Store, StoreFull, StoreUnavailable
from muster.store.connection_records import Backfill, Slot

log = logging.getLogger("muster.schedules")

POLL_S: Final = 5.0
"""A new connection's schedule is known everywhere after this time; it is one command of the store each."""
LEASE_MS: Final = 15_000
"""A replica that is not heard of for so long does not run the schedules any more."""
SLOTS_PER_TURN: Final = 100
"""Schedules dealt with between two renewals of the lease."""
QUEUE_LOOK_S: Final = 1.0
"""Where a slot waits for the run before, it is looked at so often."""
FILLED_PER_TURN: Final = 50
"""Jobs of one backfill made between two renewals of the lease."""
FILL_PAUSE_S: Final = 0.05
RESIGN_S: Final = 1.0


class Schedules:
    def __init__(self, store: Store, connections: Connections, firing: Firing, replica: str) -> None:
        self._records = store.connections
        self._connections = connections
        self._firing = firing
        self._replica = replica
        self._timed: dict[str, Timed] = {}
        self._fills: dict[str, Backfill] = {}
        self._looked_at = UnixMs(0)
        self._changes: int | None = None
        """As of the schedules known here; None: they must be read."""
        self._changed = asyncio.Event()
        connections.on_change = self.hint

    async def run(self) -> None:
        """Until it is cancelled, or the server takes no new jobs."""
        try:
            while True:
                await self._pause(await self._turn_or_trouble())
        except MusterError as error:
            if error.code is not ErrorCode.SHUTTING_DOWN:
                raise
        finally:
            with contextlib.suppress(StoreUnavailable, StoreFull, TimeoutError):
                async with asyncio.timeout(RESIGN_S):
                    await self._records.lead(self._replica, 0)

    def hint(self) -> None:
        """A connection changed here: look at once."""
        self._changed.set()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        self._changed.clear()

    async def _turn_or_trouble(self) -> float:
        try:
            return await self.turn()
        except (StoreUnavailable, StoreFull) as trouble:
            log.warning("schedules_put_off", extra={"error": str(trouble)})
        except MusterError:
            raise
        except Exception:
            log.exception("schedules_failed")
        self._changes = None
        return POLL_S

    @property
    def next_slot(self) -> UnixMs | None:
        """When the schedules that this replica runs must be looked at, as of its last turn."""
        return min(self._moments(), default=None)

    def _moments(self) -> Iterator[UnixMs]:
        for timed in self._timed.values():
            if timed.due is not None:
                yield timed.due
            if timed.waits:
                yield UnixMs(self._looked_at + round(QUEUE_LOOK_S * 1000))
        for fill in self._fills.values():
            yield UnixMs(self._looked_at + round((QUEUE_LOOK_S if fill.queue else FILL_PAUSE_S) * 1000))

    async def turn(self) -> float:
        """Run what is due. Returns in how many seconds to look again."""
        if self._changes is not None and not self._timed and await self._records.changes() == self._changes:
            return POLL_S  # nobody has a schedule
        lead = await self._records.lead(self._replica, LEASE_MS)
        if not lead.is_mine:
            self._changes = None
            return POLL_S
        if lead.changes != self._changes:
            await self._load(lead.now)
            self._changes = lead.changes
        self._looked_at = lead.now
        await self._fire(lead.now)
        for key, fill in list(self._fills.items()):
            await self._fill(key, fill, lead.now)
        return min([POLL_S, *(max(0, moment - lead.now) / 1000 for moment in self._moments())])

    async def _load(self, now: UnixMs) -> None:
        slots, pauses = await self._records.slots(), await self._records.pauses()
        fills = await self._records.backfills()
        timed = {
            known.key: Timed.of(known, slots.get(known.key), pauses.get(known.key), now)
            for known in await self._connections.scheduled()
        }
        seen = {key: Slot(one.text, one.since, "seen") for key, one in timed.items() if not _is_noted(one, slots)}
        known = {*slots, *pauses, *fills}
        await self._note(seen, tuple(sorted(known - timed.keys())))
        self._timed = timed
        self._fills = {key: fill for key, fill in fills.items() if fill.state == "running" and key in timed}

    async def _note(
        self, slots: Mapping[str, Slot], forgotten: tuple[str, ...] = (), told: Sequence[tuple[str, Slot]] = ()
    ) -> None:
        if (slots or forgotten) and not await self._records.note_slots(self._replica, slots, forgotten, told):
            self._changes = None  # another replica goes on; what was begun here has the same keys there

    async def _fire(self, now: UnixMs) -> None:
        ready = [(key, timed) for key, timed in self._timed.items() if timed.is_ready(now)]
        notes: dict[str, Slot] = {}
        told: list[tuple[str, Slot]] = []
        for key, timed in ready[:SLOTS_PER_TURN]:
            fates = await self._firing.fire(timed, now)
            told += [(key, fate) for fate in fates]
            if fates:
                notes[key] = timed.stands(fates[-1])
        await self._note(notes, told=told)

    # Backfills

    async def _fill(self, key: str, fill: Backfill, now: UnixMs) -> None:
        """Run some more slots of the past, and note how far it is."""
        timed, told = self._timed[key], list[tuple[str, Slot]]()
        for slot in timed.timing.after(fill.after):
            if slot > fill.until:
                fill = replace(fill, state="done")
                break
            if len(told) >= FILLED_PER_TURN or (fill.queue and await self._firing.has_active(timed.known)):
                break
            outcome, detail = await self._firing.fill(timed.known, slot)
            fill = _counted(replace(fill, after=slot), outcome, detail)
            if outcome is not None:
                told.append((key, Slot(timed.text, slot, outcome, detail, now)))
        if await self._records.backfill(key, fill, self._replica) is None or fill.state != "running":
            del self._fills[key]  # it is over, was cancelled, or another replica goes on
        else:
            self._fills[key] = fill
        if told:
            await self._records.note_slots(self._replica, {}, (), told)


def _counted(fill: Backfill, outcome: str | None, detail: str) -> Backfill:
    if outcome is None:
        return replace(fill, there=fill.there + 1)
    if outcome == "run":
        return replace(fill, made=fill.made + 1)
    return replace(fill, refused=fill.refused + 1, detail=detail)


def _is_noted(timed: Timed, slots: Mapping[str, Slot]) -> bool:
    noted = slots.get(timed.known.key)
    return noted is not None and noted.schedule == timed.text
