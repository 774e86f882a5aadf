"""A job as stored, as one frozen value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from muster.core.approvals import NO_CHANGES, Question, Tally
from muster.core.decisions import TaskSpec
from muster.core.ids import JobId, UnixMs
from muster.core.join import ALL, JoinPolicy
from muster.core.json import JsonObject, JsonValue
from muster.core.status import JobStatus
from muster.core.values import quick

WaitKind: TypeAlias = Literal["task", "tasks", "human", "timer", "child", "signal", "race"]


@quick
@dataclass(frozen=True, slots=True)
class Wait:
    """What a job waits for, and where each outcome leads.

    `first` and `count` are the numbers of its tasks; `target` and `argument` belong to a timer;
    `message`, `deadline_at` and `question` to a question; `child` is the id of the job that was started; `signal`
    names what is waited for until `deadline_at`. Where that is `uploads` the wait is cut into slices: `left_ms` come
    after this one. `join` belongs to several tasks, `undo` to those whose success is undone where the job fails later:
    it is the task that does it, without its input. A race has `parts`, each a wait of its own; the first to end
    decides.
    """

    kind: WaitKind
    edges: Mapping[str, str]
    first: int = 0
    count: int = 0
    message: str = ""
    deadline_at: UnixMs | None = None
    target: str = ""
    argument: JsonValue = None
    child: str = ""
    signal: str = ""
    uploads: tuple[str, ...] = ()
    left_ms: int = 0
    join: JoinPolicy = ALL
    question: Question | None = None
    undo: TaskSpec | None = None
    parts: tuple["Wait", ...] = ()

    @property
    def signals(self) -> tuple[str, ...]:
        """Names of the signals that end it."""
        own = (self.signal,) if self.signal else ()
        return (*own, *(part.signal for part in self.parts if part.signal))

    @property
    def asked(self) -> "Wait | None":
        """The question to people that ends it, where there is one: itself, or a part of a race."""
        if self.kind == "human":
            return self
        return next((part for part in self.parts if part.kind == "human"), None)

    @property
    def children(self) -> tuple[JobId, ...]:
        """The jobs whose ends end it."""
        own = (JobId(self.child),) if self.child else ()
        return (*own, *(JobId(part.child) for part in self.parts if part.child))


@dataclass(frozen=True, slots=True)
class Undo:
    """What undoes one success: a task, whose input is what it returned. `of` is its number, -1 for a child."""

    task: TaskSpec
    of: int


@dataclass(frozen=True, slots=True)
class Undoing:
    """A job that has failed or was cancelled, and undoes what it did before it ends so.

    `current` is being undone; `undone` are the numbers and types of the undos that are done, in that order.
    """

    status: JobStatus
    state: str
    error: str
    details: JsonObject | None
    current: Undo
    undone: tuple[tuple[int, str], ...] = ()


@quick
@dataclass(frozen=True, slots=True)
class Context:
    """What a job carries from turn to turn: written whole at every commit."""

    wait: Wait | None = None
    argument: JsonValue = None
    """Argument of the current state; lets a saved `go` continue and a failed turn run again."""
    data: Any = None
    """The blueprint's own `job.data`."""
    results: JsonObject = field(default_factory=dict[str, JsonValue])
    """`state_history` on the wire: merged data of task results."""
    transitions: int = 0
    last_worker: str = ""
    """Who did the newest task: a task may prefer the same."""
    undo: tuple[Undo, ...] = ()
    """Of what succeeded so far, oldest first; run newest first where the job fails or is cancelled."""
    undoing: Undoing | None = None


@quick
@dataclass(frozen=True, slots=True)
class Submission:
    """What the client sent; never changes."""

    initial_data: JsonObject
    webhook_url: str | None = None
    trace: Mapping[str, str] = field(default_factory=dict[str, str])
    tags: tuple[str, ...] = ()
    retried_from: str = ""
    """The job that this one was made of, to start again in one of its states."""


@dataclass(frozen=True, slots=True)
class Parent:
    """The job that started this one, in which wave; `depth` is how many jobs are above this one.

    A `spread` child is started, ended and cancelled by messages, as its keys lie elsewhere than its parent's.
    """

    id: JobId
    wave: int
    """0: it was started again by a person, after its parent had its end; nobody is told of another one."""
    depth: int
    spread: bool = False


