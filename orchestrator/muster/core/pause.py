"""A job that somebody holds: no turn of it is decided and no task of it is handed out until it is resumed.

What comes in meanwhile (ends of tasks that were running, answers, signals, timers) stays in its mailbox and counts when
it is resumed, in the order in which it came.
"""

from dataclasses import replace

from muster.core.record import JobRecord, Pause
from muster.core.status import JobStatus
from muster.core.transitions import LIVE


def held(record: JobRecord, by: Pause) -> JobRecord:
    """The live job *record*, paused. *by* says where it stood."""
    assert record.status in LIVE, f"a {record.status} job cannot be paused"
    assert by.status is record.status, f"a {record.status} job does not come back as {by.status}"
    return replace(record, status=JobStatus.PAUSED, pause=by)


def let_go(record: JobRecord) -> JobRecord:
    """The paused job as it goes on."""
    assert record.pause is not None, f"a {record.status} job is not paused"
    return replace(record, status=record.pause.status, pause=None)
