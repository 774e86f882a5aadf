"""The store's contract: the few operations the engine needs, each atomic, fenced and safe to send twice.

`redis.RedisStore` keeps it on a server, `memory.MemoryStore` in plain dicts; `tests/store` runs the same sequences
against both. Times are the store's own (`now_ms`); durations go in, never dates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from muster.core.ids import JobId, TaskId, UnixMs
from muster.core.metering import meter_of
from muster.core.record import Context, Item, JobRecord, Parent, Submission
from muster.core.status import JobStatus
from muster.core.values import quick
from muster.store.admission import Admission, Limited, PutOff, Taken
from muster.store.approvals import ApprovalStore, DueEscalation
from muster.store.due import DueMessage as DueMessage
from muster.store.due import EndedLease as EndedLease
from muster.store.due import LeaseRef as LeaseRef
from muster.store.index import IndexStore
from muster.store.journal import JournalStore
from muster.store.keys import short_hash

if TYPE_CHECKING:
    from muster.store.batch_records import BatchRecords, BatchToCancel
    from muster.store.blueprint_records import BlueprintRecords
    from muster.store.children import ChildRecords
    from muster.store.connection_records import ConnectionRecords
    from muster.store.figures import FigureRecords
    from muster.store.file_records import FileRecords
    from muster.store.fleet import FleetRecords
    from muster.store.flow import FlowRecords
    from muster.store.operations import OperationRecords
    from muster.store.standing import StandingRecords


class StoreUnavailable(Exception):
    """The server cannot be reached or does not answer. Nothing is known about the last write."""


class StoreFull(Exception):
    """The server refuses writes for lack of memory. Nothing was written."""


class ContextTooLarge(Exception):
    """What the job carries between states exceeds `CONTEXT_BYTES_MAX`. Nothing was written."""


class Position(NamedTuple):
    """A job's place in a listing: its end, or its creation while it lives; equal times by id."""

    at: UnixMs
    job: JobId

    @classmethod
    def of(cls, record: JobRecord) -> "Position":
        return cls(record.finished_at or record.created_at, record.id)


@quick
@dataclass(frozen=True, slots=True)
class NewJob:
    id: JobId
    tenant: str
    blueprint: str
    blueprint_version: str
    state: str
    submission: Submission
    context: Context
    history: str = ""
    idempotency_key: str = ""
    idempotency_ttl_ms: int = 86_400_000
    fingerprint: str = ""
    watcher: str = ""
    parent: Parent | None = None
    admission: Admission | None = None
    """What must be so for the job to be made."""
    deadline_ms: int | None = None
    """It fails where it has not ended by then; that of its parent holds as well."""

    @property
    def meter(self) -> str:
        """What its runs are counted under."""
        return meter_of(self.blueprint, self.submission.initial_data)

    def record(self, now: UnixMs) -> JobRecord:
        """The job as it is before its first turn."""
        return JobRecord(
            id=self.id,
            tenant=self.tenant,
            blueprint=self.blueprint,
            blueprint_version=self.blueprint_version,
            status=JobStatus.PENDING,
            state=self.state,
            version=0,
            revision=0,
            wave=0,
            next_task=0,
            submission=self.submission,
            context=self.context,
            created_at=now,
            updated_at=now,
            parent=self.parent,
            deadline_at=None if self.deadline_ms is None else UnixMs(now + self.deadline_ms),
        )


@dataclass(frozen=True, slots=True)
class Existing:
    """The idempotency key's job of an earlier submit."""

    id: JobId
    fingerprint: str


@quick
@dataclass(frozen=True, slots=True)
class Seat:
    """A place for one task: whom it goes to and for how long at first.

    The end of a `patient` lease, one of the documented routes, is put to the engine, which looks at the registration.
    """

    worker: str
    fence: str
    lease_ms: int
    patient: bool = False
    price: int = 0
    """Micros per second of the worker's time, frozen when it gets the task."""
    prices: tuple[tuple[str, int], ...] = ()
    """Those of classes for which the worker asks something else."""


@quick
@dataclass(frozen=True, slots=True)
class Claim:
    """Which classes to take from, in order, and for whom. `register` asks for a wake-up where too little was found."""

    replica: str
    classes: tuple[str, ...]
    seats: tuple[Seat, ...]
    register: bool = False
    history: bool = True


@quick
@dataclass(frozen=True, slots=True)
class Claimed:
    seat: int
    """Index into the claim's seats."""
    task: TaskId
    attempt: int
    body: bytes
    waited_ms: int
    left_ms: int | None = field(default=None, compare=False)
    """What this attempt may take at most, where that is less than the task's timeout."""


