"""A job that is over, started again in one of its states."""

from dataclasses import replace

from muster.core.ids import UnixMs
from muster.core.record import Context, JobRecord
from muster.core.status import JobStatus
from muster.core.transitions import RETRIABLE


def started_again(record: JobRecord, version: str, state: str, context: Context, now: UnixMs) -> JobRecord:
    """The job as it runs again in *state* of blueprint version *version*: what was its end is gone.

    Version, wave and the numbers of its tasks go on, so that whatever comes late from before finds nobody. The job that
    started it was told of its end, and is told of no other.
    """
    assert record.status in RETRIABLE, f"a {record.status} job is not started again"
    assert context.wait is None, "it enters its state at once"
    return replace(
        record,
        status=JobStatus.RUNNING,
        state=state,
        blueprint_version=version,
        context=context,
        version=record.version + 1,
        revision=record.revision + 1,
        wave=record.wave + 1,
        updated_at=now,
        finished_at=None,
        result=None,
        error=None,
        details=None,
        deadline_at=None,
        parent=None if record.parent is None else replace(record.parent, wave=0, spread=False),
        deadline_passed=False,
        fingerprint="",
        cancel_requested=False,
        turn_failures=0,
        progress=None,
        progress_message=None,
    )
