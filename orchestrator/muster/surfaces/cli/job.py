"""A job as this surface shows it, and the end of one that nobody has begun."""

from typing import Any, Final

from aiohttp import web

from muster.api.call import Call, json_answer
from muster.api.ports import Engine
from muster.api.wire import time_text
from muster.core.record import JobRecord
from muster.core.status import JobStatus
from muster.errors import ErrorCode, MusterError
from muster.surfaces.command_job import exit_code_of
from muster.surfaces.output import CollectedOutput, collected_output
from muster.surfaces.words import word

NAME: Final = "cli"
CANCEL_WAIT_MS: Final = 2_000
"""A worker that took the job in the same moment is given so long to stop it before we answer."""


async def cli_job(call: Call) -> web.Response:
    """A job: its output so far, and how it ended."""
    record = await call.engine.job(call.tenant, call.path["job_id"])
    output = await collected_output(call.engine, call.tenant, record.id)
    # What was printed until it ended must be in what is told of an ended job, so the record is not read again.
    return json_answer(
        {
            **outcome(record, output),
            "progress": 1.0 if record.status is JobStatus.FINISHED else record.progress,
            "error": record.error,
            "output_truncated": output.is_truncated,
            "created_at": time_text(record.created_at),
            "started_at": time_text(record.started_at),
            "finished_at": time_text(record.finished_at),
        }
    )


def outcome(record: JobRecord, output: CollectedOutput) -> dict[str, Any]:
    """The documented members, which the last frame of the WebSocket has as well."""
    results = record.context.results
    output_file, paths = results.get("output_file"), results.get("input_paths")
    return {
        "job_id": record.id,
        "status": word(NAME, record),
        "stdout": output.stdout,
        "stderr": output.stderr,
        "exit_code": exit_code_of(record),
        "output_file": output_file if isinstance(output_file, str) else None,
        "resolved_input_paths": paths if isinstance(paths, list) else None,
    }


async def cli_cancel(call: Call) -> web.Response:
    """Cancel a job that is queued. One that runs goes on: see `POST /api/v1/jobs/{job_id}/cancel`."""
    record = await call.engine.job(call.tenant, call.path["job_id"])
    _refuse_begun(record)
    try:
        await call.engine.cancel(call.tenant, record.id, queued=True)
    except MusterError as error:
        if error.code is ErrorCode.JOB_FINAL:
            _refuse_begun(await call.engine.job(call.tenant, record.id))
        raise
    after = await _end_of(call.engine, record)
    if after.status.is_final and after.status is not JobStatus.CANCELLED:
        _refuse_begun(after)
    return json_answer({"status": "canceled", "job_id": record.id})


async def _end_of(engine: Engine, record: JobRecord) -> JobRecord:
    return await engine.wait(record.tenant, record.id, timeout_ms=CANCEL_WAIT_MS, since=None)


def _refuse_begun(record: JobRecord) -> None:
    status = word(NAME, record)
    if status == "queued":
        return
    if record.status.is_final:
        raise MusterError(ErrorCode.JOB_FINAL, f"Job {record.id} is {status}, and cannot be canceled any more.")
    raise MusterError(
        ErrorCode.JOB_RUNNING,
        f"Job {record.id} is running; only queued jobs are canceled here.",
        hint=f"POST /api/v1/jobs/{record.id}/cancel stops a running job.",
    )
