"""What the model knows of a batch, and how its jobs change that."""

from collections import Counter
from dataclasses import dataclass, field

import orjson

from muster.core.ids import JobId, UnixMs
from muster.core.limits import CANCELS_PER_TICK_MAX
from muster.core.status import JobStatus
from muster.store.batch_records import BatchToCancel, NewBatch, StoredBatch
from muster.store.memory.model import BatchCancel, Job, Outgoing
from muster.store.memory.partition import Partition


@dataclass(slots=True)
class Kept:
    """A batch as the model remembers it; jobs by line, and those that nobody has begun in line."""

    new: NewBatch
    created_at: UnixMs
    jobs: dict[int, tuple[JobId, str]] = field(default_factory=dict[int, tuple[JobId, str]])
    waiting: list[JobId] = field(default_factory=list[JobId])
    counts: Counter[JobStatus] = field(default_factory=Counter[JobStatus])
    cost_micros: int = 0
    is_closed: bool = False
    is_cancelled: bool = False
    ended_at: UnixMs | None = None
    expires_at: int | None = None

    @property
    def live(self) -> int:
        return sum(count for status, count in self.counts.items() if not status.is_final)


def kept(part: Partition, key: str) -> Kept | None:
    found = part.batches.get(key)
    if found is not None and found.expires_at is not None and found.expires_at <= part.now():
        del part.batches[key]
        return None
    return found


def count(part: Partition, job: Job, old: JobStatus, new: JobStatus) -> None:
    """A job of a batch has another status."""
    batch = kept(part, job.batch)
    if batch is None or old == new:
        return
    batch.counts[old] -= 1
    batch.counts[new] += 1
    if new.is_final:
        batch.cost_micros += job.record.cost_micros
        if not batch.live:
            end(part, batch)


def end(part: Partition, batch: Kept) -> None:
    batch.expires_at = part.now() + batch.new.retention_ms
    if not batch.is_closed or batch.ended_at is not None:
        return
    batch.ended_at = UnixMs(part.now())
    if not batch.new.webhook:
        return
    counts = {status.value: number for status, number in batch.counts.items() if number}
    tail = orjson.dumps({"total": len(batch.jobs), "counts": counts})[1:]
    message = f"{batch.new.key}.{batch.created_at}"
    part.outbox[message] = Outgoing(batch.new.webhook + tail + b"}")
    part.send_later(message, 0)


def cancel_chunk(part: Partition, timer: BatchCancel) -> BatchToCancel | None:
    batch = kept(part, timer.batch)
    if batch is None:
        return None
    later = sorted(line for line in batch.jobs if line > timer.after)[:CANCELS_PER_TICK_MAX]
    jobs = tuple((line, batch.jobs[line][0]) for line in later)
    return BatchToCancel(timer.batch, batch.new.tenant, timer.after, jobs)


def stored(batch: Kept) -> StoredBatch:
    counts = {status: number for status, number in batch.counts.items() if number}
    return StoredBatch(
        batch.new.id, batch.new.tenant, batch.created_at, batch.is_closed, batch.is_cancelled, len(batch.jobs),
        batch.live, batch.cost_micros, batch.ended_at, counts,
    )  # fmt: skip
