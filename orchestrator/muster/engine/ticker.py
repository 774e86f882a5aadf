"""What becomes due: ended leases, timers, turns whose owner died, webhooks. Any replica may tick; all do."""

import asyncio
import logging
import random
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from muster.core.events import TASK_FINISHED, TASK_RETRIED, event
from muster.core.ids import JobId, TaskId, split_task_id
from muster.core.limits import FIRST_TURNS_MAX
from muster.core.record import TaskItem
from muster.core.retry import POISON_TASK, Again, Back, Deliver, TaskRules, Trials, after_failure, after_loss
from muster.core.timeouts import CODE_OF, said
from muster.engine.classes import Classes
from muster.engine.dispatch import Dispatcher
from muster.engine.history import blob
from muster.engine.nonces import nonce
from muster.engine.turns import Turns
from muster.engine.webhooks import WebhookSender
from muster.observe.metrics import Metrics
from muster.store.approvals import DueEscalation
from muster.store.base import (
    Completed,
    Completion,
    DueMessage,
    EndedLease,
    LeaseRef,
    Mode,
    Store,
    StoreFull,
    StoreUnavailable,
    Tick,
    Turn,
)
from muster.store.batch_records import BatchToCancel
from muster.store.child_messages import ChildMessage, read_child_message
from muster.store.codec import dump_item

log = logging.getLogger("muster.ticker")

TICK_EVERY_S: Final = 1.0
"""How late a timer of another replica may fire; a replica's own timers are exact."""
SWEEP_EVERY_S: Final = 2.0
AFTER_FAULT_S: Final = 0.5
WORKER_LOST: Final = "WORKER_LOST"
"""One loss, in the job's history; the job itself is told of POISON_TASK."""
_MODE_OF: Final = {Back.FAILED: Mode.RETRY, Back.LOST: Mode.LOST, Back.ASKED: Mode.REQUEUE}

Spawn = Callable[[Coroutine[Any, Any, None]], object]
Stop = Callable[[str, str], Awaitable[object]]
"""Has a worker stop a task; both by id."""


