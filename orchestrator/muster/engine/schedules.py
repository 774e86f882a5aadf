"""Runs connections at their times. One replica does it for all; another takes over when it is gone.

A slot makes one job at most, whoever asks for it: its idempotency key is the slot. What became of it is noted
afterwards, so whoever takes over goes on from there.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from muster.core.connection import SLOT_TAG
from muster.core.ids import UnixMs
from muster.core.limits import SLOT_LATE_MS
from muster.core.record import JobRecord
from muster.core.schedule import Schedule
from muster.engine.connections import Connections, Known, Submit, Tagged
from muster.errors import ErrorCode, MusterError
from muster.store.base import Store, StoreFull, StoreUnavailable
from muster.store.connection_records import Slot

log = logging.getLogger("muster.schedules")

POLL_S: Final = 5.0
"""A new connection's schedule is known everywhere after this time; it is one command of the store each."""
LEASE_MS: Final = 15_000
"""A replica that is not heard of for so long does not run the schedules any more."""
SLOTS_PER_TURN: Final = 100
"""Jobs made between two renewals of the lease."""
ACTIVE_RUNS_SEEN: Final = 50
"""The newest runs among which one that is still active is looked for."""
RESIGN_S: Final = 1.0


@dataclass(slots=True)
class _Timed:
    """A schedule and where it stands: slots up to `since` are dealt with, the one at `due` comes next."""

    known: Known
    schedule: Schedule
    since: UnixMs
    due: UnixMs | None = None

    @property
    def text(self) -> str:
        return f"{self.schedule.expression} {self.schedule.timezone}"

    def look_ahead(self, now: UnixMs) -> None:
        self.due = self.schedule.next(_start(self.since, now))


class Schedules:
    def __init__(self, store: Store, connections: Connections, submit: Submit, tagged: Tagged, replica: str) -> None:
        self._records = store.connections
        self._connections = connections
        self._submit = submit
        self._tagged = tagged
        self._replica = replica
        self._timed: dict[str, _Timed] = {}
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
        """Of the schedules that this replica runs, as of its last turn."""
        return min((timed.due for timed in self._timed.values() if timed.due is not None), default=None)

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
        due = [timed for timed in self._timed.values() if timed.due is not None and timed.due <= lead.now]
        await self._note({timed.known.key: await self._fire(timed, lead.now) for timed in due[:SLOTS_PER_TURN]})
        moments = [timed.due for timed in self._timed.values() if timed.due is not None]
        return min([POLL_S, *(max(0, moment - lead.now) / 1000 for moment in moments)])

    async def _load(self, now: UnixMs) -> None:
        slots = await self._records.slots()
        timed = {known.key: _timed(known, slots.get(known.key), now) for known in await self._connections.scheduled()}
        for one in timed.values():
            one.look_ahead(now)
        seen = {key: Slot(one.text, one.since, "seen") for key, one in timed.items() if not _is_noted(one, slots)}
        await self._note(seen, tuple(sorted(slots.keys() - timed.keys())))
        self._timed = timed

    async def _note(self, slots: Mapping[str, Slot], forgotten: tuple[str, ...] = ()) -> None:
        if (slots or forgotten) and not await self._records.note_slots(self._replica, slots, forgotten):
            self._changes = None  # another replica goes on; what was begun here has the same keys there

    async def _fire(self, timed: _Timed, now: UnixMs) -> Slot:
        """Deal with the newest slot; older ones that nobody could run are passed over."""
        due = timed.due
        assert due is not None
        slot = timed.schedule.newest(_start(timed.since, now), now)
        facts = {"connection": timed.known.connection.name, "tenant": timed.known.scheduled_tenant}
        if slot != due:
            log.warning("schedule_slots_missed", extra={**facts, "first": _text(due)})
        outcome = Slot(timed.text, due, "missed") if slot is None else await self._outcome(timed, slot)
        told = {**facts, "slot": _text(outcome.at), "detail": outcome.detail}
        log.info(f"schedule_{outcome.outcome}", extra=told)  # noqa: G004 -- one of four words
        timed.since = outcome.at
        timed.look_ahead(now)
        return outcome

    async def _outcome(self, timed: _Timed, slot: UnixMs) -> Slot:
        known, tag = timed.known, f"{SLOT_TAG}:{slot}"
        tenant = known.scheduled_tenant
        page = await self._tagged(tenant, known.connection.tag, limit=ACTIVE_RUNS_SEEN)
        if made := next((run for run in page.items if tag in run.submission.tags), None):
            return Slot(timed.text, slot, "run", made.id)
        if active := _active(page.items):
            return Slot(timed.text, slot, "skipped", active.id)
        order = known.order(tenant, tags=(tag,), key=f"schedule:{known.connection.name}:{_text(slot)}")
        try:
            return Slot(timed.text, slot, "run", (await self._submit(order)).job_id)
        except MusterError as error:
            if error.code is ErrorCode.SHUTTING_DOWN:
                raise
            return Slot(timed.text, slot, "refused", error.detail)


def _timed(known: Known, noted: Slot | None, now: UnixMs) -> _Timed:
    """Slots before it was noted, or saved, are nobody's."""
    schedule = known.connection.timing
    assert schedule is not None, known.key
    fresh = _Timed(known, schedule, now if known.changed_at is None else known.changed_at)
    if noted is not None and noted.schedule == fresh.text:
        fresh.since = noted.at
    return fresh


def _is_noted(timed: _Timed, slots: Mapping[str, Slot]) -> bool:
    noted = slots.get(timed.known.key)
    return noted is not None and noted.schedule == timed.text


def _start(since: UnixMs, now: UnixMs) -> UnixMs:
    """Slots up to here are not run: they are dealt with, or too long ago."""
    return UnixMs(max(since, now - SLOT_LATE_MS))


def _active(runs: tuple[JobRecord, ...]) -> JobRecord | None:
    return next((run for run in runs if not run.status.is_final), None)


def _text(moment: UnixMs) -> str:
    return datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
