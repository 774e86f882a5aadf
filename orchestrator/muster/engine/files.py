"""What clients and workers do with files. The store keeps what is known of them, `muster.files` their bytes.

A file is written in this order: bytes in place under a name nobody knows yet, on the tenant's account, written down.
Whoever fails in between leaves bytes that no record names; the pruning finds them. They are removed in the opposite
order, so that an account never counts what is gone.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, TypeAlias

from muster.core.file_record import (
    FileRecord,
    NewFile,
    PlannedUpload,
    artifact_id,
    attached_id,
    is_upload_id,
    job_of_artifact,
)
from muster.core.ids import JobId, TaskId, UnixMs, split_task_id
from muster.engine.clock import unix_ms
from muster.engine.settings import FileSettings
from muster.engine.uploads import still_planned
from muster.errors import ErrorCode, MusterError
from muster.files.blobs import Blobs, DiskFull, Open, Received, StorageFailed, TooLarge
from muster.files.bucket import BucketBlobs
from muster.files.local import LocalBlobs
from muster.files.names import media_type_of, safe_name
from muster.files.signing import UrlSigner
from muster.files.spool import Incoming
from muster.files.zipping import ZipEntry, distinct_names, zip_blocks
from muster.store.base import Refusal, Store
from muster.store.file_records import AlreadySent, Holding
from muster.store.keys import short_hash

log = logging.getLogger("muster.files")

FILES_PER_TENANT_MAX: Final = 100_000
FILES_PER_JOB_MAX: Final = 10_000
PROBE_S: Final = 2.0
INPUTS_AT_ONCE: Final = 32
FILE_GONE: Final = frozenset({ErrorCode.FILE_NOT_FOUND, ErrorCode.FILE_EXPIRED})
_NO_BLOB: Final = f"{'a' * 16}-{'0' * 32}-{'0' * 16}"
"""Well named, and never there."""

Chunks: TypeAlias = AsyncIterator[bytes]


class Files:
    def __init__(
        self, store: Store, settings: FileSettings, secret: bytes, now: Callable[[], UnixMs] = unix_ms
    ) -> None:
        self._store = store
        self._settings = settings
        self._now = now
        self.blobs = _blobs(settings)
        self.signer = UrlSigner(secret)
        self.on_sent: Callable[[str], object] | None = None
        """Told of every planned upload that was sent here."""

    # Uploads of clients

    async def upload(self, tenant: str, name: str, media_type: str | None, chunks: Chunks) -> FileRecord:
        """Keep what comes. It exists, whole, when this returns.

        Raises:
            MusterError: BODY_TOO_LARGE, QUOTA_EXCEEDED, DISK_FULL; what *chunks* raises.
        """
        planned = PlannedUpload(tenant, safe_name(name), media_type_of(safe_name(name), media_type))
        return await self._keep_upload(secrets.token_hex(16), planned, chunks, once=False)

    async def plan_upload(self, tenant: str, name: str, media_type: str | None) -> tuple[str, UnixMs]:
        """An upload for whoever is given its URL: its id, and until when it may be sent."""
        planned = PlannedUpload(tenant, safe_name(name), media_type_of(safe_name(name), media_type))
        upload = secrets.token_hex(16)
        return upload, await self._store.files.plan_upload(upload, planned, self._settings.signed_upload_ms)

    async def is_planned(self, tenant: str, file_id: str) -> bool:
        """A URL to send it was made for *tenant*, and nobody has done so; there is still time."""
        return bool(await still_planned(self._store.files, tenant, (file_id,)))

    async def send_planned(self, upload: str, chunks: Chunks) -> FileRecord:
        """The bytes of a planned upload, once. What was cut short may be sent again.

        Raises:
            MusterError: SIGNATURE_REFUSED where it was sent before; as `upload`.
        """
        planned = await self._store.files.planned_upload(upload) if is_upload_id(upload) else None
        if planned is None:
            raise _sent_before()
        record = await self._keep_upload(upload, planned, chunks, once=True)
        if self.on_sent is not None:
            self.on_sent(upload)
        return record

    async def _keep_upload(self, upload: str, planned: PlannedUpload, chunks: Chunks, *, once: bool) -> FileRecord:
        async with self._receiving(self._settings.upload_bytes_max) as incoming:
            received = await _all_of(chunks, incoming)
            file = _new_file(upload, planned, received)
            await self._place(incoming, file)
            try:
                return await self._store.files.keep_upload(file, self._settings.upload_ttl_ms, planned=once)
            except AlreadySent:
                await self.remove_blob(file.blob)
                raise _sent_before() from None

    # Artifacts of jobs

    async def holding(self, task_id: str, attempt: int, fence: str) -> Holding:
        """Who holds the task in this attempt.

        Raises:
            MusterError: TASK_NOT_FOUND; TASK_NOT_HELD where the attempt is over.
        """
        if split_task_id(task_id) is None:
            raise _task_not_found(task_id)
        holding = await self._store.files.holding(TaskId(task_id), attempt, fence)
        if isinstance(holding, Holding):
            return holding
        raise _task_not_found(task_id) if holding is Refusal.GONE else _task_not_held(task_id)

    async def keep_artifact(
        self,
        tenant: str,
        task_id: str,
        attempt: int,
        fence: str,
        *,
        name: str,
        media_type: str | None,
        step: str,
        description: str,
        chunks: Chunks,
    ) -> FileRecord:
        """Keep what a task made; in place of what it sent under this *name*, before it was made safe.

        Raises:
            MusterError: TASK_NOT_FOUND, TASK_NOT_HELD; as `upload`.
        """
        task, safe = TaskId(task_id), safe_name(name)
        planned = PlannedUpload(tenant, safe, media_type_of(safe, media_type))
        async with self._receiving(self._settings.artifact_bytes_max) as incoming:
            received = await _all_of(chunks, incoming)
            file = _new_file(artifact_id(task, name), planned, received)
            file = replace(file, task_id=task_id, step=step, description=description)
            await self._place(incoming, file)
            kept = await self._store.files.keep_artifact(task, attempt, fence, file, FILES_PER_JOB_MAX)
            if isinstance(kept, FileRecord):
                return kept
            await self.remove_blob(file.blob)
            if kept is None:
                raise _over_quota(f"A job keeps at most {FILES_PER_JOB_MAX} artifacts.")
            raise _task_not_found(task_id) if kept is Refusal.GONE else _task_not_held(task_id)

    async def attach(
        self,
        tenant: str,
        job: JobId,
        *,
        name: str,
        media_type: str | None,
        step: str = "",
        description: str = "",
        tags: tuple[str, ...] = (),
        kind: str = "",
        chunks: Chunks,
    ) -> FileRecord:
        """Keep a file that a client adds to its own *job*, which may have ended.

        Raises:
            MusterError: JOB_NOT_FOUND; as `upload`.
        """
        async with self.receiving(tenant, name, media_type, chunks) as received:
            return await received.attach(job, step=step, description=description, tags=tags, kind=kind)

    @asynccontextmanager
    async def receiving(
        self, tenant: str, name: str, media_type: str | None, chunks: Chunks
    ) -> AsyncIterator["ReceivedFile"]:
        """A file of a client that has come whole, before it is said what it is for: nothing of it stays otherwise.

        Raises:
            MusterError: as `upload`.
        """
        planned = PlannedUpload(tenant, safe_name(name), media_type_of(safe_name(name), media_type))
        async with self._receiving(self._settings.upload_bytes_max) as incoming:
            yield ReceivedFile(self, planned, incoming, await _all_of(chunks, incoming))

    async def keep_attached(self, job: JobId, incoming: Incoming, file: NewFile) -> FileRecord:
        """The last step of `attach`."""
        await self._place(incoming, file)
        kept = await self._store.files.attach(job, file, FILES_PER_JOB_MAX)
        if isinstance(kept, FileRecord):
            return self._with_life(kept)
        await self.remove_blob(file.blob)
        if kept is None:
            raise _over_quota(f"A job keeps at most {FILES_PER_JOB_MAX} artifacts.")
        raise MusterError(ErrorCode.JOB_NOT_FOUND, "Job not found")

    async def jobs_of(self, tenant: str) -> tuple[JobId, ...]:
        """Jobs of *tenant* that have artifacts, newest first. Some may have none any more, or be gone."""
        return await self._store.files.jobs_of(tenant)

    async def is_accessible(self) -> bool:
        """Whether the place of files answers, now."""
        try:
            async with asyncio.timeout(PROBE_S):
                await self.blobs.holds(_NO_BLOB)
        except (TimeoutError, StorageFailed, DiskFull, OSError):
            return False
        return True

    async def artifacts(self, job: JobId) -> tuple[FileRecord, ...]:
        """Of a job that the caller may see; oldest first. Those whose time is over are listed, see `expires_at`."""
        return tuple(self._with_life(record) for record in await self._store.files.artifacts(job))

    def _with_life(self, record: FileRecord) -> FileRecord:
        """An artifact may be given less time than its job."""
        ttl_ms = self._settings.artifact_ttl_ms
        if ttl_ms is None or job_of_artifact(record.file.id) is None:
            return record
        over_at = UnixMs(record.created_at + ttl_ms)
        return replace(record, expires_at=over_at if record.expires_at is None else min(over_at, record.expires_at))

    async def zip_entries(self, job: JobId) -> list[ZipEntry]:
        """The artifacts of *job* for a zip; those of one name are told apart by a number."""
        records = [record for record in await self.artifacts(job) if not self.is_over(record)]
        names = distinct_names([record.file.name for record in records])
        opened = [self.blobs.opener(record.file.blob) for record in records]
        return [_zip_entry(*entry) for entry in zip(names, records, opened, strict=True)]

    async def zipped(self, entries: Iterable[ZipEntry]) -> AsyncIterator[bytes]:
        """The zip of *entries*, block by block, each made in a thread."""
        blocks = zip_blocks(entries)
        while (block := await self.blobs.run(lambda: next(blocks, None))) is not None:
            yield block

    # Either

    async def find(self, tenant: str, file_id: str) -> FileRecord:
        """Raises: MusterError FILE_NOT_FOUND for unknown ids and for those of other tenants alike."""
        return await self._alive(await self._record(file_id), tenant)

    async def check_inputs(self, tenant: str, ids: Sequence[str]) -> None:
        """Whether a job of *tenant* may be given these: they are here, or planned and still to be sent.

        Raises:
            MusterError: FILE_NOT_FOUND with every id that is unknown, another tenant's or gone.
        """
        missing: list[str] = []
        for start in range(0, len(ids), INPUTS_AT_ONCE):
            some = ids[start : start + INPUTS_AT_ONCE]
            there = await asyncio.gather(*(self._is_here_or_planned(tenant, file_id) for file_id in some))
            missing += [file_id[:100] for file_id, is_there in zip(some, there, strict=True) if not is_there]
        if missing:
            raise MusterError(
                ErrorCode.FILE_NOT_FOUND,
                f"There is no file {', '.join(missing[:5])}.",
                hint="POST /api/v1/files gives the id of a file; it is kept for a limited time.",
                extra={"file_ids": missing},
            )

    async def _is_here_or_planned(self, tenant: str, file_id: str) -> bool:
        # In this order: what is sent meanwhile stops being planned when it is here.
        if await self.is_planned(tenant, file_id):
            return True
        try:
            await self.find(tenant, file_id)
        except MusterError as error:
            if error.code not in FILE_GONE:
                raise
            return False
        return True

    async def find_any(self, file_id: str) -> FileRecord:
        """For a caller whose right was checked otherwise. Raises: MusterError FILE_NOT_FOUND."""
        return await self._alive(await self._record(file_id))

    async def _alive(self, record: FileRecord | None, tenant: str | None = None) -> FileRecord:
        """*record*, where its bytes are there and it is *tenant*'s, or where that was checked otherwise."""
        if record is None or tenant not in {None, record.file.tenant}:
            raise _file_not_found()
        if self.is_over(record):
            raise MusterError(
                ErrorCode.FILE_EXPIRED, "The file's time is over.", hint="Results are kept for a limited time only."
            )
        if not await self.blobs.holds(record.file.blob):
            raise _file_not_found()
        return record

    async def find_for_task(self, holding: Holding, file_id: str) -> FileRecord:
        """A file that the held task was told of: its id must stand in the task's input.

        Raises:
            MusterError: FILE_NOT_FOUND.
        """
        if file_id.encode("utf-8", "replace") not in holding.body:
            raise _file_not_found()
        return await self.find(holding.tenant, file_id)

    async def delete(self, tenant: str, file_id: str) -> None:
        record = await self.find(tenant, file_id)
        blob = await self._store.files.delete(record.file.id)
        if blob:
            await self.remove_blob(blob)

    def is_over(self, record: FileRecord) -> bool:
        """Its time is over, whether or not its bytes are gone."""
        return record.expires_at is not None and record.expires_at <= self._now()

    async def _record(self, file_id: str) -> FileRecord | None:
        if is_upload_id(file_id):
            return await self._store.files.upload(file_id)
        if job_of_artifact(file_id) is None:
            return None
        record = await self._store.files.artifact(file_id)
        return None if record is None else self._with_life(record)

    # Bytes

    @asynccontextmanager
    async def _receiving(self, bytes_max: int) -> AsyncIterator[Incoming]:
        """A place for bytes, whose troubles are told to the caller."""
        try:
            async with self.blobs.receive(bytes_max) as incoming:
                yield incoming
        except TooLarge:
            raise MusterError(
                ErrorCode.BODY_TOO_LARGE,
                f"The file is larger than {bytes_max} bytes.",
                extra={"bytes_max": bytes_max},
            ) from None
        except DiskFull as full:
            log.error("disk_full", extra={"folder": str(self._settings.folder), "error": str(full)})  # noqa: TRY400
            raise MusterError(
                ErrorCode.DISK_FULL,
                "The server has no room for the file; nothing of it was kept.",
                hint="Whoever runs this server must make room.",
            ) from full
        except StorageFailed as failed:
            log.error("file_storage_failed", extra={"error": str(failed)})  # noqa: TRY400
            raise MusterError(
                ErrorCode.FILE_STORAGE_UNAVAILABLE,
                "The server cannot reach the storage of its files; nothing of the file was kept.",
                hint="Send it again in a while.",
            ) from failed

    async def _place(self, incoming: Incoming, file: NewFile) -> None:
        """Bytes in place, and on their tenant's account."""
        await incoming.keep_as(file.blob)
        quota = self._settings.quota_bytes
        admitted = await self._store.files.admit(
            file.tenant, file.blob, file.size, bytes_max=quota, files_max=FILES_PER_TENANT_MAX
        )
        if not admitted:
            await self.blobs.remove(file.blob)
            raise _over_quota(
                f"With this file you would keep more than {quota} bytes, or {FILES_PER_TENANT_MAX} files."
            )

    async def remove_blob(self, blob: str) -> None:
        """First off the account, then from the disk: what is left between the two is found by the pruning."""
        await self._store.files.forget(tenant_hash_of(blob), blob)
        await self.blobs.remove(blob)