@quick
@dataclass(frozen=True, slots=True)
class Pause:
    """Who holds a job, since when and why. `status` is where it stood and will stand again.

    `above` is the job whose pause was passed down to this one; empty where it was meant itself.
    """

    at: UnixMs
    by: str
    reason: str
    status: JobStatus
    above: str = ""


@dataclass(frozen=True, slots=True)
class JobRecord:
    id: JobId
    tenant: str
    blueprint: str
    blueprint_version: str
    status: JobStatus
    state: str
    version: int
    """Grows by one per commit; the fence of a turn."""
    revision: int
    """Grows with every change a watcher may see."""
    wave: int
    next_task: int
    submission: Submission
    context: Context
    created_at: UnixMs
    updated_at: UnixMs
    started_at: UnixMs | None = None
    finished_at: UnixMs | None = None
    result: JsonValue = None
    error: str | None = None
    details: JsonObject | None = None
    """Of an error: `code`, and `traceback` where a state function raised."""
    retries: int = 0
    cost_micros: int = 0
    """Of all runs of its tasks so far."""
    cancel_requested: bool = False
    deadline_at: UnixMs | None = None
    deadline_passed: bool = False
    """Its end was asked for by its deadline: however it ends now, it has failed."""
    turn_failures: int = 0
    spawn_wave: int = 0
    spawned_to: int = 0
    current_worker: str | None = None
    progress: float | None = None
    progress_message: str | None = None
    pause: Pause | None = None
    """While it is `paused`, and never else."""
    fingerprint: str = ""
    """Of its error, once it is over; see `core.fingerprint`."""
    retried_as: tuple[str, ...] = ()
    """The jobs that were made of this one, oldest first; the newest 20."""
    tally: Tally = NO_CHANGES
    """Of the question that it asks; empty where it asks none."""

    @property
    def asked(self) -> Wait | None:
        """The question that it stands at, if any."""
        return None if self.context.wait is None else self.context.wait.asked

    @property
    def resting(self) -> JobStatus:
        """Its status, or the one it has when its pause ends."""
        return self.status if self.pause is None else self.pause.status

    @property
    def has_begun(self) -> bool:
        """Some worker has fetched a task of it, or it waits for something else than that."""
        if self.resting is JobStatus.WAITING_FOR_WORKER:
            return self.current_worker is not None
        return self.resting is not JobStatus.PENDING and self.started_at is not None

    parent: Parent | None = None

    @property
    def parent_id(self) -> JobId | None:
        """The job that started this one, if any did."""
        return None if self.parent is None else self.parent.id


@quick
@dataclass(frozen=True, slots=True)
class TaskItem:
    """A task's end, as the mailbox holds it. `status` is `success`, `failure`, `cancelled` or a word of the user's."""

    number: int
    status: str
    data: JsonValue = None
    code: str = ""
    message: str = ""
    worker: str = ""
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class DecisionItem:
    """A person's answer."""

    decision: str
    by: str = ""
    note: str = ""
    form: JsonValue = None
    answers: tuple[JsonObject, ...] = ()
    """All answers that were given to the question, the last one included; see `Answer` of the blueprints."""


@dataclass(frozen=True, slots=True)
class TimerItem:
    """The wait's deadline or a sleep's end came."""


@dataclass(frozen=True, slots=True)
class ChildItem:
    """The end of the job `child` that was started. `code` and `message` are its error's.

    `child` is empty where an older server told of it.
    """

    status: str
    result: JsonValue = None
    code: str = ""
    message: str = ""
    child: str = ""


@dataclass(frozen=True, slots=True)
class SignalItem:
    """Somebody gave the signal that the job waits for, or had given it before."""

    name: str
    data: JsonValue = None


@dataclass(frozen=True, slots=True)
class CancelItem:
    """The owner asked for the job's end."""


Item: TypeAlias = TaskItem | DecisionItem | TimerItem | ChildItem | SignalItem | CancelItem
