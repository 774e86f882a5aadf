"""Batches in the model, as every store keeps them."""

from collections.abc import Sequence

from muster.core.ids import JobId, UnixMs
from muster.core.status import JobStatus
from muster.store.batch_records import BatchLine, LineFate, NewBatch, StoredBatch
from muster.store.memory.admission import client_is_full
from muster.store.memory.batching import Kept, end, kept, stored
from muster.store.memory.jobs import make_job
from muster.store.memory.model import BatchCancel
from muster.store.memory.partition import Partition


class MemoryBatches:
    def __init__(self, partitions: Sequence[Partition]) -> None:
        self._partitions = partitions

    async def add(self, partition: int, batch: NewBatch, lines: Sequence[BatchLine]) -> tuple[LineFate, ...]:
        part = self._partitions[partition]
        there = self._made(part, batch)
        return tuple(self._add(part, there, batch, line) for line in lines)

    def _made(self, part: Partition, batch: NewBatch) -> Kept:
        there = kept(part, batch.key)
        if there is None:
            there = Kept(batch, UnixMs(part.now()), expires_at=part.now() + batch.retention_ms)
            part.batches[batch.key] = there
        return there

    def _add(self, part: Partition, batch: Kept, new: NewBatch, line: BatchLine) -> LineFate:
        known = batch.jobs.get(line.line)
        if known is not None:
            return LineFate.THERE if known[1] == line.print else LineFate.CONFLICT
        if batch.is_cancelled:
            return LineFate.CANCELLED
        if batch.is_closed:
            return LineFate.CLOSED
        if new.client and client_is_full(part, new.client, new.live_max, new.queued_max):
            return LineFate.LIMITED
        job = make_job(part, line.job, "", None)
        job.batch, job.client = batch.new.key, new.client
        batch.jobs[line.line] = (line.job.id, line.print)
        batch.waiting.append(line.job.id)
        batch.counts[JobStatus.PENDING] += 1
        batch.expires_at = None
        part.announce_to_tenant(job, 0)
        return LineFate.MADE

    async def close(self, partition: int, batch: NewBatch) -> StoredBatch:
        part = self._partitions[partition]
        there = self._made(part, batch)
        if not there.is_closed:
            there.is_closed = True
            if not there.live:
                end(part, there)
        return stored(there)

    async def read(self, partition: int, key: str) -> StoredBatch | None:
        there = kept(self._partitions[partition], key)
        return None if there is None else stored(there)

    async def page(self, partition: int, key: str, after: int, limit: int) -> tuple[tuple[int, JobId], ...]:
        there = kept(self._partitions[partition], key)
        lines = [] if there is None else sorted(line for line in there.jobs if line > after)[:limit]
        return () if there is None else tuple((line, there.jobs[line][0]) for line in lines)

    async def cancel(self, partition: int, key: str) -> int | None:
        part = self._partitions[partition]
        there = kept(part, key)
        if there is None:
            return None
        if not there.is_cancelled:
            there.is_cancelled = True
            part.timers[BatchCancel(key, 0)] = part.now()
        return there.live

    async def cancelled_to(self, partition: int, key: str, after: int, line: int | None) -> None:
        part = self._partitions[partition]
        if part.timers.pop(BatchCancel(key, after), None) is not None and line is not None:
            part.timers[BatchCancel(key, line)] = part.now()
