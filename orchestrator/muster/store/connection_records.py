"""Saved connections, and what became of their schedules' slots. A part of the store's contract, see `base`.

One replica at a time runs the schedules: the one that `lead` says does, until its lease ends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, Protocol, TypeAlias

from muster.core.ids import UnixMs

Outcome: TypeAlias = Literal["seen", "run", "skipped", "missed", "refused", "queued", "paused"]
NEVER: Final = UnixMs(0)
BackfillState: TypeAlias = Literal["running", "done", "cancelled"]


class NotSaved(StrEnum):
    EXISTS = "exists"
    FULL = "full"
    """The tenant has as many connections as one may have."""


@dataclass(frozen=True, slots=True)
class SavedConnection:
    """`record` is JSON, as it was given."""

    name: str
    record: bytes
    created_at: UnixMs
    changed_at: UnixMs


@dataclass(frozen=True, slots=True)
class Lead:
    """Whether this replica runs the schedules, and how often any saved connection was changed."""

    is_mine: bool
    now: UnixMs
    changes: int


@dataclass(frozen=True, slots=True)
class Slot:
    """The last slot of a schedule and its fate.

    Attributes:
        schedule: what it was a slot of, as text.
        outcome: `seen`: no slot yet, `at` is since when it is looked at. `skipped`: the run before was still active.
            `queued`: it waits for the run before. `paused`: the schedule was. `missed`: nobody could run it in time.
            `refused`: the job could not be made.
        detail: the job that was made, or that was still active; or why there is none.
        dealt_at: when that was decided; 0 where an older server noted it.
        until: slots up to here are dealt with, if it is later than `at`.
        queued: slots that wait for the run before, oldest first.
    """

    schedule: str
    at: UnixMs
    outcome: Outcome
    detail: str = ""
    dealt_at: UnixMs = NEVER
    until: UnixMs = NEVER
    queued: tuple[UnixMs, ...] = ()


@dataclass(frozen=True, slots=True)
class Pause:
    """Whether a schedule is paused, since when or until when, by which tenant and why."""

    is_paused: bool
    at: UnixMs
    by: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Backfill:
    """Slots of the past that are run on somebody's wish.

    Attributes:
        id: the same one started twice is one.
        after: slots up to here are dealt with.
        queue: each slot waits until the run before is over.
        made, there, refused: slots whose job was made, was there already, could not be made.
    """

    id: str
    start: UnixMs
    until: UnixMs
    after: UnixMs
    total: int
    queue: bool
    by: str
    state: BackfillState = "running"
    made: int = 0
    there: int = 0
    refused: int = 0
    detail: str = ""


class ConnectionRecords(Protocol):
    async def all(self, tenant: str) -> tuple[SavedConnection, ...]:
        """The tenant's, oldest first."""
        ...

    async def get(self, tenant: str, name: str) -> SavedConnection | None: ...

    async def save(
        self, tenant: str, name: str, record: bytes, nonce: str, *, is_new: bool, most: int
    ) -> SavedConnection | NotSaved:
        """Write it down, in place of the one of the same name unless it *is_new*. *nonce*: letters and digits."""
        ...

    async def delete(self, tenant: str, name: str) -> bool:
        """False: there was none."""
        ...

    async def tenants(self) -> tuple[str, ...]:
        """Those that have any, in order."""
        ...

    async def changes(self) -> int:
        """How often any connection was saved or deleted: one plain read."""
        ...

    async def lead(self, replica: str, lease_ms: int) -> Lead:
        """Become or stay the one that runs schedules, if nobody else is; a lease of 0 gives that up."""
        ...

    async def slots(self) -> dict[str, Slot]:
        """By schedule, as they were noted."""
        ...

    async def note_slots(
        self,
        replica: str,
        slots: Mapping[str, Slot],
        forgotten: Sequence[str] = (),
        told: Sequence[tuple[str, Slot]] = (),
    ) -> bool:
        """Note where schedules stand, and of the slots *told* what became of them, by schedule.

        A schedule that is *forgotten* loses its pause and backfill too. False: *replica* does not run the schedules
        any more; nothing is written.
        """
        ...

    async def recent(self, schedule: str) -> tuple[Slot, ...]:
        """Its last slots as they were told, newest first."""
        ...

    async def pause(self, schedule: str, pause: Pause) -> None:
        """Set whether it is paused. Counts as a change."""
        ...

    async def pauses(self) -> dict[str, Pause]:
        """By schedule."""
        ...

    async def backfill(self, schedule: str, backfill: Backfill, replica: str = "") -> Backfill | None:
        """Start it, or note how far it is: that only *replica* may, while it runs the schedules and it goes on.

        Returns what is known of the schedule's backfill then: another one, where that runs. None: not noted.
        """
        ...

    async def backfills(self) -> dict[str, Backfill]:
        """The last of each schedule that has one."""
        ...
