"""The tables of legal moves. docs/lifecycle.md is drawn from them; the tests walk every arrow and no other."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from muster.core.status import FINAL
from muster.core.status import JobStatus as J
from muster.core.status import TaskStatus as T


class JobEvent(StrEnum):
    """Why a turn is due, or what else moves a job."""

    BEGUN = "begun"  # submitted, or a saved `go` continues
    TASK_ENDED = "task ended"
    TASKS_ENDED = "tasks ended"
    DECIDED = "decided"
    TIME_CAME = "time came"
    CHILD_ENDED = "child ended"
    SIGNALLED = "signalled"
    CANCEL_ASKED = "cancel asked"  # by somebody, or by the deadline
    TURN_FAILED = "turn failed for good"
    # These make no turn due: somebody holds the job, and lets go of it.
    PAUSED = "paused"
    RESUMED = "resumed"
    RETRIED = "retried"


RESTS: Final = frozenset(
    {
        J.RUNNING,
        J.WAITING_FOR_WORKER,
        J.WAITING_FOR_PARALLEL_TASKS,
        J.WAITING_FOR_HUMAN,
        J.WAITING,
        J.FINISHED,
        J.FAILED,
        J.QUARANTINED,
    }
)
"""Where a state function's decision may leave the job."""

LIVE: Final = frozenset(J) - FINAL - {J.PAUSED}
"""Where a job stands that goes on by itself, or waits."""

RETRIABLE: Final = FINAL - {J.FINISHED}
"""Ends from which a job may be started again in one of its states: a result that was told stays as it is."""

_ENDS: Final = frozenset({J.QUARANTINED})

JOB_MOVES: Final[Mapping[tuple[J, JobEvent], frozenset[J]]] = {
    (J.PENDING, JobEvent.BEGUN): RESTS,
    (J.PENDING, JobEvent.CANCEL_ASKED): frozenset({J.CANCELLED, J.FAILED}),
    (J.PENDING, JobEvent.TURN_FAILED): _ENDS,
    (J.RUNNING, JobEvent.BEGUN): RESTS,
    (J.RUNNING, JobEvent.CANCEL_ASKED): frozenset({J.CANCELLED, J.FAILED, J.WAITING_FOR_WORKER}),
    (J.RUNNING, JobEvent.TURN_FAILED): _ENDS,
    (J.WAITING_FOR_WORKER, JobEvent.TASK_ENDED): RESTS | {J.CANCELLED},
    (J.WAITING_FOR_WORKER, JobEvent.CANCEL_ASKED): RESTS | {J.CANCELLED},
    (J.WAITING_FOR_WORKER, JobEvent.TURN_FAILED): _ENDS,
    (J.WAITING_FOR_PARALLEL_TASKS, JobEvent.TASKS_ENDED): RESTS | {J.CANCELLED},
    (J.WAITING_FOR_PARALLEL_TASKS, JobEvent.TIME_CAME): RESTS,
    (J.WAITING_FOR_PARALLEL_TASKS, JobEvent.SIGNALLED): RESTS,
    (J.WAITING_FOR_PARALLEL_TASKS, JobEvent.CHILD_ENDED): RESTS | {J.CANCELLED},
    (J.WAITING_FOR_PARALLEL_TASKS, JobEvent.CANCEL_ASKED): RESTS | {J.CANCELLED},
    (J.WAITING_FOR_PARALLEL_TASKS, JobEvent.TURN_FAILED): _ENDS,
    (J.WAITING_FOR_HUMAN, JobEvent.DECIDED): RESTS,
    (J.WAITING_FOR_HUMAN, JobEvent.TIME_CAME): RESTS,
    # A race of a question and something else.
    (J.WAITING_FOR_HUMAN, JobEvent.TASKS_ENDED): RESTS | {J.CANCELLED},
    (J.WAITING_FOR_HUMAN, JobEvent.CHILD_ENDED): RESTS | {J.CANCELLED},
    (J.WAITING_FOR_HUMAN, JobEvent.SIGNALLED): RESTS,
    (J.WAITING_FOR_HUMAN, JobEvent.CANCEL_ASKED): RESTS | {J.CANCELLED},
    (J.WAITING_FOR_HUMAN, JobEvent.TURN_FAILED): _ENDS,
    (J.WAITING, JobEvent.TIME_CAME): RESTS,
    (J.WAITING, JobEvent.SIGNALLED): RESTS,
    (J.WAITING, JobEvent.CHILD_ENDED): RESTS | {J.CANCELLED},
    (J.WAITING, JobEvent.CANCEL_ASKED): RESTS | {J.CANCELLED},
    (J.WAITING, JobEvent.TURN_FAILED): _ENDS,
    **{(status, JobEvent.PAUSED): frozenset({J.PAUSED}) for status in J if status in LIVE},
    (J.PAUSED, JobEvent.RESUMED): LIVE,
    **{(status, JobEvent.RETRIED): frozenset({J.RUNNING}) for status in J if status in RETRIABLE},
}


class TaskEvent(StrEnum):
    CLAIMED = "claimed"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REPORTED_CANCELLED = "reported cancelled"
    TIMED_OUT = "timed out"
    LEASE_ENDED = "lease ended"
    RELEASED = "released"
    PUT_BACK = "put back"  # by its worker, who says that this is no failure
    WAITED_TOO_LONG = "waited too long"  # schedule to start, or schedule to close
    DELAY_PASSED = "delay passed"
    PARKED = "found with its job paused"
    UNPARKED = "job resumed"
    ABANDONED = "abandoned"  # its job ended, moved on or is being cancelled


TASK_MOVES: Final[Mapping[tuple[T, TaskEvent], frozenset[T]]] = {
    (T.READY, TaskEvent.CLAIMED): frozenset({T.LEASED}),
    (T.READY, TaskEvent.PARKED): frozenset({T.PARKED}),
    (T.READY, TaskEvent.ABANDONED): frozenset({T.CANCELLED}),
    (T.PARKED, TaskEvent.UNPARKED): frozenset({T.READY}),
    (T.PARKED, TaskEvent.ABANDONED): frozenset({T.CANCELLED}),
    (T.GATED, TaskEvent.DELAY_PASSED): frozenset({T.READY}),
    (T.GATED, TaskEvent.ABANDONED): frozenset({T.CANCELLED}),
    (T.LEASED, TaskEvent.SUCCEEDED): frozenset({T.SUCCESS}),
    (T.LEASED, TaskEvent.FAILED): frozenset({T.GATED, T.READY, T.FAILURE}),
    (T.LEASED, TaskEvent.REPORTED_CANCELLED): frozenset({T.CANCELLED}),
    (T.LEASED, TaskEvent.TIMED_OUT): frozenset({T.GATED, T.READY, T.TIMED_OUT}),
    (T.READY, TaskEvent.WAITED_TOO_LONG): frozenset({T.LEASED}),  # to the engine itself, which decides
    (T.GATED, TaskEvent.WAITED_TOO_LONG): frozenset({T.LEASED}),
    (T.PARKED, TaskEvent.WAITED_TOO_LONG): frozenset({T.LEASED}),
    (T.LEASED, TaskEvent.LEASE_ENDED): frozenset({T.GATED, T.READY, T.LOST}),
    (T.LEASED, TaskEvent.PUT_BACK): frozenset({T.GATED, T.READY, T.FAILURE}),
    (T.LEASED, TaskEvent.RELEASED): frozenset({T.READY}),
    (T.LEASED, TaskEvent.ABANDONED): frozenset({T.CANCELLED}),
}

FINAL_JOBS: Final = FINAL
