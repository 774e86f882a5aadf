"""The verbs of the service. Each is a short story over the store, the core and the dispatcher."""

import asyncio
import base64
import hashlib
import hmac
import logging
import random
import secrets
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from muster.blueprint.problems import InputInvalid
from muster.blueprint.registry import Registry
from muster.core import events as ev
from muster.core.decisions import CANCELLED, FAILURE, LATE, SUCCESS
from muster.core.ids import JobId, UnixMs, is_job_id, new_job_id, partition_of, split_task_id
from muster.core.record import Context, DecisionItem, JobRecord, Submission, TaskItem
from muster.core.retry import Again, TaskRules, after_failure
from muster.core.status import JobStatus
from muster.engine.dispatch import Dispatcher, Waiter
from muster.engine.fleet import Fleet, Known
from muster.engine.ticker import Ticker
from muster.engine.turns import ApprovalTokens, TurnRules, Turns
from muster.engine.views import (
    CommandSocket,
    Dashboard,
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
from muster.engine.watchers import Watchers
from muster.engine.webhooks import UrlRefused, WebhookSender, check_url
from muster.errors import ErrorCode, MusterError
from muster.observe.metrics import Metrics
from muster.store.base import (
    Claimed,
    Completed,
    Completion,
    Existing,
    LeaseRef,
    Mode,
    NewJob,
    RawEvent,
    Refusal,
    Refused,
    Store,
    StoreFull,
    StoreUnavailable,
    Turn,
)
from muster.store.codec import dump_item

log = logging.getLogger("muster.engine")

SETTLE_S: Final = 0.1
"""An answer waits so long for the turn it caused, so that the caller finds the job moved on."""
DRAIN_S: Final = 10.0
PAGE_SCAN_MAX: Final = 1_000
"""Jobs a filtered listing reads for one page before it returns what it has."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Durations in ms. See muster.settings for the defaults and their reasons."""

    replica: str
    partitions: int = 1
    registration_ttl_ms: int = 120_000
    heartbeat_ms: int = 2_000
    lease_ms: int = 8_000
    delivery_lease_ms: int = 5_000
    poll_ms: int = 30_000
    cancel_grace_ms: int = 30_000
    task_retries: int = 3
    task_timeout_ms: int = 300_000
    retention_ms: int = 604_800_000
    history: bool = True
    approvals_need_token: bool = False
    webhooks_allow_private: bool = True


class Engine:
    """Stateless but for waiting polls and sockets: everything else is in the store."""

    def __init__(
        self, store: Store, blueprints: Registry, settings: EngineSettings, metrics: Metrics, secret: str
    ) -> None:
        self.settings = settings
        self.blueprints = blueprints
        self.counters = metrics
        self._store = store
        self._secret = secret.encode()
        self._owned: set[asyncio.Task[None]] = set()
        self._draining = False
        self._tokens = ApprovalTokens(self._secret)
        self._fleet = Fleet(store, replica=settings.replica, ttl_ms=settings.registration_ttl_ms)
        self._dispatcher = Dispatcher(
            store,
            replica=settings.replica,
            partitions=settings.partitions,
            spawn=self._spawn,
            history=settings.history,
        )
        self._webhooks = WebhookSender(self.webhook_key, allow_private=settings.webhooks_allow_private)
        rules = TurnRules(settings.task_retries, settings.task_timeout_ms, settings.retention_ms, settings.history)
        self._turns = Turns(store, blueprints, self._dispatcher, metrics, rules, self._tokens)
        self._watchers = Watchers(store, settings.replica)
        self._tickers = [self._ticker(partition) for partition in range(settings.partitions)]
        self._turns.on_timer = self._hint
        self._turns.on_final = self._watchers.ended

    def _ticker(self, partition: int) -> Ticker:
        return Ticker(
            self._store,
            self._turns,
            self._dispatcher,
            self._webhooks,
            self.counters,
            replica=self.settings.replica,
            partition=partition,
            patient_lease_ms=self.settings.registration_ttl_ms,
            spawn=self._spawn,
        )

    def _hint(self, job: JobId, delay_ms: int) -> None:
        self._tickers[partition_of(job)].hint(delay_ms)

    # Life

    def start(self) -> None:
        for ticker in self._tickers:
            self._spawn(ticker.run())
        self._spawn(self._fleet.run())

    def drain(self) -> None:
        """Send waiting polls home and take no new ones; what runs goes on."""
        self._draining = True
        self._dispatcher.close()

    async def stop(self) -> None:
        """Finish the turns under way, then end everything."""
        self.drain()
        endless = {t for t in self._owned if t.get_coro().__name__ == "run"}  # type: ignore[union-attr]
        if under_way := self._owned - endless:
            await asyncio.wait(under_way, timeout=DRAIN_S)
        for task in list(self._owned):
            task.cancel()
        await asyncio.gather(*self._owned, return_exceptions=True)
        await self._webhooks.close()
        self._turns.close()

    def on_message(self, partition: int, text: str) -> None:
        """A message to this replica: `c|class` work is ready, `j|job` it changed, `x|worker|task` cancel."""
        kind, _, rest = text.partition("|")
        if kind == "c":
            self._dispatcher.woken(partition, rest)
        elif kind == "j":
            self._watchers.announce(JobId(rest))
        elif kind == "x":
            worker, _, task = rest.partition("|")
            self._spawn(self._send_cancel_here(worker, task))

    async def _send_cancel_here(self, worker: str, task: str) -> None:
        await self._fleet.send_cancel_here(worker, task)

    def on_reconnect(self) -> None:
        self._dispatcher.forget_registrations()
        self._watchers.announce_all()

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(coroutine)
        self._owned.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._owned.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, StoreUnavailable | StoreFull):
            log.warning("task_put_off", extra={"error": str(error)})  # the ticker takes it up again
        else:
            log.error("task_crashed", exc_info=error)

    async def _settle(self, turn: Turn, waiter: Waiter | None = None) -> None:
        """Run the turn on its own; wait a moment for it."""
        await asyncio.wait({self._spawn(self._turns.run(turn, waiter))}, timeout=SETTLE_S)

    async def ready(self) -> bool:
        return not self._draining and await self._store.ping()

    async def flush(self) -> None:
        await self._store.flush()
        self._fleet.forget()
        self._dispatcher.forget_registrations()

    # Jobs

    async def submit(self, order: JobOrder) -> Submitted:
        """Store a new job. It exists when this returns.

        Raises:
            MusterError: BLUEPRINT_NOT_FOUND, INVALID_INPUT, WEBHOOK_URL_REFUSED, IDEMPOTENCY_CONFLICT, SHUTTING_DOWN.
        """
        blueprint = self.blueprints.get(order.blueprint)
        if blueprint is None:
            raise MusterError(ErrorCode.BLUEPRINT_NOT_FOUND, f"there is no blueprint {order.blueprint!r}")
        if self._draining:
            raise MusterError(ErrorCode.SHUTTING_DOWN, "this server is shutting down", retry_after_s=1)
        self._check_input(order)
        job = self._job_id(order)
        new = NewJob(
            id=job,
            tenant=order.tenant,
            blueprint=blueprint.name,
            blueprint_version=blueprint.version,
            state=blueprint.graph.start,
            submission=Submission(order.initial_data, order.webhook_url, order.trace),
            context=Context(),
            history=_blob(ev.event(ev.JOB_CREATED, state=blueprint.graph.start)) if self.settings.history else "",
            idempotency_key=order.idempotency_key or "",
            fingerprint=_fingerprint(order) if order.idempotency_key else "",
            watcher=self.settings.replica if order.wait_ms else "",
        )
        with self._watchers.watch(job) as watch:
            due = await self._turns.begin(new, secrets.token_hex(8))
            if isinstance(due, Existing):
                return await self._existing(order, due)
            self.counters.jobs.labels(blueprint.name).inc()
            if due is not None:
                await self._settle(due)
            if not order.wait_ms:
                return Submitted(job, created=True)
            return Submitted(job, created=True, record=await self._watchers.end(job, watch, order.wait_ms))

    def _check_input(self, order: JobOrder) -> None:
        if order.webhook_url is not None:
            try:
                check_url(order.webhook_url, allow_private=self.settings.webhooks_allow_private)
            except UrlRefused as error:
                raise MusterError(ErrorCode.WEBHOOK_URL_REFUSED, f"webhook_url: {error}") from error
        blueprint = self.blueprints.get(order.blueprint)
        assert blueprint is not None
        try:
            blueprint.validate_input(order.initial_data)
        except InputInvalid as error:
            raise MusterError(
                ErrorCode.INVALID_INPUT,
                f"initial_data does not fit blueprint {order.blueprint!r}: {error}",
                extra={"errors": error.errors},
            ) from error

    def _job_id(self, order: JobOrder) -> JobId:
        """Jobs with one idempotency key meet in one partition; the others are spread."""
        if order.idempotency_key:
            digest = hashlib.blake2b(f"{order.tenant}\0{order.idempotency_key}".encode(), digest_size=4).digest()
            partition = int.from_bytes(digest) % self.settings.partitions
        else:
            partition = secrets.randbelow(self.settings.partitions)
        return new_job_id(UnixMs(int(time.time() * 1000)), partition, secrets.randbits(62))

    async def _existing(self, order: JobOrder, existing: Existing) -> Submitted:
        if existing.fingerprint != _fingerprint(order):
            raise MusterError(
                ErrorCode.IDEMPOTENCY_CONFLICT,
                f"Idempotency-Key {order.idempotency_key!r} was used for another request, job {existing.id}",
                hint="use a new key for a new job; keys are kept for 24 hours",
            )
        record = None
        if order.wait_ms:
            record = await self._watchers.wait(existing.id, None, order.wait_ms)
        return Submitted(existing.id, created=False, record=record)

    async def job(self, tenant: str, job_id: str) -> JobRecord:
        """Raises: MusterError JOB_NOT_FOUND for unknown ids and for those of other tenants alike."""
        record = await self._store.read(JobId(job_id)) if is_job_id(job_id) else None
        if record is None or record.tenant != tenant:
            raise _job_not_found()
        return record

    async def wait(self, tenant: str, job_id: str, *, timeout_ms: int, since: int | None) -> JobRecord:
        """The job when it is final or its revision is above *since*, or as it is after *timeout_ms*."""
        record = await self.job(tenant, job_id)
        if record.status.is_final or (since is not None and record.revision > since):
            return record
        return await self._watchers.wait(record.id, since, timeout_ms) or record

    async def jobs(
        self,
        tenant: str,
        *,
        limit: int,
        cursor: str | None,
        statuses: frozenset[JobStatus] | None,
        blueprint: str | None,
    ) -> JobPage:
        """Newest first. A page may be short before the end: the cursor decides."""
        before = _read_cursor(cursor)
        found: list[JobRecord] = []
        for _ in range(PAGE_SCAN_MAX // max(limit, 1) + 1):
            page = await self._store.jobs(tenant, before, limit)
            if not page:
                return JobPage(tuple(found), None)
            for record in page:
                before = record.finished_at or record.created_at
                if (statuses is None or record.status in statuses) and blueprint in (None, record.blueprint):
                    found.append(record)
                if len(found) >= limit:
                    return JobPage(tuple(found), str(before))
        return JobPage(tuple(found), str(before))

    async def history(self, tenant: str, job_id: str) -> list[HistoryEvent]:
        record = await self.job(tenant, job_id)
        if not self.settings.history:
            return []
        return [_history_event(record.id, i, raw) for i, raw in enumerate(await self._store.history(record.id))]

    async def cancel(self, tenant: str, job_id: str) -> bool:
        """Ask for a job's end. True when a live socket took the command; the stored flag is set in any case."""
        record = await self.job(tenant, job_id)
        entry = _blob(ev.event(ev.CANCEL_REQUESTED, state=record.state)) if self.settings.history else ""
        reply = await self._store.cancel(record.id, secrets.token_hex(8), self.settings.cancel_grace_ms, entry)
        if isinstance(reply, Refused):
            if reply.why is Refusal.FINAL:
                raise _job_final(record)
            raise _job_not_found()
        if isinstance(reply, Turn):
            await self._settle(reply)
            return False
        self._hint(record.id, self.settings.cancel_grace_ms)
        sent = [await self._fleet.send_cancel(worker, task) for task, worker in reply]
        return any(sent)

    async def decide(
        self, job_id: str, decision: str, *, by: str, note: str, token: str | None, tenant: str | None
    ) -> None:
        """A person's answer. The first valid one wins.

        Raises:
            MusterError: JOB_NOT_FOUND (also for a wrong token), NOT_WAITING_FOR_DECISION, UNKNOWN_DECISION.
        """
        record = await self._store.read(JobId(job_id)) if is_job_id(job_id) else None
        if record is None or not self._may_decide(record, token, tenant):
            raise _job_not_found()
        wait = record.context.wait
        if record.status is not JobStatus.WAITING_FOR_HUMAN or wait is None:
            raise _not_waiting(record)
        choices = sorted(word for word in wait.edges if word not in {LATE, CANCELLED})
        if decision not in choices:
            raise MusterError(
                ErrorCode.UNKNOWN_DECISION,
                f"decision {decision!r} is not one of {', '.join(choices)}",
                extra={"allowed": choices},
            )
        entry = ev.event(
            ev.APPROVAL_RECEIVED,
            state=record.state,
            next_state=wait.edges[decision],
            details={"decision": decision, "by": by, "comment": note},
        )
        item = dump_item(DecisionItem(decision, by, note))
        blob = _blob(entry) if self.settings.history else ""
        reply = await self._store.signal(record.id, record.wave, item, blob, secrets.token_hex(8))
        if isinstance(reply, Turn):
            await self._settle(reply)
        elif reply.why is not Refusal.TAKEN:
            raise _not_waiting(record)

    def _may_decide(self, record: JobRecord, token: str | None, tenant: str | None) -> bool:
        if tenant is not None:
            return record.tenant == tenant
        if token is not None:
            return hmac.compare_digest(token.encode("utf-8", "surrogateescape"), self._token_of(record).encode())
        return not self.settings.approvals_need_token

    def _token_of(self, record: JobRecord) -> str:
        return self._tokens.of(record.id, record.wave)

    async def approval_token(self, record: JobRecord) -> str | None:
        """What the owner may hand to whoever is to decide; one for each wait."""
        return self._token_of(record) if record.status is JobStatus.WAITING_FOR_HUMAN else None

    def webhook_key(self, tenant: str) -> bytes:
        """The key that signs this tenant's webhooks; `whsec_` + base64 of it is what the tenant verifies with."""
        return hmac.new(self._secret, f"webhook|{tenant}".encode(), hashlib.sha256).digest()

    def webhook_secret(self, tenant: str) -> str:
        return "whsec_" + base64.b64encode(self.webhook_key(tenant)).decode()

    # Fleet

    async def dashboard(self) -> Dashboard:
        queues = [await self._store.queue(partition) for partition in range(self.settings.partitions)]
        workers = await self._fleet.workers()
        busy = sum(worker.status == "busy" or bool(worker.current_tasks) for worker in workers)
        jobs = {status.value: sum(q.jobs.get(status, 0) for q in queues) for status in JobStatus}
        queued = sum(sum(q.ready.values()) for q in queues)
        return Dashboard(
            workers={"total": len(workers), "idle": len(workers) - busy, "busy": busy},
            jobs={"queued": queued, **jobs},
            tasks={"queued": queued, "running": sum(q.leased for q in queues)},
            now=UnixMs(int(time.time() * 1000)),
        )

    async def workers(self) -> list[WorkerView]:
        return await self._fleet.workers()

    async def register(self, worker: WorkerDescription) -> EngineSettings:
        await self._fleet.register(worker)
        return self.settings

    async def heartbeat(self, worker_id: str, patch: WorkerPatch, leases: tuple[LeaseSign, ...]) -> HeartbeatReply:
        """A sign of life of a worker, and of the tasks it names.

        Raises:
            MusterError: WORKER_NOT_FOUND; it should register again.
        """
        known, cancels = await self._fleet.beat(worker_id, patch)
        cancel, lost = list(cancels), []
        for sign, word in zip(leases, await self._extend(worker_id, leases), strict=True):
            if word == "lost":
                lost.append(sign.task_id)
            elif word == "cancel" and sign.task_id not in cancel:
                cancel.append(sign.task_id)
        return HeartbeatReply(known.view, tuple(cancel), tuple(lost))

    async def _extend(self, worker_id: str, leases: tuple[LeaseSign, ...]) -> list[str]:
        words = ["lost"] * len(leases)
        by_partition: dict[int, list[int]] = {}
        for i, sign in enumerate(leases):
            parts = split_task_id(sign.task_id)
            if parts is not None and partition_of(parts[0]) < self.settings.partitions:
                by_partition.setdefault(partition_of(parts[0]), []).append(i)
        for partition, indexes in by_partition.items():
            refs = [_lease_ref(leases[i]) for i in indexes]
            for i, word in zip(
                indexes, await self._store.extend(partition, worker_id, self.settings.lease_ms, refs), strict=True
            ):
                words[i] = word
        return words

    async def progress(self, worker_id: str, task_id: str, fraction: float, message: str) -> None:
        """Progress told over the socket; says nothing about the lease."""
        parts = split_task_id(task_id)
        if parts is not None and partition_of(parts[0]) < self.settings.partitions:
            ref = LeaseRef(task_id, progress=fraction, message=message)
            await self._store.extend(partition_of(parts[0]), worker_id, 0, (ref,))

    async def attach_socket(self, worker_id: str, socket: CommandSocket) -> None:
        await self._fleet.attach(worker_id, socket)

    async def detach_socket(self, worker_id: str, socket: CommandSocket) -> None:
        await self._fleet.detach(worker_id, socket)

    # Tasks

    async def poll(self, worker_id: str, *, timeout_ms: int, max_tasks: int) -> tuple[Lease, ...]:
        """Tasks for the worker, as soon as there are any; () after *timeout_ms*, and at once for a draining worker."""
        known = await self._fleet.known(worker_id)
        if known.view.status == "draining" or not known.classes:
            await asyncio.sleep(min(timeout_ms, self.settings.heartbeat_ms) / 1000)
            return ()
        waiter = self._waiter(known, max_tasks)
        claimed = await self._dispatcher.wait(waiter, timeout_ms)
        return self._leases(waiter, claimed)

    def _waiter(self, known: Known, wanted: int) -> Waiter:
        lease_ms = self.settings.registration_ttl_ms if known.patient else self.settings.delivery_lease_ms
        return Waiter(known.view.worker_id, known.classes, wanted, lease_ms, known.patient)

    def _leases(self, waiter: Waiter, claimed: list[Claimed]) -> tuple[Lease, ...]:
        lease_ms = self.settings.registration_ttl_ms if waiter.patient else self.settings.lease_ms
        leases: list[Lease] = []
        for task, fence in zip(claimed, waiter.fences, strict=True):
            self.counters.task_wait_seconds.observe(task.waited_ms / 1000)
            body = orjson.loads(task.body)
            leases.append(
                Lease(body["job_id"], task.task, task.attempt, "" if waiter.patient else fence, lease_ms, body)
            )
        return tuple(leases)

    async def report(self, report: TaskReport, *, next_tasks: int) -> ReportReply:
        """Take a worker's result; hand it up to *next_tasks* tasks that are ready now.

        Raises:
            MusterError: TASK_NOT_FOUND, JOB_NOT_FOUND, FORBIDDEN (another worker's task).
        """
        replies, tasks = await self.report_all((report,), next_tasks=next_tasks)
        if isinstance(replies[0], BaseException):
            raise replies[0]
        return replace(replies[0], tasks=tasks)

    async def report_all(
        self, reports: Sequence[TaskReport], *, next_tasks: int
    ) -> tuple[list[ReportReply | BaseException], tuple[Lease, ...]]:
        """Take several results of one worker at once. Errors stand in their places; tasks are for all of them.

        Each report is a task of its own, so that a caller who goes away interrupts neither result nor turn.
        """
        waiter = await self._instant_waiter(reports[0].worker_id, next_tasks)
        loop = asyncio.get_running_loop()
        answers: list[asyncio.Future[ReportReply]] = [loop.create_future() for _ in reports]
        tasks = {
            self._spawn(self._take(report, waiter, answer)) for report, answer in zip(reports, answers, strict=True)
        }
        await asyncio.wait(tasks, timeout=SETTLE_S)
        replies = await asyncio.gather(*answers, return_exceptions=True)
        return replies, self._collect(waiter)

    async def _take(self, report: TaskReport, waiter: Waiter | None, answer: "asyncio.Future[ReportReply]") -> None:
        try:
            turn = await self._complete(report, waiter, answer)
        except (MusterError, StoreUnavailable, StoreFull) as error:
            if not answer.done():
                answer.set_exception(error)
            return
        if turn is not None:
            await self._turns.run(turn, waiter)

    async def _complete(
        self, report: TaskReport, waiter: Waiter | None, answer: "asyncio.Future[ReportReply]"
    ) -> Turn | None:
        """Deliver the result and answer for it; the turn it makes due comes after that."""
        parts = split_task_id(report.task_id)
        if parts is None or parts[0] != report.job_id:
            raise _task_not_found(report)
        completion = await self._completion(report, parts[1])
        seats = self._dispatcher.reserve_for((), 1, waiter) if completion.mode is Mode.DELIVER else None
        if seats is not None:
            completion = replace(completion, claim=seats.claim)
        reply: Completed | Refused = Refused(Refusal.STALE)
        try:
            reply = await self._store.complete(completion)
        finally:
            if seats is not None:
                self._dispatcher.deliver(seats, reply.claimed if isinstance(reply, Completed) else ())
        if isinstance(reply, Refused):
            _answer(answer, await self._refused(report, parts[1], reply))
            return None
        self.counters.tasks.labels(_outcome(report.status)).inc()
        if completion.delay_ms and reply.retried:
            self._hint(parts[0], completion.delay_ms)
        if reply.cancelling:
            await self._store.forget_cancel(report.worker_id, report.task_id)
        _answer(answer, ReportReply(CANCELLED if reply.cancelling else _outcome(report.status)))
        return reply.turn

    async def _instant_waiter(self, worker_id: str, next_tasks: int) -> Waiter | None:
        if next_tasks <= 0 or self._draining:
            return None
        known = await self._fleet.known(worker_id)
        return None if known.view.status == "draining" else self._waiter(known, next_tasks)

    def _collect(self, waiter: Waiter | None) -> tuple[Lease, ...]:
        if waiter is None:
            return ()
        waiter.gone = True  # what is claimed from here on goes back
        return self._leases(waiter, waiter.got)

    async def _completion(self, report: TaskReport, number: int) -> Completion:
        job = JobId(report.job_id)
        mode, delay_ms = Mode.DELIVER, 0
        if report.status == FAILURE:
            then = await self._after_failure(report, job, number)
            if isinstance(then, Again):
                mode, delay_ms = Mode.RETRY, then.delay_ms
        attempt = report.attempt or 0
        item = TaskItem(number, report.status, report.data, report.code, report.message, report.worker_id, attempt)
        details: dict[str, Any] = {"status": report.status}
        if report.code or report.message:
            details |= {"code": report.code, "message": report.message}
        entry = ev.event(
            ev.TASK_RETRIED if mode is Mode.RETRY else ev.TASK_FINISHED,
            task=number,
            worker=report.worker_id,
            attempt=report.attempt,
            details=details,
        )
        return Completion(
            job=job,
            number=number,
            worker=report.worker_id,
            mode=mode,
            item=dump_item(item),
            history=_blob(entry) if self.settings.history else "",
            token=secrets.token_hex(8),
            attempt=report.attempt,
            fence=report.fence,
            delay_ms=delay_ms,
            failed=report.status != SUCCESS,
        )

    async def _after_failure(self, report: TaskReport, job: JobId, number: int) -> object:
        task = await self._store.live_task(job, number)
        if task is None:
            return None
        rules = TaskRules(retries=orjson.loads(task.rules)["r"])
        return after_failure(report.code, task.failures, rules, random.uniform(0.5, 1.0), report.retry_after_ms)

    async def _refused(self, report: TaskReport, number: int, refused: Refused) -> ReportReply:
        """Late and repeated reports are normal life; reports for what never was are not."""
        match refused.why:
            case Refusal.FINAL:
                return ReportReply("ignored", "job_cancelled")
            case Refusal.STALE:
                return ReportReply("ignored", "stale_task")
            case Refusal.FOREIGN:
                raise _not_holder(report)
            case _:
                if refused.next_task < 0:
                    raise MusterError(ErrorCode.JOB_NOT_FOUND, f"there is no job {report.job_id!r}")
                if number >= refused.next_task:
                    raise _task_not_found(report)
                return await self._ended_before(report, number)

    async def _ended_before(self, report: TaskReport, number: int) -> ReportReply:
        job = JobId(report.job_id)
        held = {raw["w"] for raw in await self._task_events(job, number) if "w" in raw}
        if held and report.worker_id not in held:
            raise _not_holder(report)
        record = await self._store.read(job)
        cancelled = record is not None and record.status is JobStatus.CANCELLED
        return ReportReply("ignored", "job_cancelled" if cancelled else "duplicate")

    async def _task_events(self, job: JobId, number: int) -> list[dict[str, Any]]:
        entries = [orjson.loads(raw.blob) for raw in await self._store.history(job)]
        return [entry for entry in entries if entry.get("n") == number]


def _answer(future: "asyncio.Future[ReportReply]", reply: ReportReply) -> None:
    if not future.done():  # the caller may have gone
        future.set_result(reply)


def _outcome(status: str) -> str:
    return status if status in {FAILURE, CANCELLED} else SUCCESS


def _lease_ref(sign: LeaseSign) -> LeaseRef:
    return LeaseRef(sign.task_id, sign.attempt, sign.fence, sign.progress, sign.message or "")


def _blob(entry: ev.Event) -> str:
    return orjson.dumps(entry).decode()


def _fingerprint(order: JobOrder) -> str:
    body = orjson.dumps([order.blueprint, order.initial_data, order.webhook_url], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(body, digest_size=16).hexdigest()


def _read_cursor(cursor: str | None) -> UnixMs | None:
    if cursor is None:
        return None
    if not cursor.isdigit() or len(cursor) > 16:
        raise MusterError(
            ErrorCode.INVALID_PARAMETER, f"cursor {cursor!r} is not one of ours", hint="pass `next` of the last page"
        )
    return UnixMs(int(cursor))


def _job_not_found() -> MusterError:
    return MusterError(ErrorCode.JOB_NOT_FOUND, "Job not found")


def _job_final(record: JobRecord) -> MusterError:
    return MusterError(ErrorCode.JOB_FINAL, f"job {record.id} is already {record.status}")


def _not_waiting(record: JobRecord) -> MusterError:
    return MusterError(
        ErrorCode.NOT_WAITING_FOR_DECISION,
        f"job {record.id} is not waiting for a decision",
        hint="it was decided before, its deadline passed, or it has not asked yet",
    )


def _task_not_found(report: TaskReport) -> MusterError:
    return MusterError(ErrorCode.TASK_NOT_FOUND, f"job {report.job_id!r} has no task {report.task_id!r}")


def _not_holder(report: TaskReport) -> MusterError:
    return MusterError(
        ErrorCode.FORBIDDEN,
        f"worker {report.worker_id!r} does not hold task {report.task_id!r}",
        hint="only the worker a task was handed to may report it",
    )


def _history_event(job: JobId, index: int, raw: RawEvent) -> HistoryEvent:
    entry = orjson.loads(raw.blob)
    number = entry.get("n")
    return HistoryEvent(
        event_id=f"{job}-{index}",
        job_id=job,
        timestamp=raw.at,
        event_type=entry["e"],
        state=entry.get("s"),
        previous_state=entry.get("p"),
        next_state=entry.get("x"),
        task_id=None if number is None else f"{job}.{number}",
        worker_id=entry.get("w"),
        attempt_number=entry.get("a"),
        duration_ms=raw.duration_ms,
        details=entry.get("d", {}),
    )
