"""What `why` takes and says: the facts of one moment, and reasons with stable codes (docs/guides/why.md lists them)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Union

from muster.core.flow import Limit
from muster.core.ids import UnixMs
from muster.core.json import JsonObject, JsonValue
from muster.core.matching import Requirement
from muster.core.record import JobRecord
from muster.engine.views import WorkerView
from muster.store.standing import Standing


class Code(StrEnum):
    """Stable words: programs may compare them."""

    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    QUARANTINED = "quarantined"
    PAUSED = "paused"
    CANCEL_ASKED = "cancel_asked"
    VERSION_MISSING = "version_missing"
    TURN_FAILED = "turn_failed"
    DEBOUNCED = "debounced"
    TURN_DUE = "turn_due"
    TURN_RUNNING = "turn_running"
    PERSON = "person"
    TIMER = "timer"
    SIGNAL = "signal"
    UPLOADS = "uploads"
    CHILD = "child"
    UNDOING = "undoing"
    NO_WORKER = "no_worker"
    NEEDS_UNMET = "needs_unmet"
    PREFERRED_WORKER = "preferred_worker"
    WORKERS_SLOWED = "workers_slowed"
    WORKERS_DRAINING = "workers_draining"
    LIMIT_FULL = "limit_full"
    LIMIT_PAUSED = "limit_paused"
    LIMIT_RATE = "limit_rate"
    FAN_FULL = "fan_full"
    WORKERS_BUSY = "workers_busy"
    WORKER_FREE = "worker_free"
    TASK_BACKOFF = "task_backoff"
    TASK_REQUEUED = "task_requeued"
    TASK_RUNNING = "task_running"
    DEADLINE = "deadline"
    MOVING = "moving"


@dataclass(frozen=True, slots=True)
class Reason:
    """`since` and `until` where they are known; `reasons` are those of the job that this one waits for."""

    code: Code
    text: str
    since: UnixMs | None = None
    until: UnixMs | None = None
    details: JsonObject = field(default_factory=dict[str, JsonValue])
    reasons: tuple["Reason", ...] = ()


@dataclass(frozen=True, slots=True)
class ChildFacts:
    """A job that another one waits for. `facts` is None where it was not looked at, or where it is not there."""

    id: str
    facts: Union["Facts", None] = None
    unsent: int | None = None
    """Its start has not been delivered to its partition, after so many tries; None: it has."""
    gone: bool = False
    """It is not there any more, and its end has not come."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is so at one moment."""

    standing: Standing
    workers: tuple[WorkerView, ...] = ()
    limits: Mapping[str, Limit] = field(default_factory=dict[str, Limit])
    """By gate: those of gates that are shut."""
    held: Mapping[str, int] = field(default_factory=dict[str, int])
    """Leased tasks by worker."""
    held_of: Mapping[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    """Leased tasks by worker and type."""
    queued: Mapping[str, int] = field(default_factory=dict[str, int])
    """Ready tasks by type, of all jobs."""
    requirements: Mapping[str, Requirement] = field(default_factory=dict[str, Requirement])
    """Of classes that ask more than a type, as far as this server knows them."""
    durations_ms: Mapping[str, int] = field(default_factory=dict[str, int])
    """How long a task of a type takes, where that was measured."""
    errors: Mapping[int, str] = field(default_factory=dict[int, str])
    """The last error of tasks, by number, where history tells."""
    cancel_asked_at: UnixMs | None = None
    has_blueprint: bool = True
    """Whether this server has the job's blueprint in its version."""
    versions: tuple[str, ...] = ()
    """Of the job's blueprint, here."""
    missing_uploads: tuple[str, ...] = ()
    kept_signals: tuple[str, ...] = ()
    """Names; `?` where it is not known any more."""
    children: tuple[ChildFacts, ...] = ()

    def free_at(self, worker: WorkerView, kind: str) -> int:
        """How many more tasks of type *kind* a worker would take."""
        free = worker.max_concurrent_tasks - self.held.get(worker.worker_id, 0)
        return max(0, min(free, worker.slots_for(kind) - self.held_of.get((worker.worker_id, kind), 0)))


@dataclass(frozen=True, slots=True)
class Explanation:
    """The job as it was at the moment `at`, by the store's clock, and why it was not running."""

    record: JobRecord
    at: UnixMs
    reasons: tuple[Reason, ...]


def span(ms: int) -> str:
    """A duration in its two largest units.

    >>> [span(ms) for ms in (250, 12_000, 252_000, 7_500_000, 200_000_000)]
    ['250ms', '12s', '4m12s', '2h05m', '2d7h']
    """
    seconds = max(ms, 0) // 1000
    if seconds < 1:
        return f"{max(ms, 0)}ms"
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3_600:
        return f"{seconds // 60}m{seconds % 60:02}s"
    if seconds < 86_400:
        return f"{seconds // 3_600}h{seconds % 3_600 // 60:02}m"
    return f"{seconds // 86_400}d{seconds % 86_400 // 3_600}h"