class Ticker:
    """One loop a partition. `run_once` is one tick; what it finds is handled by tasks of their own."""

    def __init__(
        self,
        store: Store,
        turns: Turns,
        dispatcher: Dispatcher,
        classes: Classes,
        webhooks: WebhookSender,
        metrics: Metrics,
        *,
        escalate: Callable[[DueEscalation], Coroutine[Any, Any, None]],
        replica: str,
        partition: int,
        patient_lease_ms: int,
        history: bool,
        spawn: Spawn,
        stop: Stop,
        overdue: Callable[[JobId], Coroutine[Any, Any, None]],
    ) -> None:
        self._store = store
        self._turns = turns
        self._dispatcher = dispatcher
        self._classes = classes
        self._webhooks = webhooks
        self._metrics = metrics
        self._escalate = escalate
        self._replica = replica
        self._partition = partition
        self._patient_lease_ms = patient_lease_ms
        self._history = history
        self._spawn = spawn
        self._stop = stop
        self._overdue = overdue
        self._ticks = 0
        self._first_turns = 0
        """Of jobs of batches, under way."""
        self._more_first = False
        self.on_replaced: Callable[[str, JobId], Coroutine[Any, Any, None]] = _nobody_replaces
        self.on_cancel: Callable[[int, BatchToCancel], Coroutine[Any, Any, None]] = _nobody_cancels
        self.on_child_message: Callable[[ChildMessage, DueMessage], Awaitable[int | None]] = _nobody_delivers
        self._early = asyncio.Event()
        self._early_at: float | None = None

    def hint(self, delay_ms: int) -> None:
        """A timer of ours is due in *delay_ms*: do not sleep past it."""
        loop = asyncio.get_running_loop()
        at = loop.time() + delay_ms / 1000
        if self._early_at is None or at < self._early_at:
            self._early_at = at
            self._early.set()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        swept_at = loop.time()
        while True:
            try:
                next_due_s = await self.run_once()
                if loop.time() - swept_at > SWEEP_EVERY_S and self._dispatcher.waiting:
                    swept_at = loop.time()
                    await self._sweep()
            except (StoreUnavailable, StoreFull) as error:
                log.warning("tick_failed", extra={"partition": self._partition, "error": str(error)})
                next_due_s = AFTER_FAULT_S
            except Exception:  # one bad tick must not end the loop
                log.exception("tick_crashed", extra={"partition": self._partition})
                next_due_s = AFTER_FAULT_S
            await self._sleep(min(next_due_s, TICK_EVERY_S * random.uniform(0.5, 1.0)))

    async def _sleep(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while (left := min(until, self._early_at or until) - loop.time()) > 0:
            self._early.clear()
            try:
                async with asyncio.timeout(left):
                    await self._early.wait()
            except TimeoutError:
                break
        self._early_at = None

    async def run_once(self) -> float:
        """One tick. Returns how many seconds from now something is due next."""
        self._ticks += 1
        prefix = f"{self._replica}:{self._ticks}:{secrets.token_hex(4)}:"
        tick = await self._store.tick(self._partition, prefix, FIRST_TURNS_MAX - self._first_turns)
        self._handle(tick)
        if tick.more_first and self._first_turns < FIRST_TURNS_MAX:
            return 0.0
        if tick.next_due_ms is None:
            return TICK_EVERY_S
        return tick.next_due_ms / 1000

    def _handle(self, tick: Tick) -> None:
        for turn in tick.turns:
            self._spawn(self._turns.run(turn))
        self._first_turns += len(tick.first)
        self._more_first = tick.more_first
        for turn in tick.first:
            self._spawn(self._first_turn(turn))
        for job, tenant in tick.replaced:
            self._spawn(self.on_replaced(tenant, job))
        for some in tick.cancels:
            self._spawn(self.on_cancel(self._partition, some))
        for lease in tick.leases:
            self._spawn(self._ended(lease))
        for job in tick.overdue:
            self._spawn(self._overdue(job))
        for escalation in tick.escalations:
            self._spawn(self._escalate(escalation))
        for message in tick.messages:
            self._spawn(self._deliver(message))
        if tick.dropped:
            self._spawn(self._tell_workers(tick.dropped))

    async def _tell_workers(self, dropped: Sequence[tuple[TaskId, str]]) -> None:
        """Where this is lost with its replica, a worker's next heartbeat says that the task is not its own any more."""
        for task, worker in dropped:
            await self._stop(worker, task)

    async def _first_turn(self, turn: Turn) -> None:
        """Of a job of a batch. Half of them must be over before more are taken, so that a tick brings several."""
        try:
            await self._turns.run(turn)
        finally:
            self._first_turns -= 1
            if self._more_first and self._first_turns == FIRST_TURNS_MAX // 2:
                self.hint(0)

    async def _sweep(self) -> None:
        state = await self._store.queue(self._partition)
        self._classes.saw_ready(state.types)
        self._dispatcher.seen_ready(self._partition, state.ready)

    # Leases

    async def _ended(self, lease: EndedLease) -> None:
        if lease.patient and lease.timeout is None and await self._store.worker(lease.worker) is not None:
            ref = LeaseRef(lease.task, lease.attempt, lease.fence)
            await self._store.extend(self._partition, "", self._patient_lease_ms, (ref,))
            return
        self._metrics.leases_expired.inc()
        code, then = _decided(lease)
        if isinstance(then, Again):
            await self._classes.still_used(lease.rules)
        log.warning("lease_ended", extra={"task_id": lease.task, "worker_id": lease.worker, "code": code})
        reply = await self._store.complete(self._completion(lease, code, then))
        if isinstance(reply, Completed) and lease.timeout is not None and lease.worker and not reply.retried:
            await self._stop(lease.worker, lease.task)
        if isinstance(reply, Completed) and reply.turn is not None:
            await self._turns.run(reply.turn)
        elif isinstance(then, Again) and then.delay_ms:
            self.hint(then.delay_ms)

    def _completion(self, lease: EndedLease, code: str, then: Again | Deliver) -> Completion:
        parts = split_task_id(lease.task)
        assert parts is not None, lease.task
        job, number = parts
        mode = _MODE_OF[then.back] if isinstance(then, Again) else Mode.DELIVER
        message = _message(lease, then)
        ended = POISON_TASK if code == WORKER_LOST and mode is Mode.DELIVER else code
        item = TaskItem(number, "failure", code=ended, message=message, worker=lease.worker, attempt=lease.attempt)
        status = "lost" if lease.timeout is None else "timed_out"
        entry = event(
            TASK_FINISHED if mode is Mode.DELIVER else TASK_RETRIED,
            task=number,
            worker=lease.worker or None,
            attempt=lease.attempt or None,
            details={"status": status, "code": code, **({"message": message} if lease.timeout else {})},
        )
        return Completion(
            job=job,
            number=number,
            worker="",
            mode=mode,
            item=dump_item(item),
            history=blob(entry) if self._history else "",
            token=nonce(),
            attempt=lease.attempt,
            fence=lease.fence,
            delay_ms=then.delay_ms if isinstance(then, Again) else 0,
            failed=True,
            counts=_trials(lease).dump(then.counted) if isinstance(then, Again) else "",
        )

    # Messages

    async def _deliver(self, message: DueMessage) -> None:
        between_jobs = read_child_message(message.body)
        if between_jobs is not None:
            retry_in_ms = await self.on_child_message(between_jobs, message)
        else:
            delivery = await self._webhooks.deliver(message.id, message.body, message.tries)
            self._metrics.webhook_deliveries.labels(delivery.outcome).inc()
            retry_in_ms = delivery.retry_in_ms
        await self._store.settle(self._partition, message.id, message.tries, retry_in_ms)
        if retry_in_ms is not None:
            self.hint(retry_in_ms)


def _trials(lease: EndedLease) -> Trials:
    return Trials(lease.failures, Trials.counts(lease.counts), lease.failing_ms, lease.left_ms)


def _decided(lease: EndedLease) -> tuple[str, Again | Deliver]:
    """The code of the attempt's end, and what it means for its task."""
    if lease.timeout is None:
        return WORKER_LOST, after_loss(lease.losses, random.random())
    code = CODE_OF[lease.timeout]
    return code, after_failure(code, _trials(lease), TaskRules.load(lease.rules), random.random(), None)


def _message(lease: EndedLease, then: Again | Deliver) -> str:
    if lease.timeout is None:
        return f"worker {lease.worker!r} fell silent; {lease.losses + 1} workers lost on this task"
    note = then.note if isinstance(then, Deliver) else ""
    return said(lease.timeout, lease.worker) + (f" ({note})" if note else "")


async def _nobody_cancels(_partition: int, _some: BatchToCancel) -> None:
    """Until the engine says who does, they come again."""


async def _nobody_replaces(_tenant: str, _job: JobId) -> None:
    """Likewise."""


async def _nobody_delivers(_message: ChildMessage, _due: DueMessage) -> int | None:
    """Likewise: it is tried again."""
    return int(TICK_EVERY_S * 1000)
