"""Executions: list, start, show, delete."""

import asyncio
from typing import Any, Final

from aiohttp import web

from muster.api.call import Call
from muster.api.wire import time_text
from muster.core.record import JobRecord
from muster.core.status import FINAL, JobStatus
from muster.errors import ErrorCode, MusterError
from muster.surfaces.command_job import SURFACE as OF_SURFACE
from muster.surfaces.command_job import submit_command
from muster.surfaces.monitor.artifact_view import artifact_object
from muster.surfaces.monitor.envelope import answer
from muster.surfaces.monitor.execution_view import execution_object
from muster.surfaces.monitor.models import NAME_CHARACTERS_MAX, CreateExecution
from muster.surfaces.monitor.parameters import one_of, page_of
from muster.surfaces.monitor.steps import SURFACE, StepsOf, is_command, steps_of
from muster.surfaces.paging import Page

LIVE: Final = frozenset(JobStatus) - FINAL
STATUSES: Final = {
    "pending": LIVE,
    "running": LIVE,
    "completed": frozenset({JobStatus.FINISHED}),
    "failed": frozenset({JobStatus.FAILED, JobStatus.QUARANTINED}),
    "cancelled": frozenset({JobStatus.CANCELLED}),
}
BEGUN: Final = {"pending": False, "running": True}
READ_AT_ONCE: Final = 50
"""Executions of a page whose steps are asked for at the same time."""


async def list_executions(call: Call) -> web.Response:
    """Every job of the caller, newest first, whatever surface it came through; fewer where they are very large."""
    limit, offset = page_of(call)
    status, user = one_of(call, "status", tuple(STATUSES)), call.query("user")
    if user not in (None, call.tenant):
        return answer({"executions": [], "total_count": 0, "has_more": False})
    found = await call.engine.find(
        call.tenant,
        statuses=None if status is None else STATUSES[status],
        begun=None if status is None else BEGUN.get(status),
        limit=limit,
        offset=offset,
    )
    page = Page()
    for start in range(0, len(found.items), READ_AT_ONCE):
        records = found.items[start : start + READ_AT_ONCE]
        for shown in await asyncio.gather(*(_shown(call, record) for record in records)):
            page.add(shown)
        if page.is_full:
            break
    has_more = page.is_full or offset + len(found.items) < found.total
    return answer({"executions": page.items, "total_count": found.total, "has_more": has_more})


async def create_execution(call: Call) -> web.Response:
    """Run a command, without a shell, on a worker that allows it."""
    order = call.body(CreateExecution)
    params: dict[str, Any] = {
        "argv": order.argv,
        "environment": order.environment or {},
        "labels": {
            OF_SURFACE: SURFACE,
            "name": order.name or order.text[:NAME_CHARACTERS_MAX],
            "command": order.text,
            "tags": order.tags or [],
            "metadata": order.metadata or {},
        },
    }
    if order.working_directory:
        params["working_directory"] = order.working_directory
    if order.timeout is not None:
        params["timeout_seconds"] = order.timeout
    submitted = await submit_command(call.engine, call.tenant, params)
    record = await call.engine.job(call.tenant, submitted.job_id)
    return answer(
        {"execution_id": record.id, "status": "pending", "created_at": time_text(record.created_at)},
        status=201,
        headers={"Location": f"/api/executions/{record.id}"},
    )


async def get_execution(call: Call) -> web.Response:
    """The execution, its steps by index, its artifacts."""
    record = await call.engine.job(call.tenant, call.path["execution_id"])
    steps, artifacts = await asyncio.gather(steps_of(call.engine, record), call.engine.files.artifacts(record.id))
    of_command, settings = is_command(record), call.edge.settings
    return answer(
        {
            "execution": execution_object(record, steps),
            "steps": list(steps.items),
            "artifacts": [
                artifact_object(artifact, settings, of_command=of_command)
                for artifact in artifacts
                if not call.engine.files.is_over(artifact)
            ],
        }
    )


async def delete_execution(call: Call) -> web.Response:
    """Cancel it where it is active, then forget it with its steps, logs and artifacts."""
    await call.engine.delete(call.tenant, call.path["execution_id"])
    return answer({"message": "Execution deleted successfully"})


async def _shown(call: Call, record: JobRecord) -> dict[str, Any]:
    """One that is deleted while the page is made is shown as it was."""
    try:
        steps = await steps_of(call.engine, record)
    except MusterError as error:
        if error.code is not ErrorCode.JOB_NOT_FOUND:
            raise
        steps = StepsOf((), {})
    return execution_object(record, steps)
