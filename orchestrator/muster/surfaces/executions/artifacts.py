"""Files of executions: what went in, what came out, and URLs to fetch them by."""

import re
import time
from typing import Any, Final

from aiohttp import web

from muster.api.call import Call, json_answer
from muster.api.files import SIGNED_DOWNLOAD_S, signed_url
from muster.api.wire import time_text
from muster.core.file_record import FileRecord
from muster.core.ids import UnixMs
from muster.core.record import JobRecord
from muster.engine.files import FILE_GONE
from muster.errors import ErrorCode, MusterError
from muster.files.zipping import distinct_names
from muster.surfaces.executions.finding import execution_of, members_of
from muster.surfaces.executions.models import WantDownloadUrl

INPUT: Final = "input"
OUTPUT: Final = "output"
_KEY: Final = re.compile(r"executions/(?P<job>[^/]+)/(?P<kind>input|output)s/(?P<name>[^/]+)")


async def list_execution_artifacts(call: Call) -> web.Response:
    """Inputs that have come, then outputs, each oldest first."""
    record = await execution_of(call)
    found = [(INPUT, name, file) for name, file in await _inputs(call, record)]
    found += [(OUTPUT, name, file) for name, file in await outputs(call, record)]
    return json_answer([_artifact_object(call, record, kind, name, file) for kind, name, file in found])


async def make_download_url(call: Call) -> web.Response:
    """A URL by which anybody can fetch the file for two hours, without any header."""
    wanted = call.body(WantDownloadUrl)
    given = wanted.s3_key if wanted.s3_key is not None else wanted.artifact_id
    if given is None or given == "":
        raise MusterError(
            ErrorCode.INVALID_BODY,
            "s3_key is missing.",
            hint="Give the file_path of an artifact as s3_key, or its artifact_id.",
        )
    if not isinstance(given, str):
        raise MusterError(ErrorCode.UNPROCESSABLE, "s3_key and artifact_id are texts.")
    record = await found_by_key(call, given)
    return json_answer({"download_url": download_url(call, record), "expires_in": SIGNED_DOWNLOAD_S})


def download_url(call: Call, record: FileRecord) -> str:
    return signed_url(call, "GET", record.file.id, int(time.time()) + SIGNED_DOWNLOAD_S)


async def found_by_key(call: Call, key: str) -> FileRecord:
    """The caller's file of this `file_path` or id.

    Raises:
        MusterError: FILE_NOT_FOUND, also for other tenants' files; FILE_EXPIRED.
    """
    parts = _KEY.fullmatch(key)
    if parts is None:
        return await call.engine.files.find(call.tenant, key)
    try:
        record = await call.engine.job(call.tenant, parts["job"])
    except MusterError as error:
        raise _not_found() if error.code is ErrorCode.JOB_NOT_FOUND else error from None
    named = await (_inputs(call, record) if parts["kind"] == INPUT else outputs(call, record))
    for name, file in named:
        if name == parts["name"]:
            return await call.engine.files.find(call.tenant, file.file.id)
    raise _not_found()


async def outputs(call: Call, record: JobRecord) -> list[tuple[str, FileRecord]]:
    """Artifacts by names that are each there once: the second `a.txt` has a number."""
    files = await call.engine.files.artifacts(record.id)
    return list(zip(distinct_names([file.file.name for file in files]), files, strict=True))


async def _inputs(call: Call, record: JobRecord) -> list[tuple[str, FileRecord]]:
    """Those that have come and are still kept, by their names in the task's directory."""
    found: list[tuple[str, FileRecord]] = []
    for member in members_of(record):
        file_id = member.get("file_id")
        if not isinstance(file_id, str):
            continue
        try:
            found.append((member["name"], await call.engine.files.find(call.tenant, file_id)))
        except MusterError as error:
            if error.code not in FILE_GONE:
                raise
    return found


def _artifact_object(call: Call, record: JobRecord, kind: str, name: str, file: FileRecord) -> dict[str, Any]:
    return {
        "artifact_id": file.file.id,
        "execution_id": record.id,
        "artifact_type": kind,
        "filename": name,
        "file_path": f"executions/{record.id}/{kind}s/{name}",
        "size_bytes": file.file.size,
        "content_type": file.file.media_type,
        "created_at": time_text(file.created_at),
        "expires_at": time_text(file.expires_at or _earliest_end(call, file)),
    }


def _earliest_end(call: Call, file: FileRecord) -> UnixMs:
    """While its execution runs a file's end is not known: it is kept for so long at least."""
    return UnixMs(file.created_at + int(call.edge.settings.retention_seconds * 1000))


def _not_found() -> MusterError:
    return MusterError(ErrorCode.FILE_NOT_FOUND, "File not found")
