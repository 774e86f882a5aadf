"""Files that an execution gets: still to be sent, here already, or copied from the execution that is run again."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from muster.api.call import Call
from muster.api.files import signed_url
from muster.core.file_record import FileRecord, is_upload_id
from muster.core.record import JobRecord
from muster.engine.files import FILE_GONE, Files
from muster.errors import ErrorCode, MusterError
from muster.files.names import safe_name
from muster.surfaces.command_job import labels_of
from muster.surfaces.executions.artifacts import found_by_key
from muster.surfaces.executions.finding import members_of

UPLOAD_S: Final = 3600
"""How long an upload URL lasts, and how long the execution waits for what is sent there."""
UPLOADS: Final = "uploads"
"""The label that says which inputs were to be sent: name as the client gave it, to file id."""
COPY_BYTES: Final = 262_144


@dataclass(slots=True)
class Inputs:
    """`members` are those of a command; `uploads` says which of them are still to be sent, by the client's names."""

    members: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    uploads: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, name: str, file_id: str) -> None:
        self.members.append({"name": safe_name(name), "file_id": file_id})

    async def plan(self, files: Files, tenant: str, name: str) -> None:
        upload, _ = await files.plan_upload(tenant, name, None)
        self.uploads[name] = upload
        self.add(name, upload)


async def wanted_inputs(call: Call, names: Sequence[str], cached: Mapping[str, str]) -> Inputs:
    """Inputs of a new execution: those of *cached* are here, the rest of *names* will be sent.

    Raises:
        MusterError: INVALID_INPUT for a key of *cached* that names nothing of the caller's.
    """
    inputs = Inputs()
    for name, key in cached.items():
        try:
            record = await found_by_key(call, key)
        except MusterError as error:
            raise MusterError(
                ErrorCode.INVALID_INPUT,
                f"/cached_input_refs/{name}: there is no file {key[:200]!r}.",
                hint="Give the file_path of an artifact, or leave it out and send the file.",
            ) from error
        inputs.add(name, record.file.id)
    for name in names:
        if name not in cached:
            await inputs.plan(call.engine.files, call.tenant, name)
    return inputs


async def copied_inputs(call: Call, record: JobRecord) -> Inputs:
    """The inputs of *record* for another run: files of its own; what was not sent in time is asked for again.

    Raises:
        MusterError: QUOTA_EXCEEDED, DISK_FULL, and FILE_NOT_FOUND for an input that is gone.
    """
    files, inputs = call.engine.files, Inputs()
    asked_for = {upload: name for name, upload in uploads_of(record).items()}
    for member in members_of(record):
        file_id = member.get("file_id")
        if file_id is None:
            inputs.members.append(dict(member))
        elif await files.is_planned(call.tenant, file_id):
            inputs.add(member["name"], file_id)
            inputs.uploads[asked_for.get(file_id, member["name"])] = file_id
        else:
            await _copy(call, inputs, member["name"], file_id, asked_for.get(file_id))
    return inputs


async def _copy(call: Call, inputs: Inputs, name: str, file_id: str, asked_for: str | None) -> None:
    files = call.engine.files
    try:
        known = await files.find(call.tenant, file_id)
        copy = await files.upload(call.tenant, known.file.name, known.file.media_type, _bytes_of(files, known))
    except (MusterError, FileNotFoundError) as error:
        gone = isinstance(error, FileNotFoundError) or error.code in FILE_GONE
        if not gone or asked_for is None:
            raise
        await inputs.plan(files, call.tenant, asked_for)
    else:
        inputs.add(name, copy.file.id)


async def _bytes_of(files: Files, record: FileRecord) -> AsyncIterator[bytes]:
    source: BinaryIO = await files.blobs.run(files.blobs.opener(record.file.blob))
    try:
        while chunk := await files.blobs.run(lambda: source.read(COPY_BYTES)):
            yield chunk
    finally:
        source.close()


async def upload_urls(call: Call, record: JobRecord) -> dict[str, str] | None:
    """Where what is still to be sent is to be sent; None once there is nothing, or no time left.

    Clients may write a job's labels themselves: only uploads that were planned for the caller get a URL.
    """
    until_s = record.created_at // 1000 + UPLOAD_S
    uploads = uploads_of(record)
    if not uploads or record.started_at is not None or record.status.is_final or until_s <= time.time():
        return None
    ids = tuple(dict.fromkeys(uploads.values()))
    awaited = await asyncio.gather(*(call.engine.files.is_planned(call.tenant, upload) for upload in ids))
    planned = {upload for upload, is_awaited in zip(ids, awaited, strict=True) if is_awaited}
    urls = {name: signed_url(call, "PUT", upload, until_s) for name, upload in uploads.items() if upload in planned}
    return urls or None


def uploads_of(record: JobRecord) -> Mapping[str, str]:
    """As the job's labels have them, whoever wrote those."""
    uploads = labels_of(record).get(UPLOADS)
    known = uploads if isinstance(uploads, Mapping) else {}
    return {name: upload for name, upload in known.items() if isinstance(upload, str) and is_upload_id(upload)}
