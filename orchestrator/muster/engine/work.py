"""What workers do: wait for tasks, keep them alive, hand in results."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import orjson

from muster.core import events as ev
from muster.core.decisions import CANCELLED, FAILURE, REQUEUE, SUCCESS
from muster.core.ids import JobId, partition_of, split_task_id
from muster.core.limits import LEASES_PER_CALL_MAX
from muster.core.record import TaskItem
from muster.core.retry import TOO_MANY_REQUEUES, Again, TaskRules, Trials, after_failure, after_requeue
from muster.core.status import JobStatus
from muster.core.timeouts import CODE_OF, Timeout
from muster.engine.background import Background
from muster.engine.classes import Classes
from muster.engine.dispatch import Dispatcher
from muster.engine.fleet import Fleet, Known
from muster.engine.history import blob
from muster.engine.lines import Room, Waiter
from muster.engine.nonces import nonce
from muster.engine.settings import EngineSettings
from muster.engine.speeds import Speeds
from muster.engine.turns import Turns
from muster.engine.views import FreeSlots, HeartbeatReply, Lease, LeaseSign, ReportReply, TaskReport, WorkerPatch
from muster.engine.worker_fields import DRAINING
from muster.errors import ErrorCode, MusterError
from muster.observe.metrics import Metrics
from muster.store.base import (
    Claimed,
    Completed,
    Completion,
    LeaseRef,
    Mode,
    Refusal,
    Refused,
    Store,
    StoreFull,
    StoreUnavailable,
    Turn,
)
from muster.store.codec import dump_item
from muster.store.keys import short_hash

NOT_OF_THE_WORKER: Final = frozenset({"INVALID_INPUT_ERROR"})
"""Codes of failures that say something of the job, and nothing of the worker."""
SETTLE_S: Final = 0.1
"""A report's answer waits so long for the turn it caused, so that the next task can travel with it."""


_EVENT_OF: Final = {Mode.RETRY: ev.TASK_RETRIED, Mode.REQUEUE: ev.TASK_REQUEUED}


@dataclass(frozen=True, slots=True)
class _After:
    """How the end of an attempt is to be taken, and what is told of it."""

    report: TaskReport
    mode: Mode = Mode.DELIVER
    delay_ms: int = 0
    counts: str = ""


