"""What each surface calls a job's status. One table: a status that is added here is added everywhere.

Each word of the core has, per surface, the word for a job that nobody has begun, and for one that somebody has.
"""

from collections.abc import Mapping
from typing import Final

from muster.core.record import JobRecord
from muster.core.status import JobStatus

FINAL_WORDS: Final[Mapping[str, Mapping[JobStatus, str]]] = {
    "cli": {
        JobStatus.FINISHED: "succeeded",
        JobStatus.FAILED: "failed",
        JobStatus.QUARANTINED: "failed",
        JobStatus.CANCELLED: "canceled",
    },
    "executions": {
        JobStatus.FINISHED: "completed",
        JobStatus.FAILED: "failed",
        JobStatus.QUARANTINED: "failed",
        JobStatus.CANCELLED: "failed",
    },
    "connections": {
        JobStatus.FINISHED: "finished",
        JobStatus.FAILED: "finished",
        JobStatus.QUARANTINED: "finished",
        JobStatus.CANCELLED: "cancelled",
    },
    "monitor": {
        JobStatus.FINISHED: "completed",
        JobStatus.FAILED: "failed",
        JobStatus.QUARANTINED: "failed",
        JobStatus.CANCELLED: "cancelled",
    },
}
QUEUED: Final[Mapping[str, str]] = {
    "cli": "queued",
    "executions": "queued",
    "connections": "queued",
    "monitor": "pending",
}
RUNNING: Final = "running"


def word(surface: str, record: JobRecord) -> str:
    """The job's status as *surface* spells it."""
    if record.status.is_final:
        return FINAL_WORDS[surface][record.status]
    return RUNNING if has_begun(record) else QUEUED[surface]


def has_begun(record: JobRecord) -> bool:
    return record.has_begun
