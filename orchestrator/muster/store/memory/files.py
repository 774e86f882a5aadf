"""File records in the model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from muster.core.file_record import FileRecord, NewFile, PlannedUpload, job_of_artifact, jobs_of_blobs
from muster.core.ids import JobId, TaskId, UnixMs, split_task_id
from muster.core.status import TaskStatus
from muster.store.base import Refusal
from muster.store.file_records import AlreadySent, Holding
from muster.store.keys import short_hash
from muster.store.memory.partition import Partition


@dataclass(slots=True)
class Upload:
    expires_at: int
    planned: PlannedUpload | None = None
    record: FileRecord | None = None
    jobs: set[JobId] = field(default_factory=set[JobId])
    """That wait for it."""


class MemoryFileRecords:
    """*partition_of* gives a job's partition, None where this deployment has none such."""

    def __init__(self, now: Callable[[], int], partition_of: Callable[[JobId], Partition | None]) -> None:
        self._now = now
        self._partition_of = partition_of
        self._uploads: dict[str, Upload] = {}
        self._artifacts: dict[JobId, dict[str, FileRecord]] = {}
        self._numbers: dict[str, int] = {}
        """In the order in which they were kept, for each job."""
        self._accounts: dict[str, dict[str, int]] = {}

    async def admit(self, tenant: str, blob: str, size: int, *, bytes_max: int, files_max: int) -> bool:
        account = self._accounts.setdefault(short_hash(tenant), {})
        if blob in account:
            return True
        if sum(account.values()) + size > bytes_max or len(account) >= files_max:
            return False
        account[blob] = size
        return True

    async def forget(self, tenant_hash: str, blob: str) -> None:
        self._accounts.get(tenant_hash, {}).pop(blob, None)

    async def used(self, tenant: str) -> int:
        return sum(self._accounts.get(short_hash(tenant), {}).values())

    async def jobs_of(self, tenant: str) -> tuple[JobId, ...]:
        return jobs_of_blobs(self._accounts.get(short_hash(tenant), {}))

    async def plan_upload(self, upload: str, planned: PlannedUpload, ttl_ms: int) -> UnixMs:
        until = UnixMs(self._now() + ttl_ms)
        self._uploads[upload] = Upload(until, planned)
        return until

    async def planned_upload(self, upload: str) -> PlannedUpload | None:
        known = self._known(upload)
        return None if known is None or known.record is not None else known.planned

    async def expect_upload(self, upload: str, job: JobId, jobs_max: int) -> bool:
        known = self._known(upload)
        if known is None or known.record is not None:
            return False
        if len(known.jobs) < jobs_max:
            known.jobs.add(job)
        return True

    async def expecting(self, upload: str) -> tuple[JobId, ...]:
        known = self._known(upload)
        return () if known is None else tuple(sorted(known.jobs))

    async def keep_upload(self, file: NewFile, ttl_ms: int, *, planned: bool) -> FileRecord:
        known = self._known(file.id)
        sent_before = known is not None and known.record is not None and known.record.file.blob != file.blob
        if planned and (known is None or sent_before):
            raise AlreadySent(file.id)
        now = self._now()
        record = FileRecord(file, UnixMs(now), UnixMs(now + ttl_ms))
        waiting = set[JobId]() if known is None else known.jobs
        self._uploads[file.id] = Upload(now + ttl_ms, record=record, jobs=waiting)
        return record

    async def upload(self, upload: str) -> FileRecord | None:
        known = self._known(upload)
        return None if known is None else known.record

    def _known(self, upload: str) -> Upload | None:
        known = self._uploads.get(upload)
        if known is not None and known.expires_at <= self._now():
            del self._uploads[upload]
            return None
        return known

    async def keep_artifact(
        self, task: TaskId, attempt: int, fence: str, file: NewFile, files_max: int
    ) -> FileRecord | Refusal | None:
        parts = split_task_id(task)
        assert parts is not None, task
        part = self._partition_of(parts[0])
        job = None if part is None else part.job(parts[0])
        if part is None or job is None:
            return Refusal.GONE
        if job.is_final:
            return Refusal.FINAL
        if not self._is_held(part, task, attempt, fence):
            return Refusal.STALE
        kept = self._artifacts.setdefault(parts[0], {})
        if file.id not in kept and len(kept) >= files_max:
            return None
        job.newest_artifact += 1
        self._numbers[file.id] = job.newest_artifact
        kept[file.id] = FileRecord(file, UnixMs(self._now()), line=job.last_line)
        part.announce(job)
        return kept[file.id]

    async def attach(self, job: JobId, file: NewFile, files_max: int) -> FileRecord | Refusal | None:
        part = self._partition_of(job)
        found = None if part is None else part.job(job)
        if part is None or found is None:
            return Refusal.GONE
        kept = self._artifacts.setdefault(job, {})
        if file.id not in kept and len(kept) >= files_max:
            return None
        found.newest_artifact += 1
        self._numbers[file.id] = found.newest_artifact
        kept[file.id] = FileRecord(file, UnixMs(self._now()), line=found.last_line)
        part.announce(found)
        return kept[file.id]

    def artifacts_since(self, job: JobId, number: int) -> list[FileRecord]:
        """Those that were kept after the artifact of this number."""
        return [record for record in self._artifacts.get(job, {}).values() if self._numbers[record.file.id] > number]

    async def artifacts(self, job: JobId) -> tuple[FileRecord, ...]:
        part = self._partition_of(job)
        found = None if part is None else part.job(job)
        if found is None:
            return ()
        expires_at = None if found.expires_at is None else UnixMs(found.expires_at)
        kept = [replace(record, expires_at=expires_at) for record in self._artifacts.get(job, {}).values()]
        return tuple(sorted(kept, key=lambda record: (record.created_at, record.file.id)))

    def drop_artifacts(self, job: JobId) -> tuple[str, ...]:
        """Forget what a deleted job had kept; returns the blobs."""
        return tuple(record.file.blob for record in self._artifacts.pop(job, {}).values())

    async def artifact(self, artifact: str) -> FileRecord | None:
        job = job_of_artifact(artifact)
        records = () if job is None else await self.artifacts(job)
        return next((record for record in records if record.file.id == artifact), None)

    async def delete(self, file: str) -> str | None:
        (blob,) = await self.blobs([file])
        job = job_of_artifact(file)
        if job is None:
            self._uploads.pop(file, None)
        else:
            self._artifacts.get(job, {}).pop(file, None)
        return blob

    async def blobs(self, files: Sequence[str]) -> list[str | None]:
        found: list[str | None] = []
        for file in files:
            is_upload = job_of_artifact(file) is None
            record = await (self.upload(file) if is_upload else self.artifact(file))
            found.append(None if record is None else record.file.blob)
        return found

    async def known_jobs(self, jobs: Sequence[JobId]) -> list[bool]:
        parts = [(self._partition_of(job), job) for job in jobs]
        return [part is not None and part.job(job) is not None for part, job in parts]

    async def holding(self, task: TaskId, attempt: int, fence: str) -> Holding | Refusal:
        parts = split_task_id(task)
        assert parts is not None, task
        part = self._partition_of(parts[0])
        job = None if part is None else part.job(parts[0])
        if part is None or job is None:
            return Refusal.GONE
        if not job.is_final and self._is_held(part, task, attempt, fence):
            held = part.tasks[task]
            return Holding(held.worker, job.record.tenant, held.body)
        known = task in part.tasks or parts[1] < job.record.next_task
        return Refusal.STALE if known else Refusal.GONE

    def _is_held(self, part: Partition, task: TaskId, attempt: int, fence: str) -> bool:
        held = part.tasks.get(task)
        if held is None or held.status is not TaskStatus.LEASED:
            return False
        return (held.attempt, held.fence) == (attempt, fence)