class Work:
    def __init__(
        self,
        store: Store,
        turns: Turns,
        dispatcher: Dispatcher,
        fleet: Fleet,
        classes: Classes,
        background: Background,
        metrics: Metrics,
        settings: EngineSettings,
        hint: Callable[[JobId, int], None],
        speeds: Speeds,
    ) -> None:
        self._store = store
        self._turns = turns
        self._dispatcher = dispatcher
        self._fleet = fleet
        self._classes = classes
        self._background = background
        self._metrics = metrics
        self._settings = settings
        self._hint = hint
        self._speeds = speeds
        self.draining = False

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
            if parts is not None and partition_of(parts[0]) < self._settings.partitions:
                by_partition.setdefault(partition_of(parts[0]), []).append(i)
        for partition, all_indexes in by_partition.items():
            for start in range(0, len(all_indexes), LEASES_PER_CALL_MAX):
                indexes = all_indexes[start : start + LEASES_PER_CALL_MAX]
                refs = [_lease_ref(leases[i]) for i in indexes]
                found = await self._store.extend(partition, worker_id, self._settings.lease_ms, refs)
                for i, word in zip(indexes, found, strict=True):
                    words[i] = word
        return words

    async def progress(self, worker_id: str, task_id: str, fraction: float, message: str) -> None:
        """Progress told over the socket; says nothing about the lease."""
        parts = split_task_id(task_id)
        if parts is not None and partition_of(parts[0]) < self._settings.partitions:
            ref = LeaseRef(task_id, progress=fraction, message=message)
            await self._store.extend(partition_of(parts[0]), worker_id, 0, (ref,))

    async def poll(
        self, worker_id: str, *, timeout_ms: int, max_tasks: int, free: FreeSlots | None = None
    ) -> tuple[Lease, ...]:
        """Tasks for the worker, as soon as there are any; () after *timeout_ms*, and soon for a draining worker.

        Of the types that *free* names no more than it says, which may change meanwhile.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_ms / 1000
        while True:
            known = await self._fleet.known(worker_id)
            left_ms = max(0, round((until - loop.time()) * 1000))
            if known.view.status == DRAINING or not known.classes:
                await asyncio.sleep(min(left_ms, self._settings.heartbeat_ms) / 1000)
                known = await self._fleet.known(worker_id)
                if known.view.status == DRAINING or not known.classes or loop.time() >= until:
                    return ()
                continue  # it was resumed meanwhile: the grant of a stream must not end with an early answer
            waiter = self._waiter(known, max_tasks, free)
            if free is not None:
                free.on_change = partial(self._limit, waiter, free)
            claimed = await self._dispatcher.wait(waiter, left_ms)
            if claimed or not waiter.recalled or loop.time() >= until:
                return self._leases(waiter, claimed)

    def _limit(self, waiter: Waiter, free: FreeSlots) -> None:
        self._dispatcher.limit_to(waiter, _by_class(free))

    def _waiter(self, known: Known, wanted: int, free: FreeSlots | None) -> Waiter:
        lease_ms = self._settings.registration_ttl_ms if known.patient else self._settings.delivery_lease_ms
        worker = known.view.worker_id
        classes = self._fleet.open_classes(worker)
        return Waiter(
            worker,
            known.classes if classes is None else classes,
            wanted,
            lease_ms,
            known.patient,
            known.price,
            known.prices,
            {} if free is None else {cls: Room(count) for cls, count in _by_class(free).items()},
            self._classes.plain,
        )

    def _leases(self, waiter: Waiter, claimed: list[Claimed]) -> tuple[Lease, ...]:
        lease_ms = self._settings.registration_ttl_ms if waiter.patient else self._settings.lease_ms
        leases: list[Lease] = []
        for task, fence in zip(claimed, waiter.fences, strict=True):
            self._metrics.task_wait_seconds.observe(task.waited_ms / 1000)
            body = orjson.loads(task.body)
            if task.left_ms is not None:
                body |= {"timeout_seconds": task.left_ms / 1000, "timeout_code": CODE_OF[Timeout.SCHEDULE_TO_CLOSE]}
            self._speeds.handed_out(task.task, body["type"])
            self._fleet.reputation.handed_out(waiter.worker, body["type"])
            leases.append(
                Lease(body["job_id"], task.task, task.attempt, "" if waiter.patient else fence, lease_ms, body)
            )
        return tuple(leases)

    async def report(self, report: TaskReport, *, next_tasks: int, free: FreeSlots | None = None) -> ReportReply:
        """Take a worker's result; hand it up to *next_tasks* tasks that are ready now, within *free* by type.

        Raises:
            MusterError: TASK_NOT_FOUND, JOB_NOT_FOUND, FORBIDDEN (another worker's task).
        """
        replies, tasks = await self.report_all((report,), next_tasks=next_tasks, free=free)
        if isinstance(replies[0], BaseException):
            raise replies[0]
        return replace(replies[0], tasks=tasks)

    async def report_all(
        self, reports: Sequence[TaskReport], *, next_tasks: int, free: FreeSlots | None = None
    ) -> tuple[list[ReportReply | BaseException], tuple[Lease, ...]]:
        """Take several results of one worker at once. Errors stand in their places; tasks are for all of them.

        Each report is a task of its own, so that a caller who goes away interrupts neither result nor turn.
        """
        waiter = await self._instant_waiter(reports[0].worker_id, next_tasks, free)
        loop = asyncio.get_running_loop()
        answers: list[asyncio.Future[ReportReply]] = [loop.create_future() for _ in reports]
        tasks = {
            self._background.spawn(self._take(report, waiter, answer))
            for report, answer in zip(reports, answers, strict=True)
        }
        await asyncio.wait(tasks, timeout=SETTLE_S)
        replies = await asyncio.gather(*answers, return_exceptions=True)
        return replies, self._collect(waiter)

    async def _take(self, report: TaskReport, waiter: Waiter | None, answer: "asyncio.Future[ReportReply]") -> None:
        try:
            turn = await self._complete(report, waiter, answer)
        except Exception as error:
            if not answer.done():  # whatever went wrong, the worker waits for a word
                answer.set_exception(error)
            if isinstance(error, MusterError | StoreUnavailable | StoreFull):
                return
            raise
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
        reply = await self._turns.end(completion, waiter) if completion.mode is Mode.DELIVER else None
        if reply is None:
            reply = await self._deliver(completion, waiter)
        if isinstance(reply, Refused):
            _answer(answer, await self._refused(report, parts[1], reply))
            return None
        self._metrics.tasks.labels(_outcome(report.status)).inc()
        self._metrics.task_run_seconds.observe(reply.ran_ms / 1000)
        self._judge(report, reply.ran_ms)
        if completion.delay_ms and reply.retried:
            self._hint(parts[0], completion.delay_ms)
        if reply.cancelling:
            await self._store.forget_cancel(report.worker_id, report.task_id)
        _answer(answer, ReportReply(CANCELLED if reply.cancelling else _outcome(report.status)))
        return reply.turn

    def _judge(self, report: TaskReport, ran_ms: int) -> None:
        """Only of tasks that were handed out here: of others the type is not known."""
        kind = self._speeds.ended(report.task_id, ran_ms)
        if kind is not None and report.status not in {CANCELLED, REQUEUE}:
            own_fault = report.code not in NOT_OF_THE_WORKER and report.retry_after_ms is None
            self._fleet.reputation.ended(
                report.worker_id, kind, ran_ms, good=report.status != FAILURE, own_fault=own_fault
            )

    async def _deliver(self, completion: Completion, waiter: Waiter | None) -> Completed | Refused:
        """The end by itself: nobody here knows what the job waits for, or a task is put back."""
        seats = self._dispatcher.reserve_for((), 1, waiter) if completion.mode is Mode.DELIVER else None
        if seats is None:
            return await self._store.complete(completion)
        reply: Completed | Refused = Refused(Refusal.STALE)
        try:
            reply = await self._store.complete(replace(completion, claim=seats.claim))
        finally:
            self._dispatcher.deliver(seats, reply.claimed if isinstance(reply, Completed) else ())
        return reply

    async def _instant_waiter(self, worker_id: str, next_tasks: int, free: FreeSlots | None) -> Waiter | None:
        if next_tasks <= 0 or self.draining:
            return None
        try:
            known = await self._fleet.known(worker_id)
        except MusterError:
            return None  # its registration ran out; its results count all the same
        return None if known.view.status == DRAINING else self._waiter(known, next_tasks, free)

    def _collect(self, waiter: Waiter | None) -> tuple[Lease, ...]:
        if waiter is None:
            return ()
        waiter.gone = True  # what is claimed from here on goes back
        return self._leases(waiter, waiter.got)

    async def _completion(self, report: TaskReport, number: int) -> Completion:
        job = JobId(report.job_id)
        then = await self._after(report, job, number)
        ended = then.report
        item = TaskItem(
            number, ended.status, ended.data, ended.code, ended.message, ended.worker_id, ended.attempt or 0
        )
        details: dict[str, Any] = {"status": ended.status}
        if ended.code or ended.message:
            details |= {"code": ended.code, "message": ended.message}
        entry = ev.event(
            _EVENT_OF.get(then.mode, ev.TASK_FINISHED),
            task=number,
            worker=report.worker_id,
            attempt=report.attempt,
            details=details,
        )
        return Completion(
            job=job,
            number=number,
            worker=report.worker_id,
            mode=then.mode,
            item=dump_item(item),
            history=blob(entry) if self._settings.history else "",
            token=nonce(),
            attempt=report.attempt,
            fence=report.fence,
            delay_ms=then.delay_ms,
            failed=ended.status != SUCCESS,
            counts=then.counts,
        )

    async def _after(self, report: TaskReport, job: JobId, number: int) -> "_After":
        """What *report* means for its task."""
        task = await self._store.live_task(job, number) if report.status in {FAILURE, REQUEUE} else None
        if report.status == REQUEUE:
            back = after_requeue(0 if task is None else task.requeues, report.retry_after_ms)
            if isinstance(back, Again):
                return _After(report, Mode.REQUEUE, back.delay_ms)
            message = f"{back.note}; the last time: {report.message}" if report.message else back.note
            return _After(replace(report, status=FAILURE, code=TOO_MANY_REQUEUES, message=message, data=None))
        if task is None:
            return _After(report)
        trials = Trials(task.failures, Trials.counts(task.counts), task.failing_ms, task.left_ms)
        rules, wish_ms = TaskRules.load(task.rules), report.retry_after_ms
        then = after_failure(report.code, trials, rules, random.random(), wish_ms, report.kind)
        if isinstance(then, Again):
            await self._classes.still_used(task.rules)
            return _After(report, Mode.RETRY, then.delay_ms, trials.dump(then.counted))
        return _After(replace(report, message=f"{report.message} ({then.note})") if then.note else report)

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


def _by_class(free: FreeSlots) -> dict[str, int]:
    return {short_hash(kind): count for kind, count in free.counts.items()}


def _outcome(status: str) -> str:
    return status if status in {FAILURE, CANCELLED, REQUEUE} else SUCCESS


def _lease_ref(sign: LeaseSign) -> LeaseRef:
    return LeaseRef(sign.task_id, sign.attempt, sign.fence, sign.progress, sign.message or "", sign.silent_ms)


def _task_not_found(report: TaskReport) -> MusterError:
    return MusterError(ErrorCode.TASK_NOT_FOUND, f"job {report.job_id!r} has no task {report.task_id!r}")


def _not_holder(report: TaskReport) -> MusterError:
    return MusterError(
        ErrorCode.FORBIDDEN,
        f"worker {report.worker_id!r} does not hold task {report.task_id!r}",
        hint="only the worker a task was handed to may report it",
    )
