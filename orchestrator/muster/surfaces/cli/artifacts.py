"""What a command left: a list of its files, one of them, or all as a zip."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from muster.api.call import Call, json_answer
from muster.api.files import download_zip, file_answer
from muster.api.parameters import refused
from muster.core.file_record import FileRecord
from muster.core.record import JobRecord
from muster.errors import ErrorCode, MusterError
from muster.files.zipping import distinct_names

LABEL: Final = "results"
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._-]{1,255}")
_OFF: Final = frozenset({"", "0", "false", "no"})


@dataclass(frozen=True, slots=True)
class Artifact:
    """`name` is one that no other artifact of the job has."""

    name: str
    record: FileRecord


async def cli_manifest(call: Call) -> web.Response:
    """The job's files, by name. Empty before it has ended, and where it left none."""
    record = await call.engine.job(call.tenant, call.path["job_id"])
    found = [one for one in await _artifacts(call, record) if not call.engine.files.is_over(one.record)]
    return json_answer([_entry(record, one) for one in sorted(found, key=lambda one: one.name)])


async def cli_download(call: Call) -> web.StreamResponse:
    """The job's main file, the one that `file` names, or with `zip=1` all of them."""
    name = call.query("file")
    if name is not None and (_SEGMENT.fullmatch(name) is None or name in {".", ".."}):
        raise refused("file", name, "the plain name of a file, as in the manifest")
    record = await call.engine.job(call.tenant, call.path["job_id"])
    found = await _artifacts(call, record)
    if (call.query("zip") or "").lower() not in _OFF:
        _refuse_none(found)
        if all(call.engine.files.is_over(one.record) for one in found):
            raise _expired()
        return await download_zip(call)
    chosen = _chosen(record, found, name)
    # Looked up once more: its time may be over, or its bytes gone.
    return file_answer(call.engine.files, await call.engine.files.find(call.tenant, chosen.record.file.id))


async def _artifacts(call: Call, record: JobRecord) -> list[Artifact]:
    records = await call.engine.files.artifacts(record.id)
    names = distinct_names([one.file.name for one in records])
    return [Artifact(name, one) for name, one in zip(names, records, strict=True)]


def _chosen(record: JobRecord, found: Sequence[Artifact], name: str | None) -> Artifact:
    wanted = name or record.context.results.get("output_file")
    for one in found:
        if one.name == wanted:
            return one
    _refuse_none(found)
    if name is None:
        return found[0]
    raise MusterError(
        ErrorCode.FILE_NOT_FOUND,
        f"The job has no file {name!r}.",
        extra={"allowed": sorted(one.name for one in found)[:100]},
    )


def _refuse_none(found: Sequence[Artifact]) -> None:
    if not found:
        raise MusterError(ErrorCode.FILE_NOT_FOUND, "The job has no files, or none yet.")


def _expired() -> MusterError:
    return MusterError(
        ErrorCode.FILE_EXPIRED, "The job's files were kept for a limited time, which is over.", hint="Run it again."
    )


def _entry(record: JobRecord, one: Artifact) -> dict[str, object]:
    return {
        "name": one.name,
        "path": f"{LABEL}/{record.id}/{one.name}",
        "size": one.record.file.size,
        "mtime": one.record.created_at // 1000,
        "media_type": one.record.file.media_type,
    }
