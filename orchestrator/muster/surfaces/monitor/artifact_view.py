"""A stored file as an artifact: the 15 members of document 003."""

import math
from pathlib import PurePosixPath
from typing import Any, Final

from muster.api.wire import time_text
from muster.core.file_record import FileRecord, job_of_artifact
from muster.settings import Settings
from muster.surfaces.monitor.steps import step_id

TYPES: Final = ("document", "image", "data", "log", "archive", "other")
RETENTION_DAYS: Final = 30
"""What the document shows. Where artifacts have a time of their own, it is that."""
_DAY_S: Final = 86_400
_OF_ENDING: Final = {
    ".txt": "document", ".md": "document", ".html": "document", ".htm": "document", ".pdf": "document",
    ".csv": "data", ".json": "data", ".parquet": "data", ".xml": "data",
    ".log": "log",
    ".zip": "archive", ".tar": "archive", ".gz": "archive", ".tgz": "archive",
}  # fmt: skip
_OF_MEDIA_TYPE: Final = {
    "text/csv": "data", "application/json": "data", "application/xml": "data", "text/xml": "data",
    "application/vnd.apache.parquet": "data",
    "application/pdf": "document",
    "application/zip": "archive", "application/x-tar": "archive", "application/gzip": "archive",
}  # fmt: skip


def artifact_object(record: FileRecord, settings: Settings, *, of_command: bool) -> dict[str, Any]:
    """*of_command*: whether its job is one of the blueprint `command`, whose tasks tell the steps that are shown."""
    file = record.file
    execution_id = str(job_of_artifact(file.id))
    has_step = file.step.isdecimal() and (of_command or not file.task_id)
    return {
        "id": file.id,
        "execution_id": execution_id,
        "step_id": step_id(execution_id, file.step) if has_step else None,
        "name": file.title or file.name,
        "description": file.description,
        "file_path": f"executions/{execution_id}/{file.id}/{file.name}",
        "file_name": file.name,
        "file_size": file.size,
        "mime_type": file.media_type,
        "artifact_type": artifact_type(record),
        "created_at": time_text(record.created_at),
        "tags": list(file.tags),
        "is_public": True,
        "retention_days": retention_days(settings),
        "download_url": download_url(file.id),
    }


def artifact_type(record: FileRecord) -> str:
    """As its sender said; else by the end of its name, else by its media type."""
    file = record.file
    if file.kind in TYPES:
        return file.kind
    media_type = file.media_type.partition(";")[0].strip().lower()
    by_name = _OF_ENDING.get(PurePosixPath(file.name).suffix.lower())
    if by_name is not None:
        return by_name
    if media_type in _OF_MEDIA_TYPE:
        return _OF_MEDIA_TYPE[media_type]
    return {"image": "image", "text": "document"}.get(media_type.partition("/")[0], "other")


def retention_days(settings: Settings) -> int:
    seconds = settings.results_ttl_seconds
    return RETENTION_DAYS if seconds is None else math.ceil(seconds / _DAY_S)


def download_url(artifact_id: str) -> str:
    return f"/api/artifacts/{artifact_id}/download"
