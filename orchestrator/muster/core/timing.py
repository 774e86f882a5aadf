"""What any schedule is to whoever runs it: slots in order, of a cron expression or of an interval."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from muster.core.ids import UnixMs
from muster.core.interval import Interval
from muster.core.limits import SLOT_ON_TIME_MS
from muster.core.schedule import Schedule

Timing: TypeAlias = Schedule | Interval


class TooManySlots(ValueError):
    """A stretch of time has more slots than may be asked for at once."""


def preview(timing: Timing, after: UnixMs, count: int) -> tuple[UnixMs, ...]:
    """The next slots later than *after*; fewer where the schedule ends within fifty years."""
    return tuple(islice(timing.after(after), count))


def between(timing: Timing, start: UnixMs, until: UnixMs, most: int) -> tuple[UnixMs, ...]:
    """The slots from *start* to *until*, both included.

    Raises:
        TooManySlots: there are more than *most*.
    """
    found: list[UnixMs] = []
    for slot in timing.after(UnixMs(start - 1)):
        if slot > until:
            break
        if len(found) == most:
            raise TooManySlots(f"there are more than {most} slots in this time")
        found.append(slot)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Punctuality:
    """How a schedule deals with what is late, and how it is spread.

    Attributes:
        late_slots: how many slots that nobody could run at their time are made up for, the newest; 0: none.
        late_ms_max: one that is later than this is not made up for.
        jitter_ms: each slot starts up to so much later: always the same for one slot, spread over all schedules.
        name: of the schedule; what the spread comes from.
    """

    late_slots: int
    late_ms_max: int
    jitter_ms: int = 0
    name: str = ""

    def starts_at(self, slot: UnixMs) -> UnixMs:
        if not self.jitter_ms:
            return slot
        digest = hashlib.blake2b(f"{self.name}\0{slot}".encode(), digest_size=8).digest()
        return UnixMs(slot + int.from_bytes(digest) % (self.jitter_ms + 1))


@dataclass(frozen=True, slots=True)
class Due:
    """What a look at a schedule found.

    Attributes:
        run: slots to run, in order.
        missed: the newest slot that is passed over, as far as it was looked back; None: none is.
        until: all slots up to here are dealt with once those to run are.
    """

    run: tuple[UnixMs, ...]
    missed: UnixMs | None
    until: UnixMs


def due_slots(timing: Timing, rules: Punctuality, since: UnixMs, now: UnixMs) -> Due:
    """What of the slots later than *since* is to be run by *now*, and what is too late for that."""
    oldest = UnixMs(max(since, now - rules.late_ms_max - rules.jitter_ms - 1))
    found = _begun(timing, rules, oldest, now)
    wanted = [slot for slot in found[-max(1, rules.late_slots) :] if _is_wanted(rules, slot, now)]
    passed = [slot for slot in found if slot not in wanted]
    first = timing.next(since)
    if not passed and first is not None and first <= oldest:
        passed = [first]
    return Due(tuple(wanted), passed[-1] if passed else None, found[-1] if found else oldest)


def _begun(timing: Timing, rules: Punctuality, since: UnixMs, now: UnixMs) -> Sequence[UnixMs]:
    found: list[UnixMs] = []
    for slot in timing.after(since):
        if rules.starts_at(slot) > now:
            break
        found.append(slot)
    return found


def _is_wanted(rules: Punctuality, slot: UnixMs, now: UnixMs) -> bool:
    late_ms = now - rules.starts_at(slot)
    return late_ms <= SLOT_ON_TIME_MS or (rules.late_slots > 0 and late_ms < rules.late_ms_max)
