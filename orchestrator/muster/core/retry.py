"""What an attempt's end means for its task: again, or an end that the job must answer."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from muster.core.limits import TASK_LOSSES_MAX
from muster.core.status import JobStatus

BACKOFF_FIRST_MS: Final = 1_000
BACKOFF_MAX_MS: Final = 60_000


class Verdict(StrEnum):
    """What an error code asks for where the blueprint declares no way for a failure."""

    RETRY = "retry"
    QUARANTINE = "quarantine"
    FAIL = "fail"


QUARANTINE_CODES: Final = frozenset(
    {"PERMANENT_ERROR", "SECURITY_ERROR", "DEPENDENCY_ERROR", "CONTRACT_VIOLATION_ERROR", "WORKER_LOST"}
)
FAIL_CODES: Final = frozenset({"INVALID_INPUT_ERROR", "INTEGRITY_MISMATCH_ERROR", "COMMAND_FAILED"})


def verdict(code: str) -> Verdict:
    """Unknown and missing codes are taken for passing trouble.

    >>> verdict("TIMEOUT_ERROR"), verdict("PERMANENT_ERROR"), verdict("INVALID_INPUT_ERROR")
    (<Verdict.RETRY: 'retry'>, <Verdict.QUARANTINE: 'quarantine'>, <Verdict.FAIL: 'fail'>)
    """
    if code in QUARANTINE_CODES:
        return Verdict.QUARANTINE
    return Verdict.FAIL if code in FAIL_CODES else Verdict.RETRY


def status_without_edge(code: str) -> JobStatus:
    """The job's end where a failed task has no `failure` edge: only bad input is the client's own fault."""
    return JobStatus.FAILED if verdict(code) is Verdict.FAIL else JobStatus.QUARANTINED


@dataclass(frozen=True, slots=True)
class TaskRules:
    """What the engine keeps beside a task for the day it fails."""

    retries: int
    """Further attempts after the first failure."""


@dataclass(frozen=True, slots=True)
class Again:
    """Hand the task out again after *delay_ms*; `lost` counts against the worker losses, not the retries."""

    delay_ms: int
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Deliver:
    """No further attempt: the job must answer."""


def after_failure(
    code: str, failures: int, rules: TaskRules, jitter: float, retry_after_ms: int | None
) -> Again | Deliver:
    """A worker reported failure number *failures* + 1 of this task.

    Args:
        code: the worker's error code; see `verdict`.
        failures: how often this task failed before.
        rules: the task's own.
        jitter: from [0, 1), scales the exponential back-off ("full jitter", AWS Architecture Blog 2015).
        retry_after_ms: the worker's own wish; wins over the back-off.
    """
    if verdict(code) is not Verdict.RETRY or failures >= rules.retries:
        return Deliver()
    if retry_after_ms is not None:
        return Again(retry_after_ms)
    ceiling = min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** min(failures, 16))
    return Again(int(ceiling * jitter))


def after_loss(losses: int) -> Again | Deliver:
    """A worker fell silent. Its task goes back at once, unless it has cost too many workers already."""
    return Deliver() if losses + 1 >= TASK_LOSSES_MAX else Again(0, lost=True)
