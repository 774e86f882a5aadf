"""History: what happened to a job, as compact JSON objects. One event per thing that happened."""

from typing import Any, Final

STATE_ENTERED: Final = "state_entered"
JOB_CREATED: Final = "job_created"
TASK_DISPATCHED: Final = "task_dispatched"
TASK_STARTED: Final = "task_started"
TASK_FINISHED: Final = "task_finished"
TASK_RETRIED: Final = "task_retried"
TASK_REQUEUED: Final = "task_requeued"
TASK_DROPPED: Final = "task_dropped"
"""Nobody waits for it any more: it was taken from its worker, which is told to stop."""
RACE_STARTED: Final = "race_started"
UNDO_STARTED: Final = "undo_started"
"""The job has failed or was cancelled, and this task undoes one thing it did."""
APPROVAL_REQUESTED: Final = "approval_requested"
APPROVAL_RECEIVED: Final = "approval_received"
APPROVAL_DELEGATED: Final = "approval_delegated"
APPROVAL_ESCALATED: Final = "approval_escalated"
CHILD_STARTED: Final = "child_started"
SIGNAL_AWAITED: Final = "signal_awaited"
SIGNAL_RECEIVED: Final = "signal_received"
DEADLINE_PASSED: Final = "deadline_passed"
CANCEL_REQUESTED: Final = "cancel_requested"
JOB_PAUSED: Final = "job_paused"
JOB_RESUMED: Final = "job_resumed"
JOB_RETRIED: Final = "job_retried"
MIGRATED: Final = "migrated"

Event = dict[str, Any]
"""e type, s state, p previous state, x next state, n task number, w worker, a attempt, d details."""


def event(
    kind: str,
    *,
    state: str | None = None,
    previous: str | None = None,
    next_state: str | None = None,
    task: int | None = None,
    worker: str | None = None,
    attempt: int | None = None,
    details: dict[str, Any] | None = None,
) -> Event:
    fields = {
        "e": kind, "s": state, "p": previous, "x": next_state, "n": task, "w": worker, "a": attempt, "d": details,
    }  # fmt: skip
    return {key: value for key, value in fields.items() if value is not None}
