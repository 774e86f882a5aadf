"""File records on Redis or Valkey. Uploads and accounts have the global tag, artifacts that of their job."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import orjson

from muster.core.file_record import FileRecord, NewFile, PlannedUpload, job_of_artifact, jobs_of_blobs
from muster.core.ids import JobId, TaskId, UnixMs, split_task_id
from muster.store.base import Refusal, StoreUnavailable
from muster.store.codec import UNREADABLE, text_fields, text_map
from muster.store.file_records import AlreadySent, Holding
from muster.store.keys import short_hash

Run = Callable[..., Awaitable[Any]]
NAMES_READ: Final = 1_000
"""Names on a tenant's account that one call looks at."""
_FIELDS: Final = {"ten": "tenant", "nm": "name", "sz": "size", "sh": "sha256", "mt": "media_type"}
"""Of an upload's hash; `bl` (the blob, '' while it is only planned), `ct` and `xt` are written by the script."""


class RedisFileRecords:
    """*call* is one command, *run* one script by name and tag; *tag_of* raises LookupError for a foreign partition."""

    def __init__(self, call: Run, run: Run, tag_of: Callable[[JobId], str], tag: str, filled: Run) -> None:
        self._call = call
        self._run = run
        self._tag_of = tag_of
        self._global = tag
        self._filled = filled

    async def admit(self, tenant: str, blob: str, size: int, *, bytes_max: int, files_max: int) -> bool:
        reply = await self._run("admit", self._global, short_hash(tenant), blob, size, bytes_max, files_max)
        return bool(reply[0] == b"ok")

    async def forget(self, tenant_hash: str, blob: str) -> None:
        await self._run("forget", self._global, tenant_hash, blob)

    async def used(self, tenant: str) -> int:
        return int(await self._call("HGET", f"{self._global}fq:{short_hash(tenant)}", "") or 0)

    async def jobs_of(self, tenant: str) -> tuple[JobId, ...]:
        account, cursor = f"{self._global}fq:{short_hash(tenant)}", b"0"
        names: set[str] = set()
        while True:
            cursor, flat = await self._call("HSCAN", account, cursor, "COUNT", NAMES_READ)
            names.update(name.decode() for name in flat[::2])
            if cursor == b"0":
                return jobs_of_blobs(names)

    async def plan_upload(self, upload: str, planned: PlannedUpload, ttl_ms: int) -> UnixMs:
        fields = {"ten": planned.tenant, "nm": planned.name, "mt": planned.media_type}
        reply = await self._run(
            "upload", self._global, upload, 0, "", ttl_ms, len(fields), *text_map(fields)
        )  # fmt: skip
        return UnixMs(int(reply[2]))

    async def planned_upload(self, upload: str) -> PlannedUpload | None:
        fields = await self._fields(upload)
        if fields.get("bl") != "":
            return None
        return PlannedUpload(fields["ten"], fields["nm"], fields["mt"])

    async def keep_upload(self, file: NewFile, ttl_ms: int, *, planned: bool) -> FileRecord:
        fields = {short: str(getattr(file, name)) for short, name in _FIELDS.items()}
        reply = await self._run(
            "upload", self._global, file.id, int(planned), file.blob, ttl_ms, len(fields), *text_map(fields)
        )  # fmt: skip
        if reply[0] != b"ok":
            raise AlreadySent(file.id)
        return FileRecord(file, UnixMs(int(reply[1])), UnixMs(int(reply[2])))

    async def expect_upload(self, upload: str, job: JobId, jobs_max: int) -> bool:
        return bool((await self._run("expect", self._global, upload, job, jobs_max))[0] == b"planned")

    async def expecting(self, upload: str) -> tuple[JobId, ...]:
        names = [name.decode() for name in await self._call("HKEYS", f"{self._global}up:{upload}")]
        return tuple(sorted(JobId(name[2:]) for name in names if name.startswith("j|")))

    async def upload(self, upload: str) -> FileRecord | None:
        fields = await self._fields(upload)
        if not fields.get("bl"):
            return None
        file = NewFile(
            upload, fields["ten"], fields["nm"], int(fields["sz"]), fields["sh"], fields["mt"], fields["bl"]
        )  # fmt: skip
        return FileRecord(file, UnixMs(int(fields["ct"])), UnixMs(int(fields["xt"])))

    async def _fields(self, upload: str) -> dict[str, str]:
        return text_fields(await self._call("HGETALL", f"{self._global}up:{upload}"))

    async def keep_artifact(
        self, task: TaskId, attempt: int, fence: str, file: NewFile, files_max: int
    ) -> FileRecord | Refusal | None:
        parts = split_task_id(task)
        assert parts is not None, task
        try:
            tag = self._tag_of(parts[0])
        except LookupError:
            return Refusal.GONE
        record = orjson.dumps(file)
        reply = await self._run("keep", tag, task, attempt, fence, file.id, record, files_max)
        match reply[0]:
            case b"ok":
                return FileRecord(file, UnixMs(int(reply[1])), line=int(reply[2]))
            case b"full":
                return None
            case why:
                return Refusal(why.decode())

    async def attach(self, job: JobId, file: NewFile, files_max: int) -> FileRecord | Refusal | None:
        try:
            tag = self._tag_of(job)
        except LookupError:
            return Refusal.GONE
        reply = await self._run("attach", tag, job, file.id, orjson.dumps(file), files_max)
        match reply[0]:
            case b"ok":
                return FileRecord(file, UnixMs(int(reply[1])), line=int(reply[2]))
            case b"full":
                return None
            case why:
                return Refusal(why.decode())

    async def artifacts(self, job: JobId) -> tuple[FileRecord, ...]:
        key = self._key(job)
        if key is None:
            return ()
        entries, left_ms = await asyncio.gather(self._call("HVALS", key), self._call("PTTL", key))
        now_ms = await self._now_ms() if left_ms > 0 else 0
        records = [load_artifact(entry, now_ms + left_ms if left_ms > 0 else None) for entry in entries]
        return tuple(sorted(records, key=lambda record: (record.created_at, record.file.id)))

    async def artifact(self, artifact: str) -> FileRecord | None:
        key = self._key(job_of_artifact(artifact))
        if key is None:
            return None
        entry, left_ms = await asyncio.gather(self._call("HGET", key, artifact), self._call("PTTL", key))
        if entry is None:
            return None
        return load_artifact(entry, await self._now_ms() + left_ms if left_ms > 0 else None)

    async def delete(self, file: str) -> str | None:
        (blob,) = await self.blobs([file])
        job = job_of_artifact(file)
        if job is None:
            await self._call("UNLINK", f"{self._global}up:{file}")
        elif (key := self._key(job)) is not None:
            await self._call("HDEL", key, file)
        return blob

    async def blobs(self, files: Sequence[str]) -> list[str | None]:
        return list(await asyncio.gather(*(self._blob(file) for file in files)))

    async def _blob(self, file: str) -> str | None:
        job = job_of_artifact(file)
        if job is None:
            found = await self._call("HGET", f"{self._global}up:{file}", "bl")
            return found.decode() if found else None
        key = self._key(job)
        entry = None if key is None else await self._call("HGET", key, file)
        return None if entry is None else load_artifact(entry, None).file.blob

    async def known_jobs(self, jobs: Sequence[JobId]) -> list[bool]:
        return [bool(found) for found in await asyncio.gather(*(self._is_known(job) for job in jobs))]

    async def _is_known(self, job: JobId) -> int:
        try:
            return int(await self._call("EXISTS", f"{self._tag_of(job)}j:{job}"))
        except LookupError:
            return 0

    async def holding(self, task: TaskId, attempt: int, fence: str) -> Holding | Refusal:
        parts = split_task_id(task)
        assert parts is not None, task
        try:
            tag = self._tag_of(parts[0])
        except LookupError:
            return Refusal.GONE
        job, held = await asyncio.gather(
            self._call("HMGET", f"{tag}j:{parts[0]}", "fin", "ten", "nt"),
            self._call("HMGET", f"{tag}t:{task}", "st", "at", "nz", "w", "pl"),
        )
        if held[0] == b"L" and job[0] == b"0" and (int(held[1]), held[2]) == (attempt, fence.encode()):
            body = await self._filled(held[4])
            if body == UNREADABLE:
                raise StoreUnavailable("the task's input cannot be read now: do all servers share MUSTER_FILES_DIR?")
            return Holding(held[3].decode(), job[1].decode(), body)
        known = job[0] is not None and (held[0] is not None or parts[1] < int(job[2]))
        return Refusal.STALE if known else Refusal.GONE

    def _key(self, job: JobId | None) -> str | None:
        if job is None:
            return None
        try:
            return f"{self._tag_of(job)}fa:{job}"
        except LookupError:
            return None

    async def _now_ms(self) -> int:
        seconds, micros = await self._call("TIME")
        return int(seconds) * 1000 + int(micros) // 1000


def load_artifact(entry: bytes, expires_ms: int | None) -> FileRecord:
    """As `keep.lua` spells it."""
    head, _, record = entry.partition(b"|")
    stamp, line, _ = head.split(b",")
    fields = orjson.loads(record)
    fields["tags"] = tuple(fields.get("tags", ()))
    expires_at = None if expires_ms is None else UnixMs(expires_ms)
    return FileRecord(NewFile(**fields), UnixMs(int(stamp)), expires_at, int(line))
