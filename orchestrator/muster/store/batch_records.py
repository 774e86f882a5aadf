"""Batches: jobs that came in one stream, in order of their lines. A part of the store's contract, see `base`.

All of a batch is in one partition: its counts are exact, and its end is told by the script that ends its last job.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from muster.core.ids import JobId, UnixMs
from muster.core.status import JobStatus
from muster.store.base import NewJob


@dataclass(frozen=True, slots=True)
class NewBatch:
    """`key` stands for tenant and id. `webhook` is what is sent at the end, up to its counts; empty: nothing is."""

    key: str
    tenant: str
    id: str
    webhook: bytes = b""
    retention_ms: int = 604_800_000
    client: str = ""
    """Whose quota its jobs are counted in, as in `Admission`."""
    live_max: int = 0
    queued_max: int = 0


@dataclass(frozen=True, slots=True)
class BatchLine:
    """A job and the line it stands on; `print` tells whether the same was there before."""

    line: int
    print: str
    job: NewJob


class LineFate(StrEnum):
    MADE = "made"
    THERE = "there"
    """The line was taken before, and was the same."""
    CONFLICT = "conflict"
    """The line was taken before, and was another."""
    CLOSED = "closed"
    """The batch takes no lines any more."""
    CANCELLED = "cancelled"
    LIMITED = "limited"
    """The client has as many jobs as it may."""


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """`total` jobs, of which `live` are not over. `ended_at`: when the last one was, of a closed batch."""

    id: str
    tenant: str
    created_at: UnixMs
    is_closed: bool
    is_cancelled: bool
    total: int
    live: int
    cost_micros: int
    ended_at: UnixMs | None
    counts: Mapping[JobStatus, int] = field(default_factory=dict[JobStatus, int])


@dataclass(frozen=True, slots=True)
class BatchToCancel:
    """Some jobs of a batch that is being cancelled, after line `after`; none: all were asked."""

    key: str
    tenant: str
    after: int
    jobs: tuple[tuple[int, JobId], ...]


class BatchRecords(Protocol):
    async def add(self, partition: int, batch: NewBatch, lines: Sequence[BatchLine]) -> tuple[LineFate, ...]:
        """Make the jobs of up to 100 lines, which grow, and none of a line twice; `tick` gives their first turns."""
        ...

    async def close(self, partition: int, batch: NewBatch) -> StoredBatch:
        """No further line is taken. Where no job lives any more, that is the end of the batch."""
        ...

    async def read(self, partition: int, key: str) -> StoredBatch | None: ...

    async def page(self, partition: int, key: str, after: int, limit: int) -> tuple[tuple[int, JobId], ...]:
        """Lines later than *after* and their jobs, in order."""
        ...

    async def cancel(self, partition: int, key: str) -> int | None:
        """Have all its jobs cancelled, by `tick`. Returns how many are not over; None: there is no such batch."""
        ...

    async def cancelled_to(self, partition: int, key: str, after: int, line: int | None) -> None:
        """The jobs after line *after* were asked up to *line*; None: there are no more."""
        ...