@quick
@dataclass(frozen=True, slots=True)
class Turn:
    """The exclusive right to decide a job's next move, until the lease ends."""

    token: str
    record: JobRecord
    items: tuple[Item, ...]


class Mode(StrEnum):
    DELIVER = "deliver"
    RETRY = "retry"
    LOST = "lost"
    """Put back: its worker fell silent."""
    REQUEUE = "requeue"
    """Put back: its worker asked for that. Counts as neither failure nor loss."""


@quick
@dataclass(frozen=True, slots=True)
class Completion:
    """One attempt's end. `worker` is empty when the engine itself ends it (timeout, lost worker)."""

    job: JobId
    number: int
    worker: str
    mode: Mode
    item: str
    history: str
    token: str
    attempt: int | None = None
    fence: str | None = None
    delay_ms: int = 0
    failed: bool = False
    claim: Claim | None = None
    counts: str = ""
    """Failures by code, kept with a task that goes back; empty leaves them as they are."""


class Refusal(StrEnum):
    GONE = "gone"
    """No such live task: finished before, or never there."""
    FOREIGN = "foreign"
    """Another worker's task."""
    STALE = "stale"
    """A superseded attempt, or a task that is not leased."""
    FINAL = "final"
    """The job is over."""
    CONFLICT = "conflict"
    """The wait it was for has ended."""
    FULL = "full"
    """No room for another signal."""
    CHANGED = "changed"
    """It was changed meanwhile."""
    TAKEN = "taken"
    """Sent before and taken then."""
    CANCELLING = "cancelling"
    """Its end was asked for."""
    NOT_PAUSED = "not_paused"
    LIVE = "live"
    """The job is not over."""
    HELD = "held"
    """A worker has a task of the job."""


@dataclass(frozen=True, slots=True)
class Completed:
    """The end was taken. `turn` is due and leased to the caller; else `claimed` holds what the claim got."""

    turn: Turn | None = None
    claimed: tuple[Claimed, ...] = ()
    retried: bool = False
    cancelling: bool = False
    ran_ms: int = field(default=0, compare=False)
    """From claim to report; 0 where the same report was taken before."""


@dataclass(frozen=True, slots=True)
class Refused:
    why: Refusal
    next_task: int = 0
    """With GONE: numbers below this one have existed; -1 when the job is unknown."""


@quick
@dataclass(frozen=True, slots=True)
class NewTask:
    """A task to make ready. `body` is what the worker gets, `rules` what the engine needs when it fails."""

    number: int
    type: str
    body: bytes
    rules: bytes
    timeout_ms: int
    priority: int = 0
    schedule_to_start_ms: int | None = None
    schedule_to_close_ms: int | None = None
    heartbeat_ms: int | None = None
    cls: str = ""
    """The class it waits in; that of its type alone where empty."""
    fallback: tuple[str, int] | None = None
    """The class to which it moves after so many ms, where `cls` is only whom it prefers."""
    flow: str = ""
    """What its flow is besides its tenant's: see `flow.flow_of`."""

    @property
    def limits(self) -> tuple[int | None, int | None, int | None]:
        """Those that not every task has."""
        return self.schedule_to_start_ms, self.schedule_to_close_ms, self.heartbeat_ms

    @property
    def queue_class(self) -> str:
        return self.cls or short_hash(self.type)


@dataclass(frozen=True, slots=True)
class Message:
    """A webhook to deliver."""

    id: str
    body: bytes


@quick
@dataclass(frozen=True, slots=True)
class Commit:
    """What a turn decided, in full."""

    job: JobId
    version: int
    token: str
    next_token: str
    status: JobStatus
    state: str
    context: Context
    wave: int
    next_task: int
    need: int = 1
    failures_left: int | None = None
    """So many more ends that are no success leave the turn undue; the next one makes it due. None: they never do."""
    needs_successes: bool = False
    """Only successes bring `need` down."""
    current_task: int | None = None
    started: bool = False
    clear_cancel: bool = False
    result: Any = None
    error: str | None = None
    details: Mapping[str, Any] | None = None
    retention_ms: int = 604_800_000
    deadline_ms: int | None = None
    history: tuple[str, ...] = ()
    tasks: tuple[NewTask, ...] = ()
    messages: tuple[Message, ...] = ()
    drops: tuple[tuple[int, int], ...] = ()
    """Half-open ranges of task numbers nobody waits for any more."""
    children: tuple[NewJob, ...] = ()
    """Jobs to make whose ends this one waits for: here, or by a message where they are spread. A job to be cancelled
    makes none. Children of the past wait that have not ended are asked to."""
    signal: str = ""
    """The signals that end the wait, their names separated by commas; one that was kept is taken at once."""
    shielded: bool = False
    """A wish to cancel the job changes nothing any more: it undoes what it did, and ends then."""
    entered: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    """What states were entered with on the way, by state; see `entered.dump_entered`."""
    fingerprint: str = ""
    """Of the error, where it ends with one."""
    parting: str = ""
    """With a final status: the mailbox item for the job that started this one."""
    claim: Claim | None = None
    asks: bool = False
    """The job asks people a question, which is listed until the next commit."""
    escalate_ms: int | None = None
    """With `asks`: when its first escalation is due."""


