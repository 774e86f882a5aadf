"""Artifacts: list, show, download, add to an execution, delete."""

import asyncio
from bisect import insort
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

import orjson
from aiohttp import web

from muster.api.body import validated
from muster.api.call import Call
from muster.api.file_body import SentField, form_parts
from muster.api.files import file_answer
from muster.core.file_record import FileRecord, job_of_artifact
from muster.core.record import JobRecord
from muster.errors import ErrorCode, MusterError
from muster.surfaces.monitor.artifact_view import TYPES, artifact_object
from muster.surfaces.monitor.envelope import answer
from muster.surfaces.monitor.models import ArtifactForm
from muster.surfaces.monitor.parameters import one_of, page_of
from muster.surfaces.monitor.steps import index_of, is_command, steps_of

READ_AT_ONCE: Final = 50
"""Executions whose artifacts are asked for at the same time."""
_TAGS: Final = "tags"


class _Newest:
    """The newest of all that are shown to it, so that a page of many needs little room."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: list[tuple[int, str, dict[str, Any]]] = []
        self.total = 0

    def add(self, record: FileRecord, shown: dict[str, Any]) -> None:
        self.total += 1
        insort(self._kept, (record.created_at, record.file.id, shown))
        if len(self._kept) > self._most:
            self._kept.pop(0)

    def items(self) -> list[dict[str, Any]]:
        return [shown for _, _, shown in reversed(self._kept)]


async def list_artifacts(call: Call) -> web.Response:
    """Artifacts of one execution or of all, newest first."""
    limit, offset = page_of(call)
    kind, step, execution = one_of(call, "artifact_type", TYPES), call.query("step_id"), call.query("execution_id")
    if execution is None and step is not None:
        execution = step.rpartition("-")[0]  # a step's id names its execution
    newest = _Newest(offset + limit)
    async for record, of_command in _artifacts_of(call, execution):
        shown = artifact_object(record, call.edge.settings, of_command=of_command)
        if kind in (None, shown["artifact_type"]) and step in (None, shown["step_id"]):
            newest.add(record, shown)
    page = newest.items()[offset:]
    return answer({"artifacts": page, "total_count": newest.total, "has_more": offset + len(page) < newest.total})


async def get_artifact(call: Call) -> web.Response:
    return answer({"artifact": await _shown(call, await _find(call))})


async def download_artifact(call: Call) -> web.StreamResponse:
    """The bytes, as something to save; `Range` and conditional requests are understood."""
    return file_answer(call.engine.files, await _find(call))


async def upload_artifact(call: Call) -> web.Response:
    """Add a file to an execution, also to one that has ended. The parts of the form may come in any order."""
    fields: dict[str, list[str]] = {}
    files = call.engine.files
    async with AsyncExitStack() as stack:
        received = None
        async for part in form_parts(call.request, call.edge.settings.max_upload_bytes):
            if isinstance(part, SentField):
                fields.setdefault(part.name, []).append(part.value)
            else:
                coming = files.receiving(call.tenant, part.name, part.media_type, part.chunks)
                received = await stack.enter_async_context(coming)
        assert received is not None, "a form without a file is refused"
        order = validated(ArtifactForm, _form_object(fields))
        job = await call.engine.job(call.tenant, order.execution_id)
        record = await received.attach(
            job.id,
            step=await _step(call, job, order.step_id),
            description=order.description,
            tags=tuple(order.tags),
            kind=order.artifact_type or "",
            title=order.name,
        )
    shown = artifact_object(record, call.edge.settings, of_command=is_command(job))
    return answer({"artifact": shown}, status=201, headers={"Location": f"/api/artifacts/{record.file.id}"})


async def delete_artifact(call: Call) -> web.Response:
    record = await _find(call)
    await call.engine.files.delete(call.tenant, record.file.id)
    return answer({"message": "Artifact deleted successfully"})


async def _find(call: Call) -> FileRecord:
    """An artifact of the caller; uploads that belong to no execution are none."""
    artifact_id = call.path["artifact_id"]
    try:
        if job_of_artifact(artifact_id) is not None:
            return await call.engine.files.find(call.tenant, artifact_id)
    except MusterError as error:
        if error.code is not ErrorCode.FILE_EXPIRED:
            raise
    raise MusterError(ErrorCode.FILE_NOT_FOUND, "Artifact not found")


async def _shown(call: Call, record: FileRecord) -> dict[str, Any]:
    job = await call.engine.job(call.tenant, str(job_of_artifact(record.file.id)))
    return artifact_object(record, call.edge.settings, of_command=is_command(job))


async def _artifacts_of(call: Call, execution: str | None) -> AsyncIterator[tuple[FileRecord, bool]]:
    """Of the execution, or of all; each with whether its job is a command."""
    jobs: Sequence[str] = await call.engine.files.jobs_of(call.tenant) if execution is None else (execution,)
    for start in range(0, len(jobs), READ_AT_ONCE):
        for found in await asyncio.gather(*(_of_one(call, job) for job in jobs[start : start + READ_AT_ONCE])):
            for entry in found:
                yield entry


async def _of_one(call: Call, execution: str) -> list[tuple[FileRecord, bool]]:
    try:
        job = await call.engine.job(call.tenant, execution)
    except MusterError as error:
        if error.code is ErrorCode.JOB_NOT_FOUND:
            return []
        raise
    of_command = is_command(job)
    return [
        (record, of_command)
        for record in await call.engine.files.artifacts(job.id)
        if not call.engine.files.is_over(record)
    ]


async def _step(call: Call, job: JobRecord, step_id: str | None) -> str:
    """The index of the step *step_id* of *job*, empty for none."""
    if step_id is None:
        return ""
    index = index_of(job.id, step_id)
    steps = () if index is None else (await steps_of(call.engine, job)).items
    if index is None or all(step["id"] != step_id for step in steps):
        raise MusterError(ErrorCode.NOT_FOUND, "Step not found")
    return index


def _form_object(fields: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The fields as one object. A list is a field that came several times, a JSON array, or words between commas."""
    twice = [name for name, values in fields.items() if len(values) > 1 and name in ArtifactForm.model_fields]
    if any(name != _TAGS for name in twice):
        raise MusterError(ErrorCode.INVALID_BODY, f"The form has several parts called {twice[0]!r}.")
    given: dict[str, Any] = {name: values[0] for name, values in fields.items()}
    if _TAGS in fields:
        given[_TAGS] = _tags(fields[_TAGS])
    return given


def _tags(values: Sequence[str]) -> Any:
    if len(values) > 1:
        return list(values)
    text = values[0].strip()
    if text.startswith("["):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            raise MusterError(ErrorCode.INVALID_BODY, "The part 'tags' begins as JSON and is none.") from None
    return [tag.strip() for tag in text.split(",") if tag.strip()]
