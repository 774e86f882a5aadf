"""Jobs of the built-in blueprint `command`, as the surfaces make and read them."""

from collections.abc import Mapping
from typing import Any, Final

from muster_worker.command.contract import COMMAND, CommandParams
from pydantic import ValidationError

from muster.api.ports import Engine
from muster.core.record import JobRecord
from muster.core.status import JobStatus
from muster.engine.views import JobOrder, Submitted
from muster.errors import ErrorCode, MusterError

TIMED_OUT: Final = -1
SURFACE: Final = "surface"
"""The label that says through which surface a job came."""


async def submit_command(
    engine: Engine, tenant: str, params: Mapping[str, Any], *, tags: tuple[str, ...] = (), wait_ms: int = 0
) -> Submitted:
    """Start a job of `command`; *params* as `CommandParams`, with the surface's own facts under `labels`.

    Raises:
        MusterError: INVALID_INPUT with `errors`; as `Engine.submit`.
    """
    try:
        CommandParams.model_validate(params)
    except ValidationError as invalid:
        found = invalid.errors(include_url=False, include_context=False, include_input=False)[:20]
        errors = [{"pointer": "/" + "/".join(map(str, error["loc"])), "detail": error["msg"]} for error in found]
        raise MusterError(
            ErrorCode.INVALID_INPUT, f"{errors[0]['pointer']}: {errors[0]['detail']}.", extra={"errors": errors}
        ) from None
    return await engine.submit(JobOrder(tenant, COMMAND, dict(params), tags=tags, wait_ms=wait_ms))


def labels_of(record: JobRecord) -> Mapping[str, Any]:
    """The surface's own facts about the job; empty for other blueprints."""
    labels = record.submission.initial_data.get("labels")
    return labels if record.blueprint == COMMAND and isinstance(labels, Mapping) else {}


def mapping_of(labels: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The member *name* where it is an object: clients of the core may write anything there."""
    value = labels.get(name)
    return value if isinstance(value, Mapping) else {}


def text_of(labels: Mapping[str, Any], name: str) -> str | None:
    """The member *name* where it is a text."""
    value = labels.get(name)
    return value if isinstance(value, str) else None


def texts_of(labels: Mapping[str, Any], name: str) -> list[str] | None:
    """The member *name* where it is a list of texts."""
    value = labels.get(name)
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        return None
    return list(value)


def exit_code_of(record: JobRecord) -> int | None:
    """None until the end, and for a job that was cancelled or never ran."""
    code = record.context.results.get("exit_code")
    if record.status is JobStatus.CANCELLED or not isinstance(code, int):
        return None
    return code


def meta_of(record: JobRecord) -> Mapping[str, Any]:
    """What `META:` markers said."""
    meta = record.context.results.get("meta")
    return meta if isinstance(meta, Mapping) else {}


def run_ms(record: JobRecord) -> int | None:
    """From the first fetch of a task to the end; None before."""
    if record.started_at is None or record.finished_at is None:
        return None
    return record.finished_at - record.started_at