@quick
@dataclass(frozen=True, slots=True)
class Committed:
    at: UnixMs
    """The store's clock at the commit."""
    claimed: tuple[Claimed, ...] = ()
    turn: Turn | None = None
    """The next turn, where it is due at once; leased to `next_token`."""


@quick
@dataclass(frozen=True, slots=True)
class Stepped:
    """The end was taken and the turn it made due is written. The rest is how the job stands then."""

    committed: Committed
    created_at: UnixMs
    started_at: UnixMs | None
    retries: int
    revision: int
    cost_micros: int = field(default=0, compare=False)
    ran_ms: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Tick:
    next_due_ms: int | None
    leases: tuple[EndedLease, ...] = ()
    messages: tuple[DueMessage, ...] = ()
    turns: tuple[Turn, ...] = ()
    dropped: tuple[tuple[TaskId, str], ...] = ()
    """Tasks nobody waits for any more that were taken from workers, with those."""
    overdue: tuple[JobId, ...] = ()
    """Jobs whose deadline has passed; they come again until somebody asks for their end."""
    escalations: tuple[DueEscalation, ...] = ()
    first: tuple[Turn, ...] = ()
    more_first: bool = False
    """Further jobs of batches wait for their first turns."""
    cancels: "tuple[BatchToCancel, ...]" = ()
    replaced: tuple[tuple[JobId, str], ...] = ()
    """Jobs that are to be cancelled, as another took their unique key; with their tenants."""


@dataclass(frozen=True, slots=True)
class LiveTask:
    """What a failed attempt's decision needs."""

    attempt: int
    fence: str
    worker: str
    failures: int
    losses: int
    rules: bytes
    requeues: int = 0
    counts: str = ""
    failing_ms: int = field(default=0, compare=False)
    left_ms: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class QueueState:
    ready: Mapping[str, int] = field(default_factory=dict[str, int])
    """Ready tasks by class id (classes without any are left out)."""
    types: Mapping[str, str] = field(default_factory=dict[str, str])
    """Task types of these classes."""
    leased: int = 0
    jobs: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class RawEvent:
    at: UnixMs
    duration_ms: int | None
    blob: str


