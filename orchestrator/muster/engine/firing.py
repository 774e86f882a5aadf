"""One schedule and what becomes of its slots. Who calls it is the one replica that runs schedules."""

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from muster.core.connection import BACKFILL_TAG, SLOT_TAG
from muster.core.ids import UnixMs
from muster.core.limits import QUEUED_SLOTS_MAX
from muster.core.record import JobRecord
from muster.core.timing import Due, Punctuality, Timing, due_slots
from muster.engine.connections import Known, Submit, Tagged
from muster.errors import ErrorCode, MusterError
from muster.store.connection_records import Outcome, Pause, Slot

log = logging.getLogger("muster.schedules")

ACTIVE_RUNS_SEEN: Final = 50
"""The newest runs among which one that is still active is looked for."""
ITS_OVER: Final = frozenset({ErrorCode.JOB_FINAL, ErrorCode.JOB_NOT_FOUND})


class CancelJob(Protocol):
    async def __call__(self, tenant: str, job_id: str) -> bool: ...


@dataclass(slots=True)
class Timed:
    """A schedule and where it stands: slots up to `since` are dealt with, the one that comes next starts at `due`."""

    known: Known
    timing: Timing
    rules: Punctuality
    since: UnixMs
    queued: tuple[UnixMs, ...] = ()
    pause: Pause | None = None
    due: UnixMs | None = None

    @classmethod
    def of(cls, known: Known, noted: Slot | None, pause: Pause | None, now: UnixMs) -> "Timed":
        """Slots before it was noted, saved or resumed are nobody's."""
        timing = known.connection.timing
        assert timing is not None, known.key
        timed = cls(known, timing, known.connection.punctuality(known.key), known.changed_at or now, pause=pause)
        if noted is not None and noted.schedule == timed.text:
            timed.since, timed.queued = max(noted.at, noted.until), noted.queued
        if pause is not None and not pause.is_paused:
            timed.since = max(timed.since, pause.at)
        timed.look_ahead()
        return timed

    @property
    def text(self) -> str:
        return self.timing.text

    @property
    def is_paused(self) -> bool:
        return self.pause is not None and self.pause.is_paused

    @property
    def waits(self) -> bool:
        """Whether a slot of it waits for the run before."""
        return bool(self.queued) and not self.is_paused

    def look_ahead(self) -> None:
        slot = self.timing.next(self.since)
        self.due = None if slot is None else self.rules.starts_at(slot)

    def is_ready(self, now: UnixMs) -> bool:
        return self.waits or (self.due is not None and self.due <= now)

    def stands(self, last: Slot) -> Slot:
        """What is noted of it, with the *last* slot."""
        return replace(last, until=self.since, queued=self.queued)


