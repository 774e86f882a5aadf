"""An engine in a few dicts: enough behaviour for the edge to be tested over real sockets."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, cast

from muster.blueprint.registry import Registry
from muster.core.graph import Edge, Graph
from muster.core.ids import JobId, UnixMs, new_job_id, split_task_id, task_id
from muster.core.matching import Offer
from muster.core.record import Context, JobRecord, Submission, Wait
from muster.core.status import JobStatus
from muster.engine.approval_tokens import ApprovalTokens
from muster.engine.approvals import Caller, Given, Look, Standing
from muster.engine.bulk import Bulk
from muster.engine.connections import Connections
from muster.engine.demand import TaskDemand
from muster.engine.figures import Figures
from muster.engine.files import Files
from muster.engine.jobs import Jobs
from muster.engine.journal import EventsReply, EventsReport, LogEntry, LogPage, Steps, StepView
from muster.engine.limits import Limits
from muster.engine.live import CaughtUp, JobChanged, Page
from muster.engine.live_events import FROM_THE_START, JobEnded, LinePlace, LiveEvent
from muster.engine.many_jobs import ManyJobs
from muster.engine.migrations import Order as MigrationOrder
from muster.engine.migrations import Page as MigrationPage
from muster.engine.operations import Operations
from muster.engine.pausing import Pausing
from muster.engine.planning import Planning
from muster.engine.reasons import Code, Explanation, Reason
from muster.engine.retrying import Retrying
from muster.engine.searching import Searching
from muster.engine.settings import EngineSettings, FileSettings
from muster.engine.story import Place
from muster.engine.versions import Versions
from muster.engine.views import (
    Batch,
    BatchMember,
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
from muster.errors import ErrorCode, MusterError
from muster.observe.metrics import Metrics
from muster.store.index import DayCost
from muster.store.journal import Stream
from muster.store.memory.store import MemoryState, MemoryStore
from muster_worker.event_wire import StepFields

NOW = UnixMs(1_705_314_600_123)


@dataclass
class FakeBlueprint:
    name: str
    endpoint: str
    graph: Graph
    version: str = "1"
    api_version: str = "v1"
    description: str = ""
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "object"})

    def input_schema(self) -> Mapping[str, Any]:
        return self.schema

    def output_schema(self) -> Mapping[str, Any]:
        return {"type": "array"}


class FakeBlueprints:
    def __init__(self, blueprints: Iterable[FakeBlueprint]) -> None:
        self.all = {blueprint.name: blueprint for blueprint in blueprints}

    def names(self) -> list[str]:
        return list(self.all)

    def get(self, name: str, /) -> FakeBlueprint | None:
        return self.all.get(name)

    def by_endpoint(self, api_version: str, endpoint: str, /) -> FakeBlueprint | None:
        found = (b for b in self.all.values() if (b.api_version, b.endpoint) == (api_version, endpoint))
        return next(found, None)


def graph(name: str, *edges: tuple[str, str, str]) -> Graph:
    return Graph(name, "1", "start", ("start",), tuple(Edge(*edge) for edge in edges))


ORDER_SCHEMA = {
    "type": "object",
    "properties": {
        "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "const": {"type": ["integer", "null"], "exclusiveMinimum": 0},
    },
    "$defs": {"Line": {"type": "object", "properties": {"sku": {"const": "a"}, "next": {"$ref": "#/$defs/Line"}}}},
}


def blueprints() -> FakeBlueprints:
    return FakeBlueprints(
        [
            FakeBlueprint("simple_flow", "jobs/simple_flow", graph("simple_flow", ("start", "success", "finished"))),
            FakeBlueprint(
                "approval_flow", "jobs/approval_flow", graph("approval_flow", ("start", "approved", "finished"))
            ),
            FakeBlueprint("orders", "shop/orders/new", graph("orders"), api_version="v2", schema=ORDER_SCHEMA),
        ]
    )


def _no_hint(_job: JobId, _delay_ms: int) -> None:
    """Nobody ticks here."""


async def _nothing_to_prune() -> int:
    return 0


class FakeApprovals:
    def __init__(self, engine: "FakeEngine") -> None:
        self._engine = engine
        self.tokens = ApprovalTokens(b"fake")

    async def decide(self, job_id: str, given: Given, caller: Caller) -> Standing:
        engine = self._engine
        engine._check()
        record = engine.records.get(job_id)
        if record is None or caller.token == "wrong" or caller.tenant not in (None, record.tenant):
            raise MusterError(ErrorCode.JOB_NOT_FOUND, "Job not found")
        if record.status is not JobStatus.WAITING_FOR_HUMAN:
            raise MusterError(ErrorCode.NOT_WAITING_FOR_DECISION, "not waiting")
        if given.decision not in {"approved", "rejected"}:
            raise MusterError(ErrorCode.UNKNOWN_DECISION, "unknown", extra={"allowed": ["approved", "rejected"]})
        told = {"decision": given.decision, "by": given.by, "note": given.note}
        engine.decisions.append({**told, "token": caller.token, "tenant": caller.tenant})
        engine.end(job_id, JobStatus.FINISHED)
        return Standing(given.decision, 1, ())

    async def delegate(self, job_id: str, approver: str, to: str, note: str, caller: Caller) -> None:
        raise NotImplementedError

    async def look(self, job_id: str, token: str) -> Look:
        raise MusterError(ErrorCode.JOB_NOT_FOUND, "Job not found")

    async def inbox(self, tenant: str, *, approver: str | None, limit: int, cursor: str | None) -> JobPage:
        asking = [record for record in self._engine.records.values() if record.tenant == tenant]
        return JobPage(tuple(r for r in asking if r.status is JobStatus.WAITING_FOR_HUMAN), None)


class FakeEngine:
    def __init__(self, registry: FakeBlueprints | None = None) -> None:
        self.blueprints = registry or blueprints()
        self.versions = Versions(MemoryStore(MemoryState()), Registry(), lambda: NOW, 1_000)
        self.counters = Metrics(version="0")
        store = MemoryStore(MemoryState())
        self.files = Files(store, FileSettings(Path("/nonexistent")), b"secret")
        self.figures = Figures(store, _nothing_to_prune, asyncio.ensure_future)
        self.connections = Connections(store, Registry(), (), self.submit, self.tagged, self.files.check_inputs)
        self.limits = Limits(store, 1, Metrics())
        pausing = Pausing(store, cast("Any", self), cast("Any", None), cast("Any", None), _no_hint, history=False)
        searching, nothing = Searching(store), cast("Any", None)
        retrying = Retrying(store, Registry(), cast("Any", self), nothing, nothing, EngineSettings("r1"))
        many = ManyJobs(searching, nothing, nothing, pausing, retrying)
        self.operations = Operations(pausing, retrying, searching, many)  # tests/operations ask it of a store with jobs
        self.approvals = FakeApprovals(self)
        self.bulk = Bulk(store, cast("Jobs", None), EngineSettings("fake"), lambda _job, _delay_ms: None)
        self.planning = Planning(store, self.connections, lambda: NOW)
        self.records: dict[str, JobRecord] = {}
        self.orders: list[JobOrder] = []
        self.keys: dict[tuple[str, str], JobId] = {}
        self.fleet: dict[str, WorkerView] = {}
        self.descriptions: list[WorkerDescription] = []
        self.worker_orders: list[tuple[str, str, int | None]] = []
        self.patches: list[WorkerPatch] = []
        self.signs: list[LeaseSign] = []
        self.queue: list[Lease] = []
        self.held: dict[str, str] = {}
        self.done: set[str] = set()
        self.reports: list[TaskReport] = []
        self.polls: list[tuple[str, int, int]] = []
        self.free: FreeSlots | None = None
        """What the last poll or report said of task types."""
        self.poll_cancelled = asyncio.Event()
        self.poll_started = asyncio.Event()
        self.arrived = asyncio.Event()
        self.is_draining = False
        self.progress_seen: list[tuple[str, str, float, str]] = []
        self.sockets: dict[str, CommandSocket] = {}
        self.decisions: list[dict[str, Any]] = []
        self.signals: list[dict[str, Any]] = []
        self.to_cancel: dict[str, list[str]] = {}
        self.waits: list[tuple[int, int | None]] = []
        self.events: list[EventsReport] = []
        self.log: list[LogEntry] = []
        self.log_dropped = 0
        self.log_grew = asyncio.Event()
        self.follower_left = asyncio.Event()
        self.flushed = 0
        self.is_ready = True
        self.trouble: BaseException | None = None
        self._numbers = itertools.count(1)

    def _check(self) -> None:
        if self.trouble is not None:
            raise self.trouble

    # jobs

    async def submit(self, order: JobOrder) -> Submitted:
        self._check()
        if "bad" in order.initial_data:
            raise MusterError(ErrorCode.INVALID_INPUT, "initial_data/bad", extra={"errors": [{"pointer": "/bad"}]})
        self.orders.append(order)
        if order.idempotency_key is not None:
            known = self.keys.get((order.tenant, order.idempotency_key))
            if known is not None:
                return Submitted(known, created=False)
        record = self.new_record(order)
        if order.idempotency_key is not None:
            self.keys[order.tenant, order.idempotency_key] = record.id
        self.counters.jobs.labels(order.blueprint).inc()
        if order.wait_ms and order.initial_data.get("quick"):
            record = self.end(record.id, JobStatus.FINISHED)
        return Submitted(record.id, created=True, record=record if order.wait_ms else None)

    def new_record(self, order: JobOrder) -> JobRecord:
        job_id = new_job_id(NOW, 0, next(self._numbers))
        human = order.blueprint == "approval_flow"
        edges = {"approved": "finished", "rejected": "failed", "late": "failed"}
        wait = Wait("human", edges, message="Really?") if human else Wait("task", {"success": "finished"}, 0, 1)
        record = JobRecord(
            id=job_id,
            tenant=order.tenant,
            blueprint=order.blueprint,
            blueprint_version="1",
            status=JobStatus.WAITING_FOR_HUMAN if human else JobStatus.WAITING_FOR_WORKER,
            state="start",
            version=1,
            revision=1,
            wave=1,
            next_task=1,
            submission=Submission(order.initial_data, order.webhook_url, order.trace),
            context=Context(wait=wait),
            created_at=NOW,
            updated_at=NOW,
        )
        self.records[job_id] = record
        if not human:
            self.queue.append(self.lease(job_id, order.initial_data))
        return record

    def lease(self, job_id: JobId, params: Mapping[str, Any]) -> Lease:
        body = {"type": "work", "params": params, "timeout_seconds": 300, "priority": 0, "tracing_context": {}}
        return Lease(job_id, task_id(job_id, 0), 1, "f1", 8000, body)

    def end(self, job_id: str, status: JobStatus) -> JobRecord:
        record = replace(self.records[job_id], status=status, finished_at=NOW, revision=2, result={"ok": True})
        self.records[job_id] = record
        return record

    async def job(self, tenant: str, job_id: str) -> JobRecord:
        self._check()
        record = self.records.get(job_id)
        if record is None or record.tenant != tenant:
            raise MusterError(ErrorCode.JOB_NOT_FOUND, "Job not found")
        return record

    async def wait(self, tenant: str, job_id: str, *, timeout_ms: int, since: int | None) -> JobRecord:
        self.waits.append((timeout_ms, since))
        return await self.job(tenant, job_id)

    async def jobs(
        self,
        tenant: str,
        *,
        limit: int,
        cursor: str | None,
        statuses: frozenset[JobStatus] | None,
        blueprint: str | None,
    ) -> JobPage:
        self._check()
        start = int(cursor or 0)
        found = [
            record
            for record in self.records.values()
            if record.tenant == tenant
            and (statuses is None or record.status in statuses)
            and blueprint in (None, record.blueprint)
        ]
        more = str(start + limit) if len(found) > start + limit else None
        return JobPage(tuple(found[start : start + limit]), more)

    async def tagged(self, tenant: str, tag: str, *, limit: int, cursor: str | None = None) -> JobPage:
        page = await self.jobs(tenant, limit=limit, cursor=cursor, statuses=None, blueprint=None)
        return JobPage(tuple(record for record in page.items if tag in record.submission.tags), page.next)

    async def start_batch(
        self, tenant: str, batch_id: str | None, members: Sequence[JobOrder]
    ) -> tuple[str, tuple[JobId, ...]]:
        tag = f"batch:{batch_id or 'made-up'}"
        started = [await self.submit(replace(order, tags=(tag, *order.tags))) for order in members]
        return batch_id or "made-up", tuple(submitted.job_id for submitted in started)

    async def batch(self, tenant: str, batch_id: str) -> Batch:
        self._check()
        members = tuple(BatchMember(record.id, record.status, 0) for record in self.records.values())
        if not members:
            raise MusterError(ErrorCode.BATCH_NOT_FOUND, "Batch not found")
        return Batch(batch_id, members, {JobStatus.PENDING: len(members)}, 0)

    async def cancel_batch(self, tenant: str, batch_id: str) -> int:
        return len((await self.batch(tenant, batch_id)).members)

    async def find(
        self,
        tenant: str,
        *,
        statuses: frozenset[JobStatus] | None,
        limit: int,
        offset: int,
        begun: bool | None = None,
    ) -> Found:
        page = await self.jobs(tenant, limit=10_000, cursor=None, statuses=statuses, blueprint=None)
        found = [record for record in page.items if begun in (None, record.has_begun)]
        return Found(tuple(found[offset : offset + limit]), len(found))

    async def costs(self, tenant: str, since: date, until: date) -> tuple[DayCost, ...]:
        self._check()
        days = (since, until)
        return tuple(DayCost(day, "simple_flow", 1, 1500, 3000) for day in days)

    async def durations(self, tenant: str, meter: str) -> tuple[int, ...]:
        self._check()
        return ()

    async def delete(self, tenant: str, job_id: str) -> None:
        del self.records[(await self.job(tenant, job_id)).id]

    async def history(self, tenant: str, job_id: str) -> list[HistoryEvent]:
        record = await self.job(tenant, job_id)
        return [HistoryEvent("e1", record.id, NOW, "job_created", state="start", details={"by": "test"})]

    async def why(self, tenant: str, job_id: str) -> Explanation:
        below = Reason(Code.TIMER, "it sleeps", until=NOW, details={"then": "awake"})
        reason = Reason(Code.CHILD, "it waits", since=NOW, details={"child_id": "c"}, reasons=(below,))
        return Explanation(await self.job(tenant, job_id), NOW, (reason,))

    async def order(self, worker_id: str, order: str, slots: int | None = None) -> WorkerView:
        if worker_id not in self.fleet:
            raise MusterError(ErrorCode.WORKER_NOT_FOUND, "it is not registered")
        self.worker_orders.append((worker_id, order, slots))
        return replace(self.fleet[worker_id], order="" if order == "resume" else order, ordered_slots=slots)

    async def wanted(self, having: Offer | None = None) -> tuple[TaskDemand, ...]:
        self._check()
        return (TaskDemand("image.resize", queued=5, running=2, workers=2, slots=6, wanted_workers=3),)

    async def cancel(self, tenant: str, job_id: str, *, queued: bool = False) -> bool:
        record = await self.job(tenant, job_id)
        if record.status.is_final:
            raise MusterError(ErrorCode.JOB_FINAL, "the job has ended")
        worker = self.held.get(task_id(record.id, 0))
        socket = self.sockets.get(worker or "")
        self.records[job_id] = replace(record, cancel_requested=True)
        return socket is not None and await socket.send_cancel(job_id, task_id(record.id, 0))

    async def signal(self, tenant: str, job_id: str, name: str, data: Mapping[str, Any]) -> None:
        record = await self.job(tenant, job_id)
        if record.status.is_final:
            raise MusterError(ErrorCode.JOB_FINAL, "over")
        self.signals.append({"job": job_id, "name": name, "data": data})

    # fleet

    def webhook_secret(self, tenant: str) -> str:
        return f"whsec_of_{tenant}"

    async def dashboard(self) -> Dashboard:
        self._check()
        return Dashboard(
            {"total": 1, "idle": 1, "busy": 0}, {"queued": 2, "running": 3}, {"queued": 2, "running": 1}, NOW
        )

    async def workers(self) -> list[WorkerView]:
        self._check()
        return list(self.fleet.values())

    async def register(self, worker: WorkerDescription) -> object:
        self._check()
        self.descriptions.append(worker)
        self.fleet[worker.worker_id] = WorkerView(
            worker_id=worker.worker_id,
            worker_type=worker.facts.get("worker_type"),
            supported_tasks=worker.supported_tasks,
            status="idle",
            load=0.0,
            current_tasks=(),
            max_concurrent_tasks=worker.max_concurrent_tasks,
            cost_per_second=worker.cost_per_second,
            resources=worker.facts.get("resources", {}),
            capabilities=worker.facts.get("capabilities", {}),
            registered_at=NOW,
            last_seen_at=NOW,
            protocol=worker.protocol,
        )
        return None

    def known(self, worker_id: str) -> WorkerView:
        self._check()
        if worker_id not in self.fleet:
            raise MusterError(ErrorCode.WORKER_NOT_FOUND, f"worker {worker_id!r} is not registered")
        return self.fleet[worker_id]

    async def heartbeat(self, worker_id: str, patch: WorkerPatch, leases: tuple[LeaseSign, ...]) -> HeartbeatReply:
        view = self.known(worker_id)
        self.patches.append(patch)
        self.signs.extend(leases)
        changed: dict[str, Any] = {"status": patch.status, "load": patch.load, "supported_tasks": patch.supported_tasks}
        view = replace(view, **{name: value for name, value in changed.items() if value is not None})
        self.fleet[worker_id] = view
        lost = tuple(sign.task_id for sign in leases if sign.fence == "old")
        return HeartbeatReply(view, tuple(self.to_cancel.get(worker_id, ())), lost)

    # tasks

    async def poll(
        self, worker_id: str, *, timeout_ms: int, max_tasks: int, free: FreeSlots | None = None
    ) -> tuple[Lease, ...]:
        self.known(worker_id)
        self.free = free
        self.polls.append((worker_id, timeout_ms, max_tasks))
        taken = self.take(worker_id, max_tasks)
        if taken or not timeout_ms:
            return taken
        self.poll_started.set()
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                while not self.queue and not self.is_draining:
                    self.arrived.clear()
                    await self.arrived.wait()
        except TimeoutError:
            return ()
        except asyncio.CancelledError:
            self.poll_cancelled.set()
            raise
        return self.take(worker_id, max_tasks)

    def give(self, count: int) -> list[str]:
        """So many new tasks, for whoever polls; their ids."""
        given = [self.new_record(JobOrder("alice", "simple_flow", {"n": n})).id for n in range(count)]
        self.arrived.set()
        return [task_id(job_id, 0) for job_id in given]

    def drain(self) -> None:
        """Polls come back at once with nothing."""
        self.is_draining = True
        self.arrived.set()

    def take(self, worker_id: str, most: int) -> tuple[Lease, ...]:
        taken, self.queue = tuple(self.queue[:most]), self.queue[most:]
        self.held.update({lease.task_id: worker_id for lease in taken})
        return taken

    async def report(self, report: TaskReport, *, next_tasks: int, free: FreeSlots | None = None) -> ReportReply:
        self._check()
        self.free = free
        parts = split_task_id(report.task_id)
        if report.job_id not in self.records:
            raise MusterError(ErrorCode.JOB_NOT_FOUND, "Job not found")
        if parts is None or report.task_id not in self.held:
            raise MusterError(ErrorCode.TASK_NOT_FOUND, "Task not found")
        if self.held[report.task_id] != report.worker_id:
            raise MusterError(ErrorCode.FORBIDDEN, "held by another worker")
        if report.task_id in self.done:
            return ReportReply("ignored", "duplicate")
        self.done.add(report.task_id)
        self.reports.append(report)
        outcome = report.status if report.status in {"failure", "cancelled"} else "success"
        return ReportReply(outcome, None, self.take(report.worker_id, next_tasks) if next_tasks else ())

    async def report_all(
        self, reports: Sequence[TaskReport], *, next_tasks: int, free: FreeSlots | None = None
    ) -> tuple[list[ReportReply | BaseException], tuple[Lease, ...]]:
        calls = (self.report(report, next_tasks=0) for report in reports)
        replies = await asyncio.gather(*calls, return_exceptions=True)
        self.free = free
        return list(replies), self.take(reports[0].worker_id, next_tasks)

    async def progress(self, worker_id: str, task_id: str, fraction: float, message: str) -> None:
        self._check()
        self.progress_seen.append((worker_id, task_id, fraction, message))

    async def take_events(self, report: EventsReport) -> EventsReply:
        self._check()
        if report.task_id not in self.held:
            raise MusterError(ErrorCode.TASK_NOT_FOUND, "Task not found")
        if self.held[report.task_id] != report.worker_id:
            raise MusterError(ErrorCode.FORBIDDEN, "held by another worker")
        if report.fence == "old":
            return EventsReply(None)
        self.events.append(report)
        return EventsReply(report.first + len(report.entries) - 1, self.records[report.task_id[:36]].cancel_requested)

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
        await self.job(tenant or self.records[job_id].tenant, job_id)
        if any(entry.seq == seq for entry in self.log):
            return False
        self.log.append(LogEntry(seq, at or NOW, stream, text, f"{job_id}.0"))
        self.log_grew.set()
        return True

    async def logs(self, tenant: str, job_id: str, *, after: int, limit: int, stream: Stream | None) -> LogPage:
        record = await self.job(tenant, job_id)
        fitting = [entry for entry in self.log if entry.seq > after and stream in (None, entry.stream)]
        items = tuple(fitting[:limit])
        is_end = record.status.is_final and len(items) == len(fitting)
        return LogPage(items, items[-1].seq if items else after, self.log_dropped, is_end)

    async def last_line(self, tenant: str, job_id: str) -> int:
        await self.job(tenant, job_id)
        return max((entry.seq for entry in self.log), default=0)

    async def follow_job(
        self, tenant: str, job_id: str, *, after: LinePlace = FROM_THE_START, quiet_s: float
    ) -> AsyncGenerator[LiveEvent | None, None]:
        yield JobEnded(await self.job(tenant, job_id))

    async def follow_tenant(
        self, tenant: str, *, quiet_s: float, since_ms: int | None = None
    ) -> AsyncGenerator[LiveEvent | None, None]:
        for record in list(self.records.values()):
            if record.tenant == tenant:
                yield JobChanged(record)

    async def follow_logs(
        self,
        tenant: str,
        job_id: str,
        *,
        after: int,
        stream: Stream | None,
        quiet_s: float,
    ) -> AsyncGenerator[LogPage, None]:
        while True:
            page = await self.logs(tenant, job_id, after=after, limit=10, stream=stream)
            yield page
            if page.is_end:
                return
            after = page.position
            self.log_grew.clear()
            try:
                await self.log_grew.wait()
            except BaseException:
                self.follower_left.set()
                raise

    async def follow_pages(
        self, tenant: str, job_id: str, *, after: LinePlace = FROM_THE_START, quiet_s: float
    ) -> AsyncGenerator[Page | None, None]:
        record = await self.job(tenant, job_id)
        yield Page((JobChanged(record),), Place.after(after), is_last=True, is_end=False)

    async def follow_tenant_pages(
        self, tenant: str, *, quiet_s: float, since_ms: int | None = None
    ) -> AsyncGenerator[Page | CaughtUp, None]:
        yield CaughtUp(NOW, is_quiet=True)

    async def steps(self, tenant: str, job_id: str) -> Steps:
        record = await self.job(tenant, job_id)
        fields = StepFields(index=0, name="load", status="running", started_at=NOW, metadata={}).model_dump()
        view = StepView(task_id(record.id, 0), fields.pop("index"), 1, fields)
        return Steps((view,), {"rows": "3"})

    async def job_status(self, job_id: str) -> JobStatus | None:
        return self.records[job_id].status

    async def attach_socket(self, worker_id: str, socket: CommandSocket) -> None:
        self.known(worker_id)
        previous = self.sockets.get(worker_id)
        self.sockets[worker_id] = socket
        if previous is not None:
            await previous.close_replaced()
        for task in self.to_cancel.get(worker_id, ()):
            await socket.send_cancel(task.partition(".")[0], task)

    async def detach_socket(self, worker_id: str, socket: CommandSocket) -> None:
        if self.sockets.get(worker_id) is socket:
            del self.sockets[worker_id]

    async def migrate(self, name: str, order: MigrationOrder, cursor: str | None = None) -> MigrationPage:
        raise NotImplementedError

    async def ready(self) -> bool:
        self._check()
        return self.is_ready

    async def flush(self) -> None:
        self._check()
        self.records.clear()
        self.fleet.clear()
        self.flushed += 1
