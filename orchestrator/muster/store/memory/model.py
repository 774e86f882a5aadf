"""What the model remembers: jobs, tasks and timers as mutable records."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from muster.core.ids import JobId, TaskId, UnixMs, task_id
from muster.core.record import JobRecord
from muster.core.status import TaskStatus
from muster.store.base import RawEvent
from muster.store.keys import short_hash

Order: TypeAlias = tuple[int, int, int]
"""When a task became ready, the number of the call that made it so, and the task's place in it."""


PAUSED = "~paused"
"""Who holds the turn of a paused job."""


HOLD_MS = 5_000
"""What a tick handed out comes again after this time if nobody settled it."""


@dataclass(slots=True)
class Job:
    record: JobRecord
    turn_token: str = ""
    """Empty: nobody decides."""
    turn_at: int | None = None
    """When the turn is due, or its lease ends; None while the job waits or is final."""
    need: int = 0
    """Items the mailbox still lacks before a turn is due."""
    mailbox: list[str] = field(default_factory=list[str])
    early: list[str] = field(default_factory=list[str])
    """Items of a wave whose turn has not committed yet."""
    early_failures: int = 0
    failures_left: int | None = None
    """Ends that are no success and leave the turn undue; None: all of them do."""
    needs_successes: bool = False
    shielded: bool = False
    """A wish to cancel it changes nothing any more."""
    current_task: int | None = None
    children: dict[JobId, bool] = field(default_factory=dict[JobId, bool])
    """The jobs whose ends this one waits for; whether each is spread."""
    awaited: str = ""
    """Name of the signal that ends the wait."""
    signals: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Name and item of those that nobody waits for yet, oldest first."""
    sent_by: list[str] = field(default_factory=list[str])
    """Tokens of the newest signals."""
    asked_at: int | None = None
    """Of the question that it asks people."""
    changed_at: list[UnixMs] = field(default_factory=list[UnixMs])
    """Times of that question's changes."""
    committed_by: str = ""
    signalled_by: str = ""
    resumed_by: str = ""
    retried_by: str = ""
    begun_again_at: UnixMs | None = None
    holds_told: int = 0
    """Pauses and ends of pauses that its spread children were told of."""
    hold_heard: int = 0
    """The count of the newest that it was told of itself."""
    entered: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """What states were entered with, by state."""
    watchers: list[str] = field(default_factory=list[str])
    """Replicas told of the job's end; `followers` are told of every change."""
    followers: list[str] = field(default_factory=list[str])
    history: list[RawEvent] = field(default_factory=list[RawEvent])
    log: list[bytes] = field(default_factory=list[bytes])
    """Chunks, oldest first."""
    last_line: int = 0
    late: list[int] = field(default_factory=list[int])
    """Numbers of lines that came when there was a greater one."""
    readers: list[str] = field(default_factory=list[str])
    """Replicas told when the log grows."""
    steps: dict[str, tuple[int, bytes]] = field(default_factory=dict[str, tuple[int, bytes]])
    """By place: the number of their last change, and what it was."""
    newest_step: int = 0
    newest_artifact: int = 0
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    expires_at: int | None = None
    meter: str = ""
    client: str = ""
    """Whose quota it is counted in."""
    batch: str = ""
    """The key of the batch it came with."""
    run_ms: int = 0
    """Of all runs of its tasks so far."""

    @property
    def id(self) -> JobId:
        return self.record.id

    def count_end(self, *, failed: bool) -> None:
        """One more end is in the mailbox."""
        if not (failed and self.needs_successes):
            self.need -= 1
        if failed and self.failures_left is not None:
            self.failures_left -= 1
            if self.failures_left < 0:
                self.need, self.failures_left = min(self.need, 0), 0

    @property
    def is_final(self) -> bool:
        return self.record.status.is_final

    @property
    def flow(self) -> str:
        return short_hash(self.record.tenant)


