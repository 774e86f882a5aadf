"""Which jobs there are, by tag and status, and their end by deletion. A part of the store's contract, see `base`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, NamedTuple, Protocol

from muster.core.ids import JobId, UnixMs
from muster.core.record import JobRecord
from muster.core.status import JobStatus

if TYPE_CHECKING:
    from muster.store.base import Position


class Glance(NamedTuple):
    """What a search learns of a job. They sort by creation."""

    created_at: UnixMs
    job: JobId
    status: JobStatus
    begun: bool = False
    """As `JobRecord.has_begun`."""
    cost_micros: int = 0


@dataclass(frozen=True, slots=True)
class IndexPage:
    """Jobs of an index with their `places` in it: a job that ends meanwhile is told as it is, where it was.

    `last` is where to go on, None where there is no more; it may stand behind jobs that are gone by now, so that a page
    without items is not yet the end.
    """

    items: tuple[JobRecord, ...]
    places: "tuple[Position, ...]"
    last: "Position | None"


@dataclass(frozen=True, slots=True)
class DayCost:
    """A tenant's jobs of one meter that were created on *day* (UTC) and are over. Every run counts, failed or not."""

    day: date
    meter: str
    jobs: int
    run_ms: int
    cost_micros: int


class IndexStore(Protocol):
    async def jobs(self, tenant: str, before: "Position | None", limit: int, *, final: bool | None = None) -> IndexPage:
        """Jobs of *tenant* below *before*, newest first: final ones by their end, live ones by creation.

        *final*: only those, or only live ones; None: all.
        """
        ...

    async def tagged(
        self, tenant: str, tag: str, before: "Position | None", limit: int, *, final: bool | None = None
    ) -> IndexPage:
        """Up to *limit* jobs of the tag created below *before*, newest first; *final* as in `jobs`."""
        ...

    async def glances(
        self, tenant: str, *, tag: str | None, statuses: frozenset[JobStatus] | None, most: int
    ) -> Sequence[Glance]:
        """The tenant's jobs, or those of the tag, in any order. About *most* are looked at, live ones first."""
        ...

    async def day_costs(self, tenant: str, days: Sequence[date]) -> tuple[DayCost, ...]:
        """The sums of each of the days, in any order."""
        ...

    async def durations(self, tenant: str, meter: str) -> tuple[int, ...]:
        """How many ms the last 100 jobs of the meter took that finished in the last 30 days, newest first."""
        ...

    async def delete(self, job: JobId) -> tuple[str, ...]:
        """Forget the job and everything of it, whatever its state. Returns the blobs of its artifacts."""
        ...