class Firing:
    def __init__(self, submit: Submit, tagged: Tagged, cancel: CancelJob, keep_ms: int) -> None:
        self._submit = submit
        self._tagged = tagged
        self._cancel = cancel
        self._keep_ms = keep_ms
        """A slot's key is kept as long as its job may be: no backfill makes another one."""

    async def fire(self, timed: Timed, now: UnixMs) -> list[Slot]:
        """Deal with what is due, oldest first. Returns what became of it."""
        told: list[Slot] = []
        if timed.waits:
            told += await self._next_queued(timed, now)
        if timed.due is None or timed.due > now:
            return told
        due = due_slots(timed.timing, timed.rules, timed.since, now)
        if timed.is_paused:
            told += _paused(timed, due, now)
        else:
            told += _missed(timed, due, now)
            for slot in due.run:
                told += await self._overlapping(timed, slot, now)
        timed.since = due.until
        timed.look_ahead()
        for one in told:
            facts = {"connection": timed.known.connection.name, "tenant": timed.known.scheduled_tenant}
            facts |= {"slot": moment_text(one.at), "detail": one.detail}
            log.info(f"schedule_{one.outcome}", extra=facts)  # noqa: G004 -- one of a few words
        return told

    async def _next_queued(self, timed: Timed, now: UnixMs) -> list[Slot]:
        slot = timed.queued[0]
        made, active = await self._runs(timed.known, slot)
        if made is None and active:
            return []
        timed.queued = timed.queued[1:]
        return [await self._made(timed, slot, now, made)]

    async def _overlapping(self, timed: Timed, slot: UnixMs, now: UnixMs) -> list[Slot]:
        """What the policy says where the run before is still active."""
        overlap = timed.known.connection.overlap
        made, active = await self._runs(timed.known, slot)
        if made is not None or overlap == "allow" or not (active or timed.queued):
            return [await self._made(timed, slot, now, made)]
        if overlap == "queue":
            return [_queue(timed, slot, now)]
        if overlap == "cancel_running":
            await self._cancel_all(timed.known.scheduled_tenant, active)
            given_up = [_slot(timed, one, "skipped", "a later slot took its place", now) for one in timed.queued]
            timed.queued = (slot,)
            return [*given_up, _slot(timed, slot, "queued", active[0].id if active else "", now)]
        return [_slot(timed, slot, "skipped", active[0].id, now)]

    async def _cancel_all(self, tenant: str, active: list[JobRecord]) -> None:
        for record in active:
            try:
                await self._cancel(tenant, record.id)
            except MusterError as error:
                if error.code not in ITS_OVER:
                    raise

    async def _runs(self, known: Known, slot: UnixMs) -> tuple[JobRecord | None, list[JobRecord]]:
        """The job of the slot, if it was made before, and the runs that are active."""
        page = await self._tagged(known.scheduled_tenant, known.connection.tag, limit=ACTIVE_RUNS_SEEN)
        made = next((run for run in page.items if slot_tag(slot) in run.submission.tags), None)
        return made, [run for run in page.items if not run.status.is_final]

    async def has_active(self, known: Known) -> bool:
        return bool((await self._runs(known, UnixMs(-1)))[1])

    async def _made(self, timed: Timed, slot: UnixMs, now: UnixMs, made: JobRecord | None) -> Slot:
        if made is not None:
            return _slot(timed, slot, "run", made.id, now)
        try:
            return _slot(timed, slot, "run", (await self.make(timed.known, slot))[0], now)
        except MusterError as error:
            if error.code is ErrorCode.SHUTTING_DOWN:
                raise
            return _slot(timed, slot, "refused", error.detail, now)

    async def make(self, known: Known, slot: UnixMs, *tags: str) -> tuple[str, bool]:
        """The slot's job, and whether it was made now. Whoever asks for it, and how often, there is one."""
        key = f"schedule:{known.connection.name}:{moment_text(slot)}"
        order = known.order(known.scheduled_tenant, tags=(slot_tag(slot), *tags), key=key)
        submitted = await self._submit(replace(order, key_kept_ms=self._keep_ms))
        return submitted.job_id, submitted.created

    async def fill(self, known: Known, slot: UnixMs) -> tuple[Outcome | None, str]:
        """Run a slot of the past: `run` with its job, `refused` with the reason; None: its job is there."""
        try:
            job, created = await self.make(known, slot, BACKFILL_TAG)
        except MusterError as error:
            if error.code is ErrorCode.IDEMPOTENCY_CONFLICT:  # made at its time, maybe of another definition
                return None, ""
            if error.code is ErrorCode.SHUTTING_DOWN:
                raise
            return "refused", error.detail
        return ("run", job) if created else (None, job)


def slot_tag(slot: UnixMs) -> str:
    return f"{SLOT_TAG}:{slot}"


def moment_text(moment: UnixMs) -> str:
    """In UTC, to the second; with milliseconds where there are any."""
    at = datetime.fromtimestamp(moment / 1000, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if moment % 1000 == 0 else at.isoformat(timespec="milliseconds")


def _queue(timed: Timed, slot: UnixMs, now: UnixMs) -> Slot:
    if slot in timed.queued:
        return _slot(timed, slot, "queued", "", now)
    if len(timed.queued) >= QUEUED_SLOTS_MAX:
        return _slot(timed, slot, "skipped", f"{QUEUED_SLOTS_MAX} slots wait already", now)
    timed.queued = (*timed.queued, slot)
    return _slot(timed, slot, "queued", "", now)


def _paused(timed: Timed, due: Due, now: UnixMs) -> list[Slot]:
    assert timed.pause is not None
    slots = [*([] if due.missed is None else [due.missed]), *due.run]
    return [_slot(timed, slot, "paused", timed.pause.reason, now) for slot in slots]


def _missed(timed: Timed, due: Due, now: UnixMs) -> list[Slot]:
    if due.missed is None:
        return []
    log.warning("schedule_slots_missed", extra={"connection": timed.known.connection.name, "until": due.until})
    return [_slot(timed, due.missed, "missed", "nobody could run it in time", now)]


def _slot(timed: Timed, at: UnixMs, outcome: Outcome, detail: Any, now: UnixMs) -> Slot:
    return Slot(timed.text, at, outcome, str(detail), now)