class ReceivedFile:
    """A client's file whose bytes are here. `attach` decides what it is."""

    def __init__(self, files: Files, planned: PlannedUpload, incoming: Incoming, received: Received) -> None:
        self._files = files
        self._planned = planned
        self._incoming = incoming
        self._received = received

    async def attach(
        self,
        job: JobId,
        *,
        step: str = "",
        description: str = "",
        tags: tuple[str, ...] = (),
        kind: str = "",
        title: str = "",
    ) -> FileRecord:
        """Make it an artifact of *job*. Raises: MusterError JOB_NOT_FOUND, QUOTA_EXCEEDED, DISK_FULL."""
        file = _new_file(attached_id(job, secrets.randbits(64)), self._planned, self._received)
        file = replace(file, step=step, description=description, tags=tags, kind=kind, title=title)
        return await self._files.keep_attached(job, self._incoming, file)


def _blobs(settings: FileSettings) -> Blobs:
    if settings.bucket_url is not None:
        return BucketBlobs.at(settings.bucket_url, settings.folder.name, settings.folder)
    return LocalBlobs(settings.folder, uploads=settings.upload_folder, artifacts=settings.artifact_folder)


def tenant_hash_of(blob: str) -> str:
    return blob.partition("-")[0]


def file_id_of(blob: str) -> str:
    return blob.split("-")[1]


