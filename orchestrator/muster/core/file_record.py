"""Stored files as values, and their ids. An artifact's id names its job, so nothing is looked up to find it."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from muster.core.ids import JobId, TaskId, UnixMs, is_job_id, split_task_id

_UPLOAD_ID: Final = re.compile(r"[0-9a-f]{32}")
_ARTIFACT_ID: Final = re.compile(r"[0-9a-f]{48}")
_NAME_HASH_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file whose bytes are in place: what is to be written down about it. `blob` names the bytes."""

    id: str
    tenant: str
    name: str
    size: int
    sha256: str
    media_type: str
    blob: str
    task_id: str = ""
    step: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    kind: str = ""
    """What a client says it is, in the words of its API; empty where it did not."""
    title: str = ""
    """What a client calls it, apart from the name of the file."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file as stored. `expires_at` is None while the job of an artifact runs."""

    file: NewFile
    created_at: UnixMs
    expires_at: UnixMs | None = None
    line: int = 0
    """How many lines of its job's log were there before it."""


@dataclass(frozen=True, slots=True)
class PlannedUpload:
    """An upload that somebody was given a signed URL for, and has not sent yet."""

    tenant: str
    name: str
    media_type: str


def is_upload_id(text: str) -> bool:
    return _UPLOAD_ID.fullmatch(text) is not None


def is_artifact_id(text: str) -> bool:
    return job_of_artifact(text) is not None


def artifact_id(task: TaskId, name: str) -> str:
    """The id of the artifact *name* of *task*: the same for every attempt, so that the last one sent stays.

    >>> artifact_id(TaskId("018f0000-0000-7005-8000-000000000001.0"), "a.txt")[:32]
    '018f0000000070058000000000000001'
    """
    parts = split_task_id(task)
    assert parts is not None, task
    tail = hashlib.blake2b(
        f"{parts[1]}\0{name}".encode("utf-8", "surrogatepass"), digest_size=_NAME_HASH_BYTES
    ).hexdigest()
    return parts[0].replace("-", "") + tail


def attached_id(job: JobId, drawn: int) -> str:
    """The id of an artifact that a client adds to *job*; *drawn* is a random number of 64 bits."""
    return f"{job.replace('-', '')}{drawn:016x}"


def jobs_of_blobs(blobs: Iterable[str]) -> tuple[JobId, ...]:
    """The jobs whose artifacts these blobs are, newest first; uploads are left out."""
    ids = (blob.split("-")[1] for blob in blobs if blob.count("-") == 2)
    found = {job for file_id in ids if (job := job_of_artifact(file_id)) is not None}
    return tuple(sorted(found, reverse=True))


def job_of_artifact(text: str) -> JobId | None:
    """The job inside an artifact's id, or None if *text* is no such id."""
    if _ARTIFACT_ID.fullmatch(text) is None:
        return None
    job = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:32]}"
    return JobId(job) if is_job_id(job) else None
