"""What a state function may decide. Targets are state names, payloads are plain JSON: the DSL has checked both."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from muster_worker.needs import Rule
from muster_worker.retry_policy import RetryPolicy

from muster.core.ids import JobId
from muster.core.join import ALL, JoinPolicy
from muster.core.json import JsonObject, JsonValue
from muster.core.matching import Choice
from muster.core.values import quick

if TYPE_CHECKING:
    from muster.core.approvals import Question

SUCCESS: Final = "success"
FAILURE: Final = "failure"
CANCELLED: Final = "cancelled"
REQUEUE: Final = "requeue"
"""A worker's word for: put it back, this was no failure. Never an outcome."""
LATE: Final = "late"
"""The outcome of an `ask` or a `wait_for` whose deadline passed."""
SPLIT: Final = "split"
"""How a question ended whose approvers cannot agree any more; it leads where `late` does."""

Edges: TypeAlias = Mapping[str, str]
"""Outcome to target state. `success`, `failure`, `cancelled` and `late` have meanings; other words are the user's."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Who may do a task, who of those is chosen, and whom it waits for so many ms before that."""

    rules: tuple[Rule, ...] = ()
    choice: Choice | None = None
    prefer: tuple[Rule, ...] = ()
    prefer_ms: int = 0


@quick
@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One unit of work to hand out. None means: the server's default."""

    type: str
    params: JsonValue
    timeout_ms: int | None = None
    retries: int | None = None
    priority: int = 0
    retry: RetryPolicy | None = None
    schedule_to_start_ms: int | None = None
    schedule_to_close_ms: int | None = None
    heartbeat_ms: int | None = None
    placement: Placement | None = None
    """None: whoever offers the type."""
    key: str = ""
    """Concurrency key."""
    at_once: int | None = None
    """Of the fan it belongs to so many run at a time."""


@quick
@dataclass(frozen=True, slots=True)
class Run:
    """One task. `undo` is the task that undoes its success where the job fails later; its input is the result."""

    task: TaskSpec
    edges: Edges
    undo: TaskSpec | None = None


@dataclass(frozen=True, slots=True)
class Fan:
    """Several tasks at once; the next state gets what *join* makes of their results, in this order."""

    tasks: tuple[TaskSpec, ...]
    edges: Edges
    join: JoinPolicy = ALL
    undo: TaskSpec | None = None
    """Of each success. Such a fan waits for all its tasks, however it is joined: none succeeds unseen."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Wait for a person. Every edge but `late` is a decision that may be given."""

    message: str
    edges: Edges
    within_ms: int | None = None
    question: "Question | None" = None
    """Who may answer, how many must agree, with which form, and when others are asked. None: anybody, once."""


@dataclass(frozen=True, slots=True)
class WaitFor:
    """Wait for a signal of that name. The edges are `success` and `late`."""

    name: str
    edges: Edges
    within_ms: int | None = None
    uploads: tuple[str, ...] = ()
    """Planned uploads: when the last of them has been sent, the engine gives the signal itself."""


@dataclass(frozen=True, slots=True)
class Sleep:
    duration_ms: int
    target: str
    argument: JsonValue = None


@dataclass(frozen=True, slots=True)
class Child:
    """Start another job of the same client and wait for its end. The edges are `success`, `failure`, `cancelled`.

    A `spread` one lives in a partition of its own choice, which its id says.
    """

    blueprint: str
    input: JsonObject
    edges: Edges
    id: JobId = field(compare=False)
    """Of the job to be. Drawn when decided; it is taken by the commit, or by nobody."""
    tags: tuple[str, ...] = ()
    undo: TaskSpec | None = None
    spread: bool = False


Branch: TypeAlias = Run | WaitFor | Sleep | Child | Ask


@dataclass(frozen=True, slots=True)
class Race:
    """Several waits; the first to end decides, as it would alone, and the others are given up.

    At most one is a `Sleep`, and at most one an `Ask`. `edges` may have `cancelled`, for the job's own cancellation.
    """

    branches: tuple[Branch, ...]
    edges: Edges


@dataclass(frozen=True, slots=True)
class Go:
    target: str
    argument: JsonValue = None


@dataclass(frozen=True, slots=True)
class Done:
    result: JsonValue = None


@dataclass(frozen=True, slots=True)
class Fail:
    message: str
    code: str = "failed_by_blueprint"


@dataclass(frozen=True, slots=True)
class Quarantine:
    message: str
    details: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])


Decision: TypeAlias = Run | Fan | Race | Ask | WaitFor | Sleep | Child | Go | Done | Fail | Quarantine


def children_of(decision: Decision) -> tuple[Child, ...]:
    """The jobs that it would start."""
    branches: tuple[Decision, ...] = decision.branches if isinstance(decision, Race) else (decision,)
    return tuple(branch for branch in branches if isinstance(branch, Child))
