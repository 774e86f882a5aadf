"""What happens to executions, as the messages of document 003. One teller a client: it knows what that one was told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from muster_worker.command.markers import parse

from muster.api.ports import Engine
from muster.api.wire import time_text
from muster.core.file_record import FileRecord
from muster.core.record import JobRecord
from muster.engine.journal import LogEntry, StepView
from muster.engine.live_events import ArtifactKept, JobChanged, JobEnded, LineCame, LiveEvent, StepChanged
from muster.errors import ErrorCode, MusterError
from muster.surfaces.command_job import exit_code_of
from muster.surfaces.monitor.artifact_view import download_url
from muster.surfaces.monitor.envelope import now_text
from muster.surfaces.monitor.execution_view import command_text, duration_s, execution_name, started_at
from muster.surfaces.monitor.steps import FAILED, SURFACE, is_command, step_id, step_object, steps_of
from muster.surfaces.words import word

Message: TypeAlias = dict[str, Any]
LEVELS: Final = {"stdout": "info", "stderr": "error", "notice": "warning", "event": "info"}
LOOKED_FOR_MAX: Final = 100
"""Executions under way that are looked for at a time, to see whether they were deleted."""
EXECUTION_ERROR: Final = "EXECUTION_ERROR"


def message(kind: str, data: Mapping[str, Any]) -> Message:
    return {"type": kind, "data": data, "timestamp": now_text()}


def error_message(execution_id: str | None, text: str, code: str) -> Message:
    data = {"execution_id": execution_id, "error_message": text, "error_code": code, "timestamp": now_text()}
    return message("error", data)


@dataclass(slots=True)
class _Told:
    """What the client was told of one execution. `views` are the steps that its command told of."""

    record: JobRecord
    started: bool = False
    version: int = -1
    """Of the record whose states were told: it grows with every state that is entered."""
    steps: dict[str, Message] = field(default_factory=dict[str, Message])
    views: dict[str, StepView] = field(default_factory=dict[str, StepView])
    artifacts: int = 0


class Teller:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._told: dict[str, _Told] = {}
        self.has_told_an_end = False

    async def messages(self, event: LiveEvent) -> list[Message]:
        """None, one or several; nothing is said twice."""
        match event:
            case JobChanged(record):
                return await self._changed(record)
            case StepChanged(job_id, view):
                return self._step(job_id, view)
            case LineCame(job_id, entry, view):
                return self._line(job_id, entry, view)
            case ArtifactKept(job_id, file):
                return self._artifact(job_id, file)
            case JobEnded(record):
                return await self._ended(record)

    async def deleted(self) -> list[Message]:
        """The ends of executions that were deleted before their end could be told. Asked for when nothing happens."""
        found: list[Message] = []
        for told in list(self._told.values())[:LOOKED_FOR_MAX]:
            try:
                await self._engine.job(told.record.tenant, told.record.id)
            except MusterError as error:
                if error.code is not ErrorCode.JOB_NOT_FOUND:
                    raise
                found += await self._ended(told.record)
        return found

    async def _changed(self, record: JobRecord) -> list[Message]:
        told = self._told.setdefault(record.id, _Told(record))
        told.record = record
        found: list[Message] = []
        if started_at(record) is not None and not told.started:
            told.started = True
            found.append(_started(record))
        if told.started and told.version != record.version and not is_command(record):
            told.version = record.version
            found += await self._states(told)
        return found

    async def _states(self, told: _Told) -> list[Message]:
        """Of other blueprints: which states were entered and left since."""
        try:
            steps = (await steps_of(self._engine, told.record)).items
        except MusterError as error:
            if error.code is ErrorCode.JOB_NOT_FOUND:
                return []
            raise
        return [said for step in steps for said in _new_step(told, step)]

    def _step(self, job_id: str, view: StepView) -> list[Message]:
        told = self._told.get(job_id)
        if told is None or not is_command(told.record):
            return []
        told.views[step_id(job_id, view.index)] = view
        return _new_step(told, step_object(view, told.record))

    def _line(self, job_id: str, entry: LogEntry, view: StepView | None) -> list[Message]:
        told = self._told.get(job_id)
        if told is None or _is_marker(told.record, entry):
            return []
        has_step = view is not None and is_command(told.record)
        data = {
            "execution_id": job_id,
            "step_id": step_id(job_id, view.index) if has_step and view is not None else None,
            "content": entry.text,
            "timestamp": time_text(entry.at),
            "level": LEVELS[entry.stream],
        }
        return [message("log_entry", data)]

    def _artifact(self, job_id: str, file: FileRecord) -> list[Message]:
        told = self._told.get(job_id)
        if told is not None:
            told.artifacts += 1
        artifact = {
            "id": file.file.id,
            "name": file.file.title or file.file.name,
            "file_name": file.file.name,
            "download_url": download_url(file.file.id),
        }
        return [message("artifact_created", {"execution_id": job_id, "artifact": artifact})]

    async def _ended(self, record: JobRecord) -> list[Message]:
        found = await self._changed(record)
        told = self._told.pop(record.id)
        for view in told.views.values():
            found += _new_step(told, step_object(view, record))
        status = word(SURFACE, record) if record.status.is_final else "cancelled"
        if status == FAILED:
            text = record.error or f"The execution was {record.status.value}."
            found.append(error_message(record.id, text, EXECUTION_ERROR))
        steps, artifacts = await self._counts(told)
        data = {
            "execution_id": record.id,
            "status": status,
            "exit_code": exit_code_of(record) if record.status.is_final else None,
            "completed_at": time_text(record.finished_at) or now_text(),
            "duration_seconds": duration_s(record),
            "total_steps": steps,
            "artifacts_count": artifacts,
        }
        self.has_told_an_end = True
        return [*found, message("execution_completed", data)]

    async def _counts(self, told: _Told) -> tuple[int, int]:
        """Steps and artifacts; those that were told of, where the execution is gone already."""
        try:
            steps = len((await steps_of(self._engine, told.record)).items)
        except MusterError as error:
            if error.code is not ErrorCode.JOB_NOT_FOUND:
                raise
            return len(told.steps), told.artifacts
        return steps, len(await self._engine.files.artifacts(told.record.id))


def _started(record: JobRecord) -> Message:
    data = {
        "execution_id": record.id,
        "name": execution_name(record),
        "command": command_text(record),
        "started_at": time_text(started_at(record)),
    }
    return message("execution_started", data)


def _new_step(told: _Told, step: Message) -> list[Message]:
    if told.steps.get(step["id"]) == step:
        return []
    told.steps[step["id"]] = step
    return [message("step_update", {"execution_id": step["execution_id"], "step": step})]


def _is_marker(record: JobRecord, entry: LogEntry) -> bool:
    means_something = is_command(record) and record.submission.initial_data.get("markers", True)
    return bool(means_something) and entry.stream == "stdout" and parse(entry.text) is not None
