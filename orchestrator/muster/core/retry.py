"""What an attempt's end means for its task: again, or an end that the job must answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Final

import orjson
from muster_worker.retry_policy import AT_ONCE, NEVER, RetryPolicy

from muster.core.limits import LOSS_SPREAD_MS, REQUEUE_AFTER_MS, TASK_LOSSES_MAX, TASK_REQUEUES_MAX
from muster.core.status import JobStatus
from muster.core.timeouts import CODE_OF, Timeout

POISON_TASK: Final = "POISON_TASK"
TOO_MANY_REQUEUES: Final = "TOO_MANY_REQUEUES"
USUAL: Final = RetryPolicy()
POWER_MAX: Final = 64
"""Further pauses are as long as this one: a float has an end."""


class Verdict(StrEnum):
    """What an error code asks for where the blueprint declares no way for a failure."""

    RETRY = "retry"
    QUARANTINE = "quarantine"
    FAIL = "fail"


QUARANTINE_CODES: Final = frozenset(
    {
        "PERMANENT_ERROR",
        "SECURITY_ERROR",
        "DEPENDENCY_ERROR",
        "CONTRACT_VIOLATION_ERROR",
        "WORKER_LOST",
        POISON_TASK,
        TOO_MANY_REQUEUES,
        CODE_OF[Timeout.SCHEDULE_TO_START],
        CODE_OF[Timeout.SCHEDULE_TO_CLOSE],
    }
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
    policy: RetryPolicy = USUAL
    """When and for which errors; its number of retries is not looked at."""

    @lru_cache(maxsize=1_024)  # noqa: B019 - it is frozen, and most tasks have the same
    def dump(self, task_type: str) -> bytes:
        policy = self.policy.to_json()
        policy.pop("retries", None)
        return orjson.dumps({"r": self.retries, "t": task_type, **({"p": policy} if policy else {})})

    @classmethod
    def load(cls, stored: bytes) -> "TaskRules":
        """What an older server stored has no policy."""
        raw = orjson.loads(stored)
        return cls(raw["r"], RetryPolicy.from_json(raw["p"]) if "p" in raw else USUAL)


@dataclass(frozen=True, slots=True)
class Trials:
    """How a task fared so far."""

    failures: int = 0
    """Attempts that failed before this one, whatever their code."""
    by_code: Mapping[str, int] = field(default_factory=dict[str, int])
    """Those of codes that have a policy of their own."""
    failing_ms: int = 0
    """Since its first failure; 0 where this is the first."""
    left_ms: int | None = None
    """Until its schedule_to_close has passed; None: it has none."""

    def dump(self, more: str) -> str:
        """The counts by code, with one *more* of that code; empty where nothing was counted."""
        counts = {**self.by_code, more: self.by_code.get(more, 0) + 1} if more else self.by_code
        return orjson.dumps(dict(counts)).decode() if counts else ""

    @staticmethod
    def counts(stored: str) -> Mapping[str, int]:
        found: dict[str, int] = orjson.loads(stored) if stored else {}
        return found


class Back(StrEnum):
    """Why a task goes back to its queue, and what it counts as."""

    FAILED = "failed"
    LOST = "lost"
    """Against the worker losses, not the retries."""
    ASKED = "asked"
    """The worker put it back: neither a failure nor a loss."""


@dataclass(frozen=True, slots=True)
class Again:
    """Hand the task out again after *delay_ms*. *counted* is the code that the failure counts for, where it has one."""

    delay_ms: int
    back: Back = Back.FAILED
    counted: str = ""


@dataclass(frozen=True, slots=True)
class Deliver:
    """No further attempt: the job must answer. *note* says what kept a retry from being made, where something did."""

    note: str = field(default="", compare=False)


def after_failure(
    code: str, trials: Trials, rules: TaskRules, jitter: float, retry_after_ms: int | None, kind: str = ""
) -> Again | Deliver:
    """A worker reported one more failure of this task.

    Args:
        code: the worker's error code; see `verdict`.
        trials: how it fared before.
        rules: the task's own.
        jitter: from [0, 1), scales the exponential back-off ("full jitter", AWS Architecture Blog 2015).
        retry_after_ms: the worker's own wish; wins over the back-off, and over no limit.
        kind: the name of the exception, where the worker told it.
    """
    name, rule = rules.policy.rule_for(code, kind)
    if rule == NEVER or (rule is None and verdict(code) is not Verdict.RETRY):
        return Deliver()
    own = rule if isinstance(rule, RetryPolicy) else None
    made = trials.by_code.get(name, 0) if own else trials.failures - sum(trials.by_code.values())
    allowed = rules.retries if own is None or own.retries is None else own.retries
    if made >= allowed:
        return Deliver()
    delay_ms = 0 if rule == AT_ONCE else _pause_ms(own or rules.policy, made, jitter)
    if retry_after_ms is not None:
        delay_ms = retry_after_ms
    budgets = [policy.budget_ms for policy in (own, rules.policy) if policy is not None and policy.budget_ms]
    if budgets and trials.failing_ms + delay_ms > min(budgets):
        return Deliver(f"not tried again: its retry budget of {min(budgets) / 1000:g} s would be over")
    if trials.left_ms is not None and delay_ms >= trials.left_ms:
        return Deliver("not tried again: its schedule_to_close would be over")
    return Again(delay_ms, counted=name if own else "")


def _pause_ms(policy: RetryPolicy, made: int, jitter: float) -> int:
    ceiling = min(float(policy.cap_ms), policy.first_ms * policy.factor ** min(made, POWER_MAX))
    return int(ceiling * jitter) if policy.jitter == "full" else int(ceiling)


def after_loss(losses: int, jitter: float) -> Again | Deliver:
    """A worker fell silent. Its task goes back at once, unless it has cost too many workers already.

    From the second loss on it comes back at a moment of its own: tasks that shared a worker with one that kills it
    would otherwise be fetched together with it again, and be taken for poison as well.
    """
    if losses + 1 >= TASK_LOSSES_MAX:
        return Deliver()
    return Again(0 if losses == 0 else int(LOSS_SPREAD_MS * jitter), Back.LOST)


def after_requeue(requeues: int, after_ms: int | None) -> Again | Deliver:
    """A worker put the task back *requeues* times before, and does so once more."""
    if requeues >= TASK_REQUEUES_MAX:
        return Deliver(f"workers put the task back {requeues} times, which is all that is allowed")
    return Again(REQUEUE_AFTER_MS if after_ms is None else after_ms, Back.ASKED)