async def _all_of(chunks: Chunks, incoming: Incoming) -> Received:
    async for chunk in chunks:
        await incoming.write(chunk)
    return await incoming.finish()


def _new_file(file_id: str, planned: PlannedUpload, received: Received) -> NewFile:
    return NewFile(
        id=file_id,
        tenant=planned.tenant,
        name=planned.name,
        size=received.size,
        sha256=received.sha256,
        media_type=planned.media_type,
        blob=f"{short_hash(planned.tenant)}-{file_id}-{secrets.token_hex(8)}",
    )


def _zip_entry(name: str, record: FileRecord, opened: Open) -> ZipEntry:
    made = datetime.fromtimestamp(record.created_at / 1000, UTC)
    return ZipEntry(name, opened, (made.year, made.month, made.day, made.hour, made.minute, made.second))


def _file_not_found() -> MusterError:
    return MusterError(ErrorCode.FILE_NOT_FOUND, "File not found")


def _task_not_found(task_id: str) -> MusterError:
    return MusterError(ErrorCode.TASK_NOT_FOUND, f"there is no task {task_id[:200]!r}")


def _task_not_held(task_id: str) -> MusterError:
    return MusterError(
        ErrorCode.TASK_NOT_HELD,
        f"this attempt of task {task_id!r} does not hold it, or no longer",
        hint="its lease ended, another worker has it, or its job is over: stop the work",
    )


def _sent_before() -> MusterError:
    return MusterError(
        ErrorCode.SIGNATURE_REFUSED,
        "This URL was used before, or its time is over.",
        hint="Ask for a new one: each takes one file, once.",
    )


def _over_quota(detail: str) -> MusterError:
    return MusterError(
        ErrorCode.QUOTA_EXCEEDED, detail, hint="Delete files that are not needed, or ask for a larger quota."
    )
