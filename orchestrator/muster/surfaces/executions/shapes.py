"""An execution as RGrid's clients know it, made of a job's record and what else was looked up."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from muster_worker.command.contract import COMMAND

from muster.api.wire import time_text
from muster.core.record import JobRecord
from muster.core.status import JobStatus
from muster.surfaces.command_job import exit_code_of, labels_of, meta_of, run_ms, text_of, texts_of
from muster.surfaces.executions.finding import members_of
from muster.surfaces.output import CollectedOutput
from muster.surfaces.words import QUEUED, word

SURFACE: Final = "executions"
BATCH: Final = "batch_id"
USER_METADATA: Final = "user_metadata"
INPUT_FILES: Final = "input_files"
CANCELLED: Final = "cancelled"
MS: Final = 1000
AT_THE_START: Final[Mapping[str, Any]] = {
    "status": QUEUED[SURFACE],
    "exit_code": None,
    "execution_error": None,
    "started_at": None,
    "completed_at": None,
    "cost_micros": 0,
    "finalized_cost_micros": None,
    "cost_finalized_at": None,
    "duration_seconds": None,
    "worker_hostname": None,
    "execution_metadata": {},
    "retry_count": 0,
}
"""What an execution is when it is made, even where a worker has begun with it before the answer is written."""


@dataclass(frozen=True, slots=True)
class Around:
    """What is known of an execution beside its record; None where it was not looked up."""

    output: CollectedOutput | None = None
    worker: str | None = None
    upload_urls: Mapping[str, str] | None = None
    download_urls: Mapping[str, str] | None = None


def execution_object(record: JobRecord, around: Around) -> dict[str, Any]:
    given, output = record.submission.initial_data, around.output
    cost_micros = record.cost_micros
    final = record.status.is_final
    return {
        "execution_id": record.id,
        "script_content": given.get("script_content"),
        "runtime": given.get("runtime"),
        "args": given.get("args", []),
        "env_vars": given.get("environment", {}),
        "timeout_seconds": _whole(given.get("timeout_seconds")),
        "input_files": input_names(record),
        "upload_urls": around.upload_urls,
        "download_urls": around.download_urls,
        "status": word(SURFACE, record),
        "exit_code": exit_code_of(record),
        "stdout": None if output is None else output.stdout,
        "stderr": None if output is None else output.stderr,
        "output_truncated": output is not None and output.is_truncated,
        "execution_error": error_of(record),
        "created_at": time_text(record.created_at),
        "started_at": time_text(record.started_at),
        "completed_at": time_text(record.finished_at),
        "cost_micros": cost_micros,
        "finalized_cost_micros": cost_micros if final else None,
        "cost_finalized_at": time_text(record.finished_at) if final else None,
        "duration_seconds": _duration_s(record),
        "worker_hostname": around.worker or record.current_worker,
        "execution_metadata": meta_of(record),
        "retry_count": record.retries,
        "max_retries": _tries(record) - 1,
        "user_metadata": user_metadata_of(record),
        "batch_id": text_of(labels_of(record), BATCH),
    }


def member_object(record: JobRecord) -> dict[str, Any]:
    """As the list of a batch shows it."""
    return {
        "execution_id": record.id,
        "status": word(SURFACE, record),
        "batch_metadata": {"input_file": _input_file(record)},
        "created_at": time_text(record.created_at),
        "completed_at": time_text(record.finished_at),
    }


def error_of(record: JobRecord) -> str | None:
    """There are four words for a status; a cancelled execution is a failed one, and says so here."""
    return CANCELLED if record.status is JobStatus.CANCELLED else record.error


def input_names(record: JobRecord) -> list[str]:
    """As the client gave them, else as they lie in the task's directory."""
    given = texts_of(labels_of(record), INPUT_FILES)
    return [str(member["name"]) for member in members_of(record)] if given is None else given


def user_metadata_of(record: JobRecord) -> Mapping[str, str] | None:
    """Texts by name, as the client gave them; None where nothing was given, or something else."""
    given = labels_of(record).get(USER_METADATA)
    is_known = isinstance(given, Mapping) and all(isinstance(value, str) for value in given.values())
    return given if is_known else None


def _input_file(record: JobRecord) -> str | None:
    """What the execution is about: its first input, else the first argument that looks like a file's name."""
    args = record.submission.initial_data.get("args")
    dotted = [str(arg) for arg in args if "." in str(arg)] if isinstance(args, list) else []
    return next(iter([*input_names(record), *dotted]), None)


def _tries(record: JobRecord) -> int:
    """How often the command may be run by itself; an execution's script is run once."""
    tries = record.submission.initial_data.get("attempts")
    return tries if isinstance(tries, int) and record.blueprint == COMMAND else 1


def _whole(seconds: Any) -> Any:
    """Other surfaces' jobs have limits with fractions; here they are integers, and never shorter."""
    return math.ceil(seconds) if isinstance(seconds, float) else seconds


def _duration_s(record: JobRecord) -> int | None:
    lasted_ms = run_ms(record)
    return None if lasted_ms is None else (lasted_ms + MS // 2) // MS
