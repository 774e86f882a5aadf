"""A job as an execution: the 19 members of document 003, whichever surface the job came through."""

import shlex
from collections.abc import Mapping
from typing import Any

from muster.api.wire import time_text
from muster.core.record import JobRecord
from muster.surfaces.command_job import SURFACE as OF_SURFACE
from muster.surfaces.command_job import exit_code_of, labels_of, run_ms
from muster.surfaces.monitor.steps import SURFACE, StepsOf, is_command, progress_of
from muster.surfaces.words import word


def execution_object(record: JobRecord, steps: StepsOf) -> dict[str, Any]:
    params = record.submission.initial_data if is_command(record) else {}
    labels = own_labels(record)
    ran_ms = run_ms(record)
    return {
        "id": record.id,
        "name": execution_name(record),
        "command": command_text(record),
        "working_directory": params.get("working_directory") or ("." if is_command(record) else ""),
        "status": word(SURFACE, record),
        "exit_code": exit_code_of(record),
        "error_message": record.error,
        "created_at": time_text(record.created_at),
        "started_at": time_text(record.started_at),
        "completed_at": time_text(record.finished_at),
        "environment": params.get("environment") or {},
        "user": record.tenant,
        "tags": labels.get("tags", list(record.submission.tags)),
        "duration_seconds": None if ran_ms is None else ran_ms / 1000,
        "metadata": {**labels.get("metadata", {}), **steps.metadata},
        **progress_of(record, steps.items),
    }


def own_labels(record: JobRecord) -> Mapping[str, Any]:
    """What a client of this surface gave; empty for jobs that came otherwise."""
    labels = labels_of(record)
    return labels if labels.get(OF_SURFACE) == SURFACE else {}


def execution_name(record: JobRecord) -> str:
    return str(own_labels(record).get("name") or command_text(record) or record.blueprint)


def command_text(record: JobRecord) -> str:
    """As it was given; of a script its runtime and arguments; of other blueprints empty."""
    if not is_command(record):
        return ""
    given = own_labels(record).get("command")
    if given:
        return str(given)
    params = record.submission.initial_data
    argv = params.get("argv")
    if isinstance(argv, list | tuple):
        return shlex.join(map(str, argv))
    arguments = params.get("args")
    words = arguments if isinstance(arguments, list | tuple) else ()
    return " ".join([str(params.get("runtime", "")), *(shlex.quote(str(text)) for text in words)])
