"""The status words of jobs and tasks. Only the core gives a job or a task its status."""

from enum import StrEnum
from typing import Final


class JobStatus(StrEnum):
    """What a client is told about a job (surfaces translate these words, they add none)."""

    PENDING = "pending"  # stored, not yet looked at
    RUNNING = "running"  # between two states
    WAITING_FOR_WORKER = "waiting_for_worker"
    WAITING_FOR_PARALLEL_TASKS = "waiting_for_parallel_tasks"
    WAITING_FOR_HUMAN = "waiting_for_human"
    WAITING = "waiting"  # a timer, a child or a signal
    PAUSED = "paused"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    QUARANTINED = "quarantined"

    @property
    def is_final(self) -> bool:
        return self in FINAL


FINAL: Final = frozenset({JobStatus.FINISHED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.QUARANTINED})


def are_final(statuses: frozenset[JobStatus] | None) -> bool | None:
    """Whether jobs of *statuses* are over, or live; None: some may be either. *statuses* None: all."""
    if statuses is None or (statuses & FINAL and statuses - FINAL):
        return None
    return bool(statuses & FINAL)


class TaskStatus(StrEnum):
    """Where a task stands. The first four are live; the rest exist only in a job's history."""

    GATED = "gated"  # waits for its start time (a retry's back-off)
    READY = "ready"
    LEASED = "leased"
    PARKED = "parked"  # ready, and its job is paused
    SUCCESS = "success"
    FAILURE = "failure"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    LOST = "lost"
