"""Batches that come in as a stream: many jobs made a chunk at a time, cancelled in the background, read in order."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import orjson

from muster.core.admission import Quota
from muster.core.ids import JobId, new_job_id
from muster.core.limits import BATCH_LINES_MAX
from muster.core.record import JobRecord
from muster.core.tags import batch_tag
from muster.engine.admission import client_hash, partition_for
from muster.engine.jobs import Jobs, fingerprint_of
from muster.engine.settings import EngineSettings
from muster.engine.views import JobOrder
from muster.engine.webhooks import UrlRefused, check_url
from muster.errors import ErrorCode, MusterError
from muster.store.base import Store
from muster.store.batch_records import BatchLine, BatchToCancel, LineFate, NewBatch, StoredBatch
from muster.store.keys import short_hash

CHUNK_LINES: Final = 40
"""Jobs made by one script call: it stays below a millisecond."""
CHUNKS_UNDER_WAY: Final = 4
"""Then the stream is read no further."""
ERRORS_TOLD_MAX: Final = 1_000
PAGE_JOBS: Final = 100
CANCELLED_AT_ONCE: Final = 10
ABORTING: Final = frozenset({ErrorCode.SHUTTING_DOWN})
"""These are the server's trouble and not the line's: the stream ends there."""
_OVER: Final = frozenset({ErrorCode.JOB_FINAL, ErrorCode.JOB_NOT_FOUND})
_REFUSALS: Final = {
    LineFate.CONFLICT: (ErrorCode.IDEMPOTENCY_CONFLICT, "this line of the batch was taken before, with another job"),
    LineFate.CLOSED: (ErrorCode.BATCH_CLOSED, "the batch was sent to its end before, and takes no further lines"),
    LineFate.LIMITED: (ErrorCode.CLIENT_LIMIT_REACHED, "the client has as many live or queued jobs as it may"),
    LineFate.CANCELLED: (ErrorCode.BATCH_CLOSED, "the batch is cancelled, and takes no further lines"),
}

Line = tuple[int, JobOrder | MusterError]
"""Its number, from 1, and what stands on it."""


@dataclass(frozen=True, slots=True)
class LineError:
    line: int
    code: str
    detail: str


@dataclass(slots=True)
class Loaded:
    """What became of a stream. `errors`: of the refused lines, the first thousand."""

    batch_id: str
    accepted: int = 0
    already_there: int = 0
    refused: int = 0
    errors: list[LineError] = field(default_factory=list[LineError])

    def refuse(self, line: int, code: str, detail: str) -> None:
        self.refused += 1
        if len(self.errors) < ERRORS_TOLD_MAX:
            self.errors.append(LineError(line, code, detail))


class Bulk:
    def __init__(self, store: Store, jobs: Jobs, settings: EngineSettings, hint: Callable[[JobId, int], None]) -> None:
        self._store = store
        self._jobs = jobs
        self._settings = settings
        self._hint = hint

    async def load(
        self,
        tenant: str,
        batch_id: str | None,
        webhook_url: str | None,
        lines: AsyncIterator[Sequence[Line]],
        *,
        quota: Quota | None = None,
        at_home: bool = False,
    ) -> Loaded:
        """Make the jobs of *lines* as they come: a valid line is taken whatever becomes of the others.

        Where the stream breaks off the batch stays open; sent again with its id, lines that are there are passed over.

        Raises:
            MusterError: WEBHOOK_URL_REFUSED before anything is written; BATCH_FULL, SHUTTING_DOWN after what is there.
        """
        if webhook_url is not None:
            try:
                check_url(webhook_url, allow_private=self._settings.webhooks_allow_private)
            except UrlRefused as error:
                raise MusterError(ErrorCode.WEBHOOK_URL_REFUSED, f"webhook_url: {error}") from error
        batch = self._new(tenant, batch_id or secrets.token_hex(16), webhook_url, quota)
        partition = self._home(tenant) if at_home else self._spread(batch.key)
        loading = _Loading(self, batch, partition, Loaded(batch.id))
        trouble: MusterError | None = None
        async with asyncio.TaskGroup() as group:
            try:
                async for chunk in lines:
                    for line, order in chunk:
                        await loading.take(line, order, group)
            except MusterError as error:  # what came before is written all the same
                trouble = error
            await loading.flush(group)
        if trouble is not None:
            raise trouble
        await self._store.batches.close(partition, batch)
        return loading.loaded

    def _new(self, tenant: str, batch_id: str, webhook_url: str | None, quota: Quota | None) -> NewBatch:
        webhook = b""
        if webhook_url is not None:
            told = {"event": "batch_finished", "batch_id": batch_id}
            # What is still open are the counts, which the store puts there: {…,"p":{…,
            webhook = orjson.dumps({"u": webhook_url, "t": tenant, "p": told})[:-2] + b","
        counted = ("", 0, 0)
        if quota is not None:
            counted = (client_hash(tenant, quota), quota.live_max or 0, quota.queued_max or 0)
        return NewBatch(key_of(tenant, batch_id), tenant, batch_id, webhook, self._settings.retention_ms, *counted)

    def _home(self, tenant: str) -> int:
        """Where all jobs of a tenant are whose clients have quotas."""
        return partition_for(tenant, self._settings.partitions)

    def _spread(self, key: str) -> int:
        return partition_for(key, self._settings.partitions)

    async def _find(self, tenant: str, key: str) -> tuple[int, StoredBatch | None]:
        """The batch, wherever it is: whether its tenant has quotas may have changed since."""
        spread, home = self._spread(key), self._home(tenant)
        found = await self._store.batches.read(spread, key)
        if found is None and home != spread:
            return home, await self._store.batches.read(home, key)
        return spread, found

    async def line_of(self, batch: NewBatch, partition: int, line: int, order: JobOrder) -> BatchLine:
        """Raises: MusterError, as `Jobs.check`."""
        await self._jobs.check(order)
        job = new_job_id(self._settings.now(), partition, secrets.randbits(62))
        tagged = replace(order, tags=(batch_tag(batch.id), *order.tags))
        return BatchLine(line, fingerprint_of(order)[:16], self._jobs.new_job(tagged, job))

    async def add(self, batch: NewBatch, partition: int, lines: Sequence[BatchLine], loaded: Loaded) -> None:
        fates = await self._store.batches.add(partition, batch, lines)
        for line, fate in zip(lines, fates, strict=True):
            if fate is LineFate.MADE:
                loaded.accepted += 1
            elif fate is LineFate.THERE:
                loaded.already_there += 1
            else:
                code, detail = _REFUSALS[fate]
                loaded.refuse(line.line, code, detail)
        if lines:
            self._hint(lines[0].job.id, 0)

    # What becomes of them

    async def batch(self, tenant: str, batch_id: str) -> StoredBatch | None:
        """None: there is none that came as a stream."""
        return (await self._find(tenant, key_of(tenant, batch_id)))[1]

    async def cancel(self, tenant: str, batch_id: str) -> int | None:
        """Ask for the end of all its jobs, in the background. Returns how many are not over; None: there is none."""
        key = key_of(tenant, batch_id)
        partition, _ = await self._find(tenant, key)
        live = await self._store.batches.cancel(partition, key)
        if live:
            self._hint(new_job_id(self._settings.now(), partition, 0), 0)
        return live

    async def cancel_some(self, partition: int, some: BatchToCancel) -> None:
        """Ask the next jobs of a batch to end, and note that they were asked."""
        for start in range(0, len(some.jobs), CANCELLED_AT_ONCE):
            chunk = some.jobs[start : start + CANCELLED_AT_ONCE]
            await asyncio.gather(*(self._cancel(some.tenant, job) for _, job in chunk))
        last = some.jobs[-1][0] if some.jobs else None
        await self._store.batches.cancelled_to(partition, some.key, some.after, last)
        if last is not None:
            self._hint(some.jobs[0][1], 0)

    async def cancel_replaced(self, tenant: str, job: JobId) -> None:
        """A job whose unique key another one took."""
        await self._cancel(tenant, job)

    async def _cancel(self, tenant: str, job: JobId) -> None:
        try:
            await self._jobs.cancel(tenant, job)
        except MusterError as error:
            if error.code not in _OVER:
                raise

    async def results(
        self, tenant: str, batch_id: str, after: int = 0
    ) -> AsyncGenerator[tuple[tuple[int, JobId, JobRecord | None], ...], None]:
        """Its lines with their jobs, in order, a page at a time. None: the job has expired or was deleted."""
        key = key_of(tenant, batch_id)
        partition, _ = await self._find(tenant, key)
        while page := await self._store.batches.page(partition, key, after, PAGE_JOBS):
            records = await asyncio.gather(*(self._store.read(job) for _, job in page))
            yield tuple((line, job, record) for (line, job), record in zip(page, records, strict=True))
            after = page[-1][0]


class _Loading:
    """One stream on its way in: at most CHUNKS_UNDER_WAY chunks are written at once."""

    def __init__(self, bulk: Bulk, batch: NewBatch, partition: int, loaded: Loaded) -> None:
        self._bulk = bulk
        self._batch = batch
        self.loaded = loaded
        self._partition = partition
        self._chunk: list[BatchLine] = []
        self._room = asyncio.Semaphore(CHUNKS_UNDER_WAY)
        self._count = 0

    async def take(self, line: int, order: JobOrder | MusterError, group: asyncio.TaskGroup) -> None:
        self._count += 1
        if self._count > BATCH_LINES_MAX:
            raise MusterError(
                ErrorCode.BATCH_FULL,
                f"A batch has at most {BATCH_LINES_MAX} jobs; line {line} is one more.",
                hint="The jobs before it were taken. Send the rest as another batch.",
                extra={"batch_id": self._batch.id},
            )
        try:
            if isinstance(order, MusterError):
                raise order
            self._chunk.append(await self._bulk.line_of(self._batch, self._partition, line, order))
        except MusterError as error:
            if error.code in ABORTING:
                raise
            self.loaded.refuse(line, error.code, error.detail)
        if len(self._chunk) >= CHUNK_LINES:
            await self.flush(group)

    async def flush(self, group: asyncio.TaskGroup) -> None:
        chunk, self._chunk = self._chunk, []
        await self._room.acquire()
        group.create_task(self._write(chunk))

    async def _write(self, chunk: Sequence[BatchLine]) -> None:
        try:
            await self._bulk.add(self._batch, self._partition, chunk, self.loaded)
        finally:
            self._room.release()


def key_of(tenant: str, batch_id: str) -> str:
    return short_hash(f"{tenant}\0batch\0{batch_id}")
