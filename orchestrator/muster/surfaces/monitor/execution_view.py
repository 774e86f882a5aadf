"""A job as an execution: the 19 members of document 003, whichever surface the job came through."""

import shlex
from collections.abc import Mapping
from typing import Any

from muster.api.wire import time_text
from muster.core.ids import UnixMs
from muster.core.record import JobRecord
from muster.core.status import JobStatus
from muster.surfaces.command_job import SURFACE as OF_SURFACE
from muster.surfaces.command_job import exit_code_of, labels_of, mapping_of, run_ms, text_of, texts_of
from muster.surfaces.monitor.steps import SURFACE, StepsOf, is_command, progress_of
from muster.surfaces.words import word


def execution_object(record: JobRecord, steps: StepsOf) -> dict[str, Any]:
    params = record.submission.initial_data if is_command(record) else {}
    labels = own_labels(record)
    tags = texts_of(labels, "tags")
    return {
        "id": record.id,
        "name": execution_name(record),
        "command": command_text(record),
        "working_directory": params.get("working_directory") or ("." if is_command(record) else ""),
        "status": word(SURFACE, record),
        "exit_code": exit_code_of(record),
        "error_message": record.error,
        "created_at": time_text(record.created_at),
        "started_at": time_text(started_at(record)),
        "completed_at": time_text(record.finished_at),
        "environment": params.get("environment") or {},
        "user": record.tenant,
        "tags": list(record.submission.tags) if tags is None else tags,
        "duration_seconds": duration_s(record),
        "metadata": {**mapping_of(labels, "metadata"), **steps.metadata},
        **progress_of(record, steps.items),
    }


def started_at(record: JobRecord) -> UnixMs | None:
    """When somebody began. A job that ends before that has its end noted as its start: such a run had none."""
    only_ended = record.started_at == record.finished_at and (
        record.status is JobStatus.CANCELLED or is_command(record)
    )
    return None if only_ended else record.started_at


def duration_s(record: JobRecord) -> float | None:
    """Of a run that is over."""
    ran_ms = run_ms(record)
    return None if ran_ms is None or started_at(record) is None else ran_ms / 1000


def own_labels(record: JobRecord) -> Mapping[str, Any]:
    """What a client of this surface gave; empty for jobs that came otherwise."""
    labels = labels_of(record)
    return labels if labels.get(OF_SURFACE) == SURFACE else {}


def execution_name(record: JobRecord) -> str:
    return text_of(own_labels(record), "name") or command_text(record) or record.blueprint


def command_text(record: JobRecord) -> str:
    """As it was given; of a script its runtime and arguments; of other blueprints empty."""
    if not is_command(record):
        return ""
    given = text_of(own_labels(record), "command")
    if given:
        return given
    params = record.submission.initial_data
    argv = params.get("argv")
    if isinstance(argv, list | tuple):
        return shlex.join(map(str, argv))
    arguments = params.get("args")
    words = arguments if isinstance(arguments, list | tuple) else ()
    return " ".join([str(params.get("runtime", "")), *(shlex.quote(str(text)) for text in words)])