@dataclass(slots=True)
class Task:
    job: JobId
    number: int
    cls: str
    flow: str
    """Its tenant's hash, and what else it is: see `store.flow`."""
    wave: int
    band: int
    timeout_ms: int
    body: bytes
    rules: bytes
    order: Order
    ready_at: int
    schedule_to_start_ms: int | None = None
    close_at: int | None = None
    """By then it has ended, whatever happens."""
    heartbeat_ms: int | None = None
    status: TaskStatus = TaskStatus.READY
    attempt: int = 0
    failures: int = 0
    losses: int = 0
    requeues: int = 0
    failed_at: int | None = None
    """When it failed first."""
    counts: str = ""
    put_back: str = ""
    worker: str = ""
    fence: str = ""
    patient: bool = False
    price: int = 0
    claimed_at: int = 0
    must_end_at: int = 0
    lease_ends_at: int = 0
    silence_ends_at: int = 0
    """When its worker's silence is too long; the handler's own sign was at `sign_at`."""
    sign_at: int = 0
    past_workers: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    """Gates whose slots it holds."""
    fallback: str = ""
    """The class to which it moves when it has waited long enough for whom it prefers."""
    events_attempt: int = 0
    next_event: int = 0
    """Of the attempt that told events last."""

    @property
    def id(self) -> TaskId:
        return task_id(self.job, self.number)

    @property
    def lease_end(self) -> int:
        """With its worker's silence, with its handler's own, or with its time."""
        till = min(self.silence_ends_at, self.must_end_at)
        return till if self.heartbeat_ms is None else min(till, self.sign_at + self.heartbeat_ms)

    def waits_until(self, ready_at: int | None) -> int | None:
        """When it has waited too long without a worker; *ready_at* is None for one that is gated."""
        limits = [] if self.close_at is None else [self.close_at]
        if ready_at is not None and self.schedule_to_start_ms is not None:
            limits.append(ready_at + self.schedule_to_start_ms)
        return min(limits, default=None)


@dataclass(slots=True)
class Outgoing:
    """A webhook, or what a child and its parent tell each other, that was not delivered yet."""

    body: bytes
    tries: int = 0
    parent: tuple[JobId, int] | None = None
    """Of a child's start: who waits for it, in which wave. It is dropped where nobody does any more."""
    withdrawn: bool = False
    """Its end is asked for already: it is made as cancelled."""


@dataclass(frozen=True, slots=True)
class TaskStart:
    """A retry's back-off ends."""

    task: TaskId


@dataclass(frozen=True, slots=True)
class PreferenceEnd:
    """The task has waited long enough for whom it prefers."""

    task: TaskId


@dataclass(frozen=True, slots=True)
class WaitLimit:
    """A task without a worker has waited too long."""

    task: TaskId


@dataclass(frozen=True, slots=True)
class WaitEnd:
    """The wait of this wave has lasted long enough."""

    job: JobId
    wave: int


@dataclass(frozen=True, slots=True)
class GraceEnd:
    """A cancelled job's workers had their time."""

    job: JobId


@dataclass(frozen=True, slots=True)
class Unpark:
    """Further tasks of a resumed job go back to their queues."""

    job: JobId


@dataclass(frozen=True, slots=True)
class Deadline:
    """A job must have ended."""

    job: JobId


@dataclass(frozen=True, slots=True)
class Drop:
    """Tasks nobody waits for, half-open."""

    job: JobId
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Delivery:
    message: str


@dataclass(frozen=True, slots=True)
class Replaced:
    """Another job took its unique key: it is to be cancelled."""

    job: JobId


@dataclass(frozen=True, slots=True)
class GateOpens:
    """A gate that is shut by its rate opens, or classes wait at one that has room."""

    gate: str


@dataclass(frozen=True, slots=True)
class Escalation:
    """The question of this wave has waited long enough for others to be asked."""

    job: JobId
    wave: int


@dataclass(frozen=True, slots=True)
class BatchCancel:
    """The jobs of a batch after this line are to be asked to end."""

    batch: str
    after: int


Timer: TypeAlias = (
    TaskStart
    | PreferenceEnd
    | WaitLimit
    | WaitEnd
    | GraceEnd
    | Unpark
    | Deadline
    | Drop
    | Delivery
    | Escalation
    | BatchCancel
    | Replaced
    | GateOpens
)


_MEMBERS: Final[Mapping[type, tuple[str, tuple[str, ...]]]] = {
    TaskStart: ("t", ("task",)),
    PreferenceEnd: ("p", ("task",)),
    WaitLimit: ("x", ("task",)),
    WaitEnd: ("j", ("job", "wave")),
    GraceEnd: ("c", ("job",)),
    Unpark: ("u", ("job",)),
    Deadline: ("e", ("job",)),
    Drop: ("d", ("job", "low", "high")),
    Delivery: ("o", ("message",)),
    Escalation: ("q", ("job", "wave")),
    BatchCancel: ("b", ("batch", "after")),
    Replaced: ("r", ("job",)),
    GateOpens: ("g", ("gate",)),
}


def member_of(timer: Timer) -> str:
    """How a server spells it: those that are due at once fire in this order."""
    letter, fields = _MEMBERS[type(timer)]
    return "|".join([letter, *(str(getattr(timer, name)) for name in fields)])
