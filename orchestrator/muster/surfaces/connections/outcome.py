"""What came of a run: its figures, its report, and whether its end says anything about what was run."""

from collections.abc import Mapping
from typing import Any, Final

from muster_worker.command.contract import COMMAND, COMMAND_FAILED

from muster.api.wire import time_text
from muster.core.connection import name_of_run
from muster.core.ids import JobId
from muster.core.record import JobRecord
from muster.core.retry import POISON_TASK
from muster.core.status import JobStatus
from muster.surfaces.command_job import meta_of, run_ms

CANCELLED: Final = "cancelled"
_LOST: Final = frozenset({"WORKER_LOST", POISON_TASK})
_RANDOM_BITS: Final = 11


def result_of(record: JobRecord, report: str | None = None) -> dict[str, Any]:
    """An ended run, as `/run` answers."""
    figures = figures_of(record)
    counts = figures.get("progress_counts")
    return {
        "success": record.status is JobStatus.FINISHED,
        "duration_ms": duration_ms(record),
        "rows_inserted": _count(figures, "rows_inserted") or 0,
        "error": error_of(record),
        "report": report,
        "attempts": attempts_of(record),
        "records_reported": _count(figures, "records_reported"),
        "progress_counts": counts if isinstance(counts, Mapping) else None,
        "run_id": record.id,
    }


def figures_of(record: JobRecord) -> Mapping[str, Any]:
    """What `META:` lines said; of another blueprint its result, or `meta` in it."""
    if record.blueprint == COMMAND:
        return meta_of(record)
    result = record.result if isinstance(record.result, Mapping) else {}
    meta = result.get("meta")
    return meta if isinstance(meta, Mapping) else result


def attempts_of(record: JobRecord) -> int | None:
    """As the run itself said, else how often it was begun. None: never."""
    said = _count(figures_of(record), "attempts")
    if said is not None or record.started_at is None:
        return said
    if record.blueprint != COMMAND:
        return 1
    # A job that nobody ever took begins when it ends.
    return record.next_task if record.started_at != record.finished_at else None


def error_of(record: JobRecord) -> str | None:
    if record.status is JobStatus.CANCELLED:
        return CANCELLED
    return record.error if record.status is not JobStatus.FINISHED else None


def duration_ms(record: JobRecord) -> int:
    """0 for a run that ended before anybody began it."""
    return run_ms(record) or 0


def why_unexpected(record: JobRecord) -> str | None:
    """Why the run's end is no answer; None where it is one, good or bad."""
    if not record.status.is_final:
        return "it has not ended in time, and goes on"
    if record.status is JobStatus.QUARANTINED:
        return record.error or "it was put aside"
    code = (record.details or {}).get("code")
    is_commands_own = record.blueprint != COMMAND or code in {None, COMMAND_FAILED}
    if record.status is JobStatus.FAILED and (code in _LOST or not is_commands_own):
        return record.error or str(code)
    return None


def number_of_run(job: JobId) -> int:
    """An integer of 53 bits that stays: milliseconds of the run's creation, then eleven bits of its id."""
    number = int(job.replace("-", ""), 16)
    return (number >> 80) << _RANDOM_BITS | number & ((1 << _RANDOM_BITS) - 1)


def report_of(record: JobRecord, output: str) -> str:
    """For people: how the run went, its figures, and what it printed."""
    lines = [
        f"Connection: {name_of_run(record.submission.tags) or '-'}",
        f"Run:        {record.id}",
        f"Status:     {record.status}",
        f"Started:    {time_text(record.started_at) or '-'}",
        f"Finished:   {time_text(record.finished_at) or '-'}",
        f"Duration:   {duration_ms(record)} ms",
        f"Error:      {error_of(record) or '-'}",
    ]
    figures = [f"{name}: {value}" for name, value in figures_of(record).items()]
    return "\n".join([*lines, *(["", "Figures", *figures] if figures else []), "", "Output", output])


def _count(figures: Mapping[str, Any], name: str) -> int | None:
    value = figures.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