class Store(JournalStore, IndexStore, Protocol):
    """See the module. Every method may raise `StoreUnavailable`; those that add data, `StoreFull`."""

    @property
    def files(self) -> "FileRecords":
        """What is known of uploads and artifacts."""
        ...

    @property
    def figures(self) -> "FigureRecords":
        """How much there is."""
        ...

    @property
    def approvals(self) -> ApprovalStore:
        """Open questions to people."""
        ...

    @property
    def standing(self) -> "StandingRecords":
        """How jobs and leases stand."""
        ...

    @property
    def flow(self) -> "FlowRecords":
        """Limits, and who holds their slots."""
        ...

    @property
    def fleet(self) -> "FleetRecords":
        """Classes of work, and orders to workers."""
        ...

    @property
    def children(self) -> "ChildRecords":
        """Children in another partition than their parents."""
        ...

    @property
    def operations(self) -> "OperationRecords":
        """What a person does to jobs."""
        ...

    @property
    def batches(self) -> "BatchRecords":
        """Jobs that came in one stream."""
        ...

    @property
    def connections(self) -> "ConnectionRecords":
        """Saved connections and their schedules."""
        ...

    @property
    def blueprints(self) -> "BlueprintRecords":
        """Blueprints that are data, how new jobs are steered, and the live jobs of each version."""
        ...

    async def submit(
        self, job: NewJob, token: str, first: Commit | None = None
    ) -> Turn | Existing | Committed | Limited | Taken | PutOff:
        """Store *job* and lease its first turn to the caller, or write *first*, which that turn decided already.

        Without *first* where the job's admission has a debounce key: its first turn comes by itself then (PutOff).
        """
        ...

    async def claim(self, partition: int, claim: Claim) -> tuple[Claimed, ...]: ...

    async def complete(self, completion: Completion) -> Completed | Refused: ...

    async def commit(self, commit: Commit) -> Committed | Refused:
        """Refused(STALE) where the turn was lost; nothing is written then."""
        ...

    async def step(self, completion: Completion, decided: Commit) -> Stepped | Completed | Refused:
        """`complete` and `commit` at once, for a job's only task and a turn that was *decided* ahead.

        Where the job is not at the version *decided* is for, waiting for that task and nothing else, this is `complete`
        with the claim of *decided*. Both must name one token; the completion delivers and has no claim of its own.
        """
        ...

    async def spawn(self, job: JobId, version: int, token: str, wave: int, tasks: Sequence[NewTask]) -> bool:
        """Make up to `TASKS_PER_COMMIT_MAX` tasks ready ahead of the commit. False: the turn was lost."""
        ...

    async def defer(self, job: JobId, token: str, delay_ms: int, *, failed: bool, details: str = "") -> int | None:
        """Give the turn back. Returns the number of failed turns in a row, None if the turn was lost."""
        ...

    async def extend(self, partition: int, worker: str, lease_ms: int, leases: Sequence[LeaseRef]) -> tuple[str, ...]:
        """Prolong leases: `ok`, `cancel` or `lost` for each, in order. `worker` is empty for the engine itself."""
        ...

    async def release(self, task: TaskId, attempt: int, fence: str) -> bool: ...

    async def signal(self, job: JobId, wave: int, item: str, history: str, token: str) -> Turn | Refused: ...

    async def send(
        self, job: JobId, name: str, item: str, history: str, token: str, signals_max: int
    ) -> Turn | Refused | None:
        """Give the signal *name*: where the job waits for it the turn is the caller's, else it is kept (None).

        Refused: GONE, FINAL, or FULL where *signals_max* are kept.
        """
        ...

    async def cancel(
        self,
        job: JobId,
        token: str,
        grace_ms: int,
        history: str,
        below: str = "",
        *,
        queued: bool = False,
        overdue: bool = False,
    ) -> Turn | Refused | tuple[tuple[TaskId, str], ...]:
        """Ask for the job's end, and for that of its child, its child's child and so on; no job ends before its child.

        The last of them acts: a turn is its turn; a tuple names its tasks still leased, with their workers. *history*
        is noted for the job itself, *below* for the others. Only a *queued* one is meant: Refused(HELD), and nothing
        asked for, where a worker has a task. An *overdue* one has passed its deadline: however it ends, it has failed.
        """
        ...

    async def tick(self, partition: int, token_prefix: str, first_turns: int = 0) -> Tick:
        """What is due; beside it up to *first_turns* of jobs of batches, of each batch some."""
        ...

    async def settle(self, partition: int, message: str, tries: int, retry_in_ms: int | None) -> None: ...

    async def read(self, job: JobId, watcher: str = "", *, changes: bool = False) -> JobRecord | None:
        """The job as it is. *watcher* is a replica that will be told of its end, and of every *changes* until then."""
        ...

    async def watch_tenant(self, tenant: str, watcher: str, ttl_ms: int) -> bool:
        """For so long tell replica *watcher* of every change of the tenant's jobs: `t|tenant's hash|job|line`.

        The line is the newest of the job's log before the change. False: it was not being told, and may have missed
        something.
        """
        ...

    async def live_task(self, job: JobId, number: int) -> LiveTask | None: ...

    async def history(self, job: JobId) -> tuple[RawEvent, ...]: ...

    async def queue(self, partition: int) -> QueueState: ...

    async def register(self, worker: str, ttl_ms: int, fields: Mapping[str, str]) -> None: ...

    async def beat(
        self, worker: str, ttl_ms: int, fields: Mapping[str, str]
    ) -> tuple[dict[str, str], tuple[str, ...]] | None:
        """A sign of life: the worker's fields and the tasks it should cancel, or None for an unknown worker."""
        ...

    async def touch(self, ttl_ms: int, workers: Sequence[str]) -> tuple[str, ...]:
        """Prolong registrations; returns those that do not exist."""
        ...

    async def worker(self, worker: str) -> dict[str, str] | None: ...

    async def workers(self) -> tuple[dict[str, str], ...]: ...

    async def ask_cancel(self, worker: str, tasks: Sequence[str]) -> None:
        """Leave a note for the worker's next heartbeat."""
        ...

    async def cancels(self, worker: str) -> tuple[str, ...]: ...

    async def forget_cancel(self, worker: str, task: str) -> None: ...

    async def publish(self, replica: str, message: str) -> bool:
        """Send *message* to a replica; False when nobody listens."""
        ...

    async def secret(self, fresh: str) -> str:
        """The secret all replicas share: *fresh* if there was none."""
        ...

    async def ping(self) -> bool: ...

    async def flush(self) -> None:
        """Delete every key of this namespace and no other."""
        ...
