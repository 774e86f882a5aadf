"""Executions: make one, read one, list them, run one again."""

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web
from muster_worker.command.contract import COMMAND

from muster.api.call import Call, json_answer
from muster.api.parameters import refused, whole
from muster.core.record import JobRecord
from muster.core.status import JobStatus
from muster.engine.views import JobOrder
from muster.surfaces.command_job import SURFACE as SURFACE_LABEL
from muster.surfaces.command_job import labels_of, submit_command
from muster.surfaces.executions.artifacts import download_url, outputs
from muster.surfaces.executions.batches import tag_of
from muster.surfaces.executions.finding import execution_of
from muster.surfaces.executions.inputs import UPLOADS, Inputs, copied_inputs, upload_urls, wanted_inputs
from muster.surfaces.executions.models import CreateExecution
from muster.surfaces.executions.runtimes import resolved
from muster.surfaces.executions.shapes import (
    AT_THE_START,
    BATCH,
    INPUT_FILES,
    SURFACE,
    USER_METADATA,
    Around,
    execution_object,
    user_metadata_of,
)
from muster.surfaces.output import collected_output
from muster.surfaces.paging import Page
from muster.surfaces.words import FINAL_WORDS, QUEUED, RUNNING, word

LIST_DEFAULT: Final = 50
LIST_MAX: Final = 200
SCANNED_MAX: Final = 10_000
"""Of the newest executions so many are looked at by a list, whether they fit or not."""
TASK_STARTED: Final = "task_started"
_STATUS_WORDS: Final = (QUEUED[SURFACE], RUNNING, *dict.fromkeys(FINAL_WORDS[SURFACE].values()))
_METADATA: Final = "metadata["


async def make_execution(call: Call) -> web.Response:
    """Stored when this answers. With `input_files` it starts once all of them were sent to their `upload_urls`."""
    order = call.body(CreateExecution)
    runtime = resolved(order.runtime, call.edge.settings.runtimes)
    inputs = await wanted_inputs(call, list(dict.fromkeys(order.input_files)), order.cached_input_refs or {})
    params = {
        "script_content": order.script_content,
        "runtime": runtime,
        "args": list(order.args),
        "environment": order.env_vars,
        "timeout_seconds": order.timeout_seconds,
        "inputs": inputs.members,
        "collect": "all",
        "labels": {
            SURFACE_LABEL: SURFACE,
            BATCH: order.batch_id,
            USER_METADATA: order.user_metadata,
            INPUT_FILES: list(order.input_files),
            UPLOADS: inputs.uploads,
        },
    }
    if order.requirements_content is not None:
        params["requirements_content"] = order.requirements_content
    tags = () if order.batch_id is None else (tag_of(order.batch_id),)
    submitted = await submit_command(call.engine, call.tenant, params, tags=tags)
    return await _just_made(call, submitted.job_id)


async def show_execution(call: Call) -> web.Response:
    """As it is now, with what it printed so far, 1 MiB of each stream at most."""
    record = await execution_of(call)
    around = Around(
        output=await collected_output(call.engine, call.tenant, record.id),
        worker=await _worker_of(call, record),
        upload_urls=await upload_urls(call, record),
        download_urls=await _download_urls(call, record),
    )
    return json_answer(execution_object(record, around))


async def list_own_executions(call: Call) -> web.Response:
    """One's executions, newest first, without their output; fewer than `limit` where they are very large."""
    limit, status, metadata = _limit(call), _status(call), _metadata_of(call)
    shown = Page()
    cursor: str | None = None
    for _ in range(SCANNED_MAX // LIST_MAX):
        page = await call.engine.jobs(
            call.tenant, limit=LIST_MAX, cursor=cursor, statuses=_statuses(status), blueprint=COMMAND
        )
        for record in page.items:
            if not shown.is_full and len(shown.items) < limit and _fits(record, status, metadata):
                shown.add(execution_object(record, Around(upload_urls=await upload_urls(call, record))))
        cursor = page.next
        if cursor is None or shown.is_full or len(shown.items) >= limit:
            break
    return json_answer(shown.items)


async def retry_execution(call: Call) -> web.Response:
    """The same again, as an execution of its own, with copies of the inputs; the old one stays as it is."""
    record = await execution_of(call)
    given = record.submission.initial_data
    if record.blueprint != COMMAND:
        submitted = await call.engine.submit(JobOrder(call.tenant, record.blueprint, given, **call.admission))
        return await _just_made(call, submitted.job_id)
    inputs = await copied_inputs(call, record)
    labels = {**labels_of(record), BATCH: None, UPLOADS: inputs.uploads}
    submitted = await submit_command(call.engine, call.tenant, _params(given, inputs, labels))
    return await _just_made(call, submitted.job_id)


def _params(given: Mapping[str, Any], inputs: Inputs, labels: Mapping[str, Any]) -> dict[str, Any]:
    return {**given, "inputs": inputs.members, "labels": labels}


async def _just_made(call: Call, job_id: str) -> web.Response:
    record = await call.engine.job(call.tenant, job_id)
    made = execution_object(record, Around(upload_urls=await upload_urls(call, record)))
    return json_answer({**made, **AT_THE_START})


async def _worker_of(call: Call, record: JobRecord) -> str | None:
    """The worker that has it, or had it last, where history is kept."""
    if record.current_worker is not None or record.started_at is None:
        return record.current_worker
    events = await call.engine.history(call.tenant, record.id)
    workers = [event.worker_id for event in events if event.event_type == TASK_STARTED]
    return workers[-1] if workers else None


async def _download_urls(call: Call, record: JobRecord) -> dict[str, str] | None:
    """Of the outputs, once there will be no more of them; None without any."""
    if not record.status.is_final:
        return None
    return {name: download_url(call, file) for name, file in await outputs(call, record)} or None


def _limit(call: Call) -> int:
    text = call.query("limit")
    return LIST_DEFAULT if text is None else whole("limit", text, minimum=1, maximum=LIST_MAX)


def _status(call: Call) -> str | None:
    status = call.query("status")
    if status is not None and status not in _STATUS_WORDS:
        raise refused("status", status, " or ".join(_STATUS_WORDS))
    return status


def _metadata_of(call: Call) -> dict[str, str]:
    """`?metadata[project]=x` as `{"project": "x"}`."""
    query = call.request.query
    return {name[len(_METADATA) : -1]: query[name] for name in query if name.startswith(_METADATA) and name[-1] == "]"}


def _statuses(status: str | None) -> frozenset[JobStatus] | None:
    """Those of jobs that may have *status*; None for all."""
    if status is None:
        return None
    final = FINAL_WORDS[SURFACE]
    if status in final.values():
        return frozenset(one for one in JobStatus if final.get(one) == status)
    return frozenset(one for one in JobStatus if not one.is_final)


def _fits(record: JobRecord, status: str | None, metadata: Mapping[str, str]) -> bool:
    if status is not None and word(SURFACE, record) != status:
        return False
    known = user_metadata_of(record) or {}
    return all(known.get(name) == value for name, value in metadata.items())
