"""Values that go in and out of the engine, apart from the job record itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from muster.core.admission import Debounce, Quota, Unique
from muster.core.ids import JobId, UnixMs
from muster.core.json import JsonObject, JsonValue
from muster.core.matching import NOTHING, Offer
from muster.core.record import JobRecord
from muster.core.status import JobStatus


@dataclass(frozen=True, slots=True)
class JobOrder:
    """A client's wish for a job. `initial_data` is not validated yet."""

    tenant: str
    blueprint: str
    initial_data: JsonObject
    webhook_url: str | None = None
    trace: Mapping[str, str] = field(default_factory=dict[str, str])
    idempotency_key: str | None = None
    tags: tuple[str, ...] = ()
    """Words by which the job can be found, 8 at most."""
    deadline_ms: int | None = None
    """It fails where it has not ended by then; None: as its blueprint says."""
    wait_ms: int = 0
    """Wait so long for the end before answering (0: do not)."""
    quota: Quota | None = None
    """Of the client that asks."""
    at_home: bool = False
    """Whether all jobs of the tenant are in one partition, as one of its clients has a quota."""
    unique: Unique | None = None
    debounce: Debounce | None = None
    key_kept_ms: int = 86_400_000
    """How long the idempotency key stands for the job."""


@dataclass(frozen=True, slots=True)
class Submitted:
    job_id: JobId
    created: bool
    """False when the idempotency key was used before: `job_id` is the job of then."""
    record: JobRecord | None = None
    """Only where the order waited."""


@dataclass(frozen=True, slots=True)
class JobPage:
    items: tuple[JobRecord, ...]
    next: str | None
    """Opaque cursor of the next page."""


@dataclass(frozen=True, slots=True)
class Found:
    items: tuple[JobRecord, ...]
    total: int
    """Of all that were found, not only of this page."""


@dataclass(frozen=True, slots=True)
class BatchMember:
    job: JobId
    status: JobStatus
    cost_micros: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Jobs that were started together, in the order of their creation."""

    id: str
    members: tuple[BatchMember, ...]
    counts: Mapping[JobStatus, int]
    """Of the statuses that occur."""
    cost_micros: int


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    event_id: str
    job_id: JobId
    timestamp: UnixMs
    event_type: str
    state: str | None = None
    previous_state: str | None = None
    next_state: str | None = None
    task_id: str | None = None
    worker_id: str | None = None
    attempt_number: int | None = None
    duration_ms: int | None = None
    details: JsonObject = field(default_factory=dict[str, JsonValue])


class FreeSlots:
    """How many tasks of some types a worker would take now; of other types as many as it asks for.

    `change` says so anew while a poll waits, which goes on by that.
    """

    __slots__ = ("counts", "on_change")

    def __init__(self, counts: Mapping[str, int]) -> None:
        self.counts = counts
        self.on_change: Callable[[], None] = lambda: None

    def change(self, counts: Mapping[str, int]) -> None:
        self.counts = counts
        self.on_change()


@dataclass(frozen=True, slots=True)
class WorkerDescription:
    """A registration. `facts` holds the descriptive members as sent (resources, capabilities, …)."""

    worker_id: str
    supported_tasks: tuple[str, ...]
    max_concurrent_tasks: int = 1
    cost_per_second: float = 0.0
    protocol: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class WorkerPatch:
    """Members of a heartbeat that were sent; None means unchanged."""

    status: str | None = None
    load: float | None = None
    supported_tasks: tuple[str, ...] | None = None
    current_tasks: tuple[str, ...] | None = None
    max_concurrent_tasks: int | None = None
    cost_per_second: float | None = None
    resources: Mapping[str, Any] | None = None
    labels: Mapping[str, Any] | None = None
    hot_cache: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class WorkerView:
    worker_id: str
    worker_type: str | None
    supported_tasks: tuple[str, ...]
    status: str
    load: float
    current_tasks: tuple[str, ...]
    max_concurrent_tasks: int
    cost_per_second: float
    resources: Mapping[str, Any]
    capabilities: Mapping[str, Any]
    registered_at: UnixMs
    last_seen_at: UnixMs
    protocol: int = 0
    runtimes: tuple[str, ...] = ()
    labels: Mapping[str, Any] = field(default_factory=dict[str, Any])
    order: str = ""
    """What an operator ordered: `drain` or `disconnect`; it is shown as draining then."""
    ordered_slots: int | None = None
    slowed: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """By type, where its quick failures slow it: strikes and the usual ms."""
    offer: Offer = NOTHING
    """What needs are held against."""
    slots_per_task: Mapping[str, int] = field(default_factory=dict[str, int])
    """By type, where it takes fewer of it at a time."""

    def slots_for(self, kind: str) -> int:
        """How many tasks of type *kind* it takes at a time."""
        return min(self.max_concurrent_tasks, self.slots_per_task.get(kind, self.max_concurrent_tasks))


@dataclass(frozen=True, slots=True)
class LeaseSign:
    """A sign of life of one running task."""

    task_id: str
    attempt: int
    fence: str
    progress: float | None = None
    message: str | None = None
    silent_ms: int | None = None
    """Since the handler's own last sign, where the worker tells it."""


@dataclass(frozen=True, slots=True)
class HeartbeatReply:
    worker: WorkerView
    cancel_task_ids: tuple[str, ...] = ()
    lost_task_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lease:
    """A task handed to a worker. `fence` is empty for a worker that knows only the documented routes."""

    job_id: JobId
    task_id: str
    attempt: int
    fence: str
    lease_ms: int
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TaskReport:
    """A worker's result. `attempt` and `fence` are None where the worker speaks only the documented routes."""

    job_id: str
    task_id: str
    worker_id: str
    status: str
    data: JsonValue = None
    code: str = ""
    message: str = ""
    retry_after_ms: int | None = None
    kind: str = ""
    """Name of the exception, where the worker tells it."""
    attempt: int | None = None
    fence: str | None = None


@dataclass(frozen=True, slots=True)
class ReportReply:
    """`outcome`: `success`, `failure`, `cancelled`, `requeue` (taken) or `ignored` with a reason."""

    outcome: str
    reason: str | None = None
    tasks: tuple[Lease, ...] = ()


@dataclass(frozen=True, slots=True)
class Dashboard:
    workers: Mapping[str, int]
    """`total`, `idle`, `busy`."""
    jobs: Mapping[str, int]
    """One count per status word: live ones now, final ones since the store was made."""
    tasks: Mapping[str, int]
    """`queued`, `running`."""
    now: UnixMs


class CommandSocket(Protocol):
    """A worker's live WebSocket, as the engine sees it."""

    async def send_cancel(self, job_id: str, task_id: str) -> bool:
        """Send `cancel_task`; False when the socket is gone."""
        ...

    async def send_order(self, order: str, slots: int | None) -> bool:
        """Send `drain`, `resume`, `disconnect` or `resize`; False when the socket is gone."""
        ...

    async def close_replaced(self) -> None:
        """Another connection of the same worker took over: close with 4409."""
        ...
