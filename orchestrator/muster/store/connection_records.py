"""Saved connections, and what became of their schedules' slots. A part of the store's contract, see `base`.

One replica at a time runs the schedules: the one that `lead` says does, until its lease ends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol, TypeAlias

from muster.core.ids import UnixMs

Outcome: TypeAlias = Literal["seen", "run", "skipped", "missed", "refused"]


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
    """Whether this replica runs the schedules; `changes` grows with every change of any saved connection."""

    is_mine: bool
    now: UnixMs
    changes: int


@dataclass(frozen=True, slots=True)
class Slot:
    """The last slot of a schedule and its fate.

    Attributes:
        schedule: expression and zone that it was a slot of.
        outcome: `seen`: no slot yet, `at` is since when it is looked at. `skipped`: the run before was still active.
            `missed`: nobody could run it in time. `refused`: the job could not be made.
        detail: the job that was made, or that was still active; or why there is none.
    """

    schedule: str
    at: UnixMs
    outcome: Outcome
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

    async def lead(self, replica: str, lease_ms: int) -> Lead:
        """Become or stay the one that runs schedules, if nobody else is; a lease of 0 gives that up."""
        ...

    async def slots(self) -> dict[str, Slot]:
        """By schedule, as they were noted."""
        ...

    async def note_slots(self, replica: str, slots: Mapping[str, Slot], forgotten: Sequence[str] = ()) -> bool:
        """False: *replica* does not run the schedules any more; nothing is written."""
        ...
