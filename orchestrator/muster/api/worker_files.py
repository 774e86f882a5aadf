"""Files of workers: what their task was given, and what it made. Only for the attempt that holds the task."""

import re
from typing import Final

from aiohttp import web

from muster.api.auth import authorize_worker
from muster.api.call import Call, worker_answer
from muster.api.file_body import sent_file
from muster.api.files import file_answer
from muster.api.parameters import refused, whole
from muster.api.wire import artifact_object
from muster.errors import ErrorCode, MusterError
from muster.store.file_records import Holding

ATTEMPT_HEADER: Final = "X-Task-Attempt"
FENCE_HEADER: Final = "X-Task-Fence"
TASK_HEADER: Final = "X-Task-Id"
ATTEMPT_MAX: Final = 2**31
DESCRIPTION_MAX: Final = 500
_STEP: Final = re.compile(r"[\x20-\x7e]{0,128}")


async def put_artifact(call: Call) -> web.Response:
    """Keep a file that the task made, in place of one it sent under this name before."""
    task_id, attempt, fence = call.path["task_id"], _attempt(call), _header(call, FENCE_HEADER)
    step = call.query("step") or ""
    if _STEP.fullmatch(step) is None:
        raise refused("step", step, "up to 128 printable ASCII characters")
    description = call.query("description") or ""
    if len(description) > DESCRIPTION_MAX:
        raise refused("description", description, f"up to {DESCRIPTION_MAX} characters")
    holding = await _holding(call, task_id, attempt, fence)
    sent = await sent_file(call.request, call.edge.settings.max_artifact_bytes)
    record = await call.engine.files.keep_artifact(
        holding.tenant,
        task_id,
        attempt,
        fence,
        name=sent.name,
        media_type=sent.media_type,
        step=step,
        description=description,
        chunks=sent.chunks,
    )
    return worker_answer(artifact_object(record))


async def get_input(call: Call) -> web.StreamResponse:
    """A file whose id stands in the task's input; `Range` is understood."""
    holding = await _holding(call, _header(call, TASK_HEADER), _attempt(call), _header(call, FENCE_HEADER))
    record = await call.engine.files.find_for_task(holding, call.path["file_id"])
    return file_answer(call.engine.files, record)


async def _holding(call: Call, task_id: str, attempt: int, fence: str) -> Holding:
    holding = await call.engine.files.holding(task_id, attempt, fence)
    assert call.identity is not None, call.operation.path
    authorize_worker(call.identity, call.edge.credentials, holding.worker)
    return holding


def _attempt(call: Call) -> int:
    return whole(ATTEMPT_HEADER, _header(call, ATTEMPT_HEADER), minimum=1, maximum=ATTEMPT_MAX)


def _header(call: Call, name: str) -> str:
    value = call.request.headers.get(name)
    if not value:
        raise MusterError(
            ErrorCode.INVALID_PARAMETER,
            f"The header {name} is missing.",
            hint="A task's id, attempt and fence came with it; workers register with protocol 1 to get a fence.",
            extra={"parameter": name},
        )
    return value
