"""What the store knows of files: never their bytes. A part of the store's contract, see `base`.

Uploads are records of their own that expire; artifacts belong to a job and expire with it. Every blob is on the
account of its tenant from `admit` until `forget`, which is how quotas are kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from muster.core.file_record import FileRecord, NewFile, PlannedUpload
from muster.core.ids import JobId, TaskId, UnixMs
from muster.store.base import Refusal


class AlreadySent(Exception):
    """The planned upload was sent before, or its time is over."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A task that is held now: by whom, for whose job, and what it was given."""

    worker: str
    tenant: str
    body: bytes


class FileRecords(Protocol):
    async def admit(self, tenant: str, blob: str, size: int, *, bytes_max: int, files_max: int) -> bool:
        """Put *blob* on the tenant's account; False where it does not fit. Twice is the same as once."""
        ...

    async def forget(self, tenant_hash: str, blob: str) -> None:
        """Take *blob* off the account of the tenant whose hash is given, if it is there."""
        ...

    async def used(self, tenant: str) -> int:
        """Bytes on the tenant's account."""
        ...

    async def jobs_of(self, tenant: str) -> tuple[JobId, ...]:
        """Jobs whose artifacts are on the tenant's account, newest first. Some of them may have none any more."""
        ...

    async def plan_upload(self, upload: str, planned: PlannedUpload, ttl_ms: int) -> UnixMs:
        """Expect the bytes of *upload* for so long. Returns until when."""
        ...

    async def planned_upload(self, upload: str) -> PlannedUpload | None:
        """None: it was sent, never planned, or its time is over."""
        ...

    async def keep_upload(self, file: NewFile, ttl_ms: int, *, planned: bool) -> FileRecord:
        """Write an upload down.

        Raises:
            AlreadySent: it was *planned*, and is not any more.
        """
        ...

    async def expect_upload(self, upload: str, job: JobId, jobs_max: int) -> bool:
        """Note that *job* waits for a planned upload, as one of at most *jobs_max*. False: it is planned no more."""
        ...

    async def expecting(self, upload: str) -> tuple[JobId, ...]:
        """Jobs that wait for it, or did when it came."""
        ...

    async def upload(self, upload: str) -> FileRecord | None: ...

    async def keep_artifact(
        self, task: TaskId, attempt: int, fence: str, file: NewFile, files_max: int
    ) -> FileRecord | Refusal | None:
        """Write an artifact down, in place of an earlier one of the same id, if the task is held so.

        Refusal.GONE, FINAL or STALE where it is not; None where the job has *files_max* artifacts.
        """
        ...

    async def attach(self, job: JobId, file: NewFile, files_max: int) -> FileRecord | Refusal | None:
        """Write a client's own artifact down, also of a job that has ended.

        Refusal.GONE where there is no such job; None where it has *files_max* artifacts.
        """
        ...

    async def artifacts(self, job: JobId) -> tuple[FileRecord, ...]:
        """Oldest first."""
        ...

    async def artifact(self, artifact: str) -> FileRecord | None: ...

    async def delete(self, file: str) -> str | None:
        """Forget an upload or artifact; returns its blob."""
        ...

    async def blobs(self, files: Sequence[str]) -> list[str | None]:
        """The blob of each upload or artifact, None where there is none such."""
        ...

    async def known_jobs(self, jobs: Sequence[JobId]) -> list[bool]:
        """Which of *jobs* are there, running or ended."""
        ...

    async def holding(self, task: TaskId, attempt: int, fence: str) -> Holding | Refusal:
        """Refusal.GONE: there never was such a task. STALE: this attempt does not hold it, or no longer."""
        ...
