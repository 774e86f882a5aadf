"""What the edge needs of the engine, and nothing more. All methods raise MusterError."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Protocol

from muster.api.approval_ports import Approvals
from muster.core.graph import Graph
from muster.core.ids import JobId, UnixMs
from muster.core.matching import Offer
from muster.core.record import JobRecord
from muster.core.status import JobStatus
from muster.engine.bulk import Bulk
from muster.engine.connections import Connections
from muster.engine.demand import TaskDemand
from muster.engine.figures import Figures
from muster.engine.files import Files
from muster.engine.journal import EventsReply, EventsReport, LogPage, Steps
from muster.engine.limits import Limits
from muster.engine.live import CaughtUp, Page
from muster.engine.live_events import FROM_THE_START, LinePlace, LiveEvent
from muster.engine.migrations import Order as MigrationOrder
from muster.engine.migrations import Page as MigrationPage
from muster.engine.operations import Operations
from muster.engine.planning import Planning
from muster.engine.reasons import Explanation
from muster.engine.versions import Versions
from muster.engine.views import (
    Batch,
    CommandSocket,
    Dashboard,
    Found,
    FreeSlots,
    HeartbeatReply,
    HistoryEvent,
    JobOrder,
    JobPage,
    Lease,
    LeaseSign,
    ReportReply,
    Submitted,
    TaskReport,
    WorkerDescription,
    WorkerPatch,
    WorkerView,
)
from muster.observe.metrics import Metrics
from muster.store.index import DayCost
from muster.store.journal import Stream


class Blueprint(Protocol):
    """A blueprint as the edge sees it."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def api_version(self) -> str: ...

    @property
    def endpoint(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def graph(self) -> Graph: ...

    def input_schema(self) -> Mapping[str, Any]:
        """JSON Schema of `initial_data`."""
        ...

    def output_schema(self) -> Mapping[str, Any]:
        """JSON Schema of a finished job's result; `{}` where it may be anything."""
        ...


class Blueprints(Protocol):
    """`muster.blueprint.registry.Registry` as the edge sees it."""

    def names(self) -> Iterable[str]: ...

    def get(self, name: str, /) -> Blueprint | None: ...

    def by_endpoint(self, api_version: str, endpoint: str, /) -> Blueprint | None: ...


class Engine(Protocol):
    """`muster.engine.engine.Engine` as the edge sees it."""

    @property
    def blueprints(self) -> Blueprints: ...

    @property
    def counters(self) -> Metrics: ...

    @property
    def files(self) -> Files: ...

    @property
    def figures(self) -> Figures: ...

    @property
    def operations(self) -> Operations: ...

    @property
    def approvals(self) -> Approvals: ...

    @property
    def connections(self) -> Connections: ...

    @property
    def limits(self) -> Limits: ...

    @property
    def bulk(self) -> Bulk: ...

    @property
    def versions(self) -> Versions: ...

    async def migrate(self, name: str, order: MigrationOrder, cursor: str | None = None) -> MigrationPage: ...

    @property
    def planning(self) -> Planning: ...

    async def submit(self, order: JobOrder) -> Submitted: ...

    async def job(self, tenant: str, job_id: str) -> JobRecord: ...

    async def wait(self, tenant: str, job_id: str, *, timeout_ms: int, since: int | None) -> JobRecord: ...

    async def jobs(
        self,
        tenant: str,
        *,
        limit: int,
        cursor: str | None,
        statuses: frozenset[JobStatus] | None,
        blueprint: str | None,
    ) -> JobPage: ...

    async def tagged(self, tenant: str, tag: str, *, limit: int, cursor: str | None = None) -> JobPage: ...

    async def start_batch(
        self, tenant: str, batch_id: str | None, members: Sequence[JobOrder]
    ) -> tuple[str, tuple[JobId, ...]]: ...

    async def batch(self, tenant: str, batch_id: str) -> Batch: ...

    async def cancel_batch(self, tenant: str, batch_id: str) -> int: ...

    async def find(
        self,
        tenant: str,
        *,
        statuses: frozenset[JobStatus] | None,
        limit: int,
        offset: int,
        begun: bool | None = None,
    ) -> Found: ...
    async def costs(self, tenant: str, since: date, until: date) -> tuple[DayCost, ...]: ...

    async def durations(self, tenant: str, meter: str) -> tuple[int, ...]: ...

    async def delete(self, tenant: str, job_id: str) -> None: ...

    def follow_job(
        self, tenant: str, job_id: str, *, after: LinePlace = FROM_THE_START, quiet_s: float
    ) -> AsyncGenerator[LiveEvent | None, None]: ...

    def follow_tenant(
        self, tenant: str, *, quiet_s: float, since_ms: int | None = None
    ) -> AsyncGenerator[LiveEvent | None, None]: ...

    async def history(self, tenant: str, job_id: str) -> list[HistoryEvent]: ...

    async def why(self, tenant: str, job_id: str) -> Explanation: ...

    async def wanted(self, having: Offer | None = None) -> tuple[TaskDemand, ...]: ...

    async def cancel(self, tenant: str, job_id: str, *, queued: bool = False) -> bool:
        """True: a live socket took the command. With *queued* only if no worker has a task of it."""
        ...

    async def signal(self, tenant: str, job_id: str, name: str, data: Mapping[str, Any]) -> None: ...

    def webhook_secret(self, tenant: str) -> str: ...

    async def dashboard(self) -> Dashboard: ...

    async def workers(self) -> list[WorkerView]: ...

    async def order(self, worker_id: str, order: str, slots: int | None = None) -> WorkerView:
        """`drain`, `resume`, `disconnect`, or `resize` to *slots*."""
        ...

    async def register(self, worker: WorkerDescription) -> object: ...

    async def heartbeat(self, worker_id: str, patch: WorkerPatch, leases: tuple[LeaseSign, ...]) -> HeartbeatReply: ...

    async def poll(
        self, worker_id: str, *, timeout_ms: int, max_tasks: int, free: FreeSlots | None = None
    ) -> tuple[Lease, ...]:
        """Empty on time-out."""
        ...

    async def report(self, report: TaskReport, *, next_tasks: int, free: FreeSlots | None = None) -> ReportReply: ...

    async def report_all(
        self, reports: Sequence[TaskReport], *, next_tasks: int, free: FreeSlots | None = None
    ) -> tuple[list[ReportReply | BaseException], tuple[Lease, ...]]:
        """Several of one worker at once; errors stand in their places."""
        ...

    async def progress(self, worker_id: str, task_id: str, fraction: float, message: str) -> None: ...

    async def take_events(self, report: EventsReport) -> EventsReply: ...

    async def note_line(
        self,
        job_id: str,
        *,
        tenant: str | None,
        seq: int,
        stream: Stream,
        text: str,
        at: UnixMs | None,
        worker: str | None = None,
    ) -> bool:
        """A line under a number of its teller's; False where that has one. Without *tenant* *worker* tells it."""
        ...

    async def logs(self, tenant: str, job_id: str, *, after: int, limit: int, stream: Stream | None) -> LogPage: ...

    def follow_logs(
        self,
        tenant: str,
        job_id: str,
        *,
        after: int,
        stream: Stream | None,
        quiet_s: float,
    ) -> AsyncGenerator[LogPage, None]: ...

    async def last_line(self, tenant: str, job_id: str) -> int:
        """The number of the newest line, 0 where there is none."""
        ...

    def follow_pages(
        self, tenant: str, job_id: str, *, after: LinePlace = FROM_THE_START, quiet_s: float
    ) -> AsyncGenerator[Page | None, None]:
        """What happens to a job, until it is over; None after *quiet_s* of silence."""
        ...

    def follow_tenant_pages(
        self, tenant: str, *, quiet_s: float, since_ms: int | None = None
    ) -> AsyncGenerator[Page | CaughtUp, None]: ...

    async def steps(self, tenant: str, job_id: str) -> Steps: ...

    async def job_status(self, job_id: str) -> JobStatus | None: ...

    async def attach_socket(self, worker_id: str, socket: CommandSocket) -> None:
        """WORKER_NOT_FOUND when it is not registered. May send queued commands before it returns."""
        ...

    async def detach_socket(self, worker_id: str, socket: CommandSocket) -> None: ...

    async def ready(self) -> bool: ...

    async def flush(self) -> None: ...
