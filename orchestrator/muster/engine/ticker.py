"""What becomes due: ended leases, timers, turns whose owner died, webhooks. Any replica may tick; all do."""

import asyncio
import logging
import random
import secrets
from collections.abc import Callable, Coroutine
from typing import Any, Final

import orjson

from muster.core.events import TASK_FINISHED, TASK_RETRIED, event
from muster.core.ids import split_task_id
from muster.core.record import TaskItem
from muster.core.retry import Again, TaskRules, after_failure, after_loss
from muster.engine.dispatch import Dispatcher
from muster.engine.history import blob
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
)
from muster.store.codec import dump_item

log = logging.getLogger("muster.ticker")

TICK_EVERY_S: Final = 1.0
"""How late a timer of another replica may fire; a replica's own timers are exact."""
SWEEP_EVERY_S: Final = 2.0
AFTER_FAULT_S: Final = 0.5

Spawn = Callable[[Coroutine[Any, Any, None]], object]


class Ticker:
    """One loop a partition. `run_once` is one tick; what it finds is handled by tasks of their own."""

    def __init__(
        self,
        store: Store,
        turns: Turns,
        dispatcher: Dispatcher,
        webhooks: WebhookSender,
        metrics: Metrics,
        *,
        escalate: Callable[[DueEscalation], Coroutine[Any, Any, None]],
        replica: str,
        partition: int,
        patient_lease_ms: int,
        history: bool,
        spawn: Spawn,
    ) -> None:
        self._store = store
        self._turns = turns
        self._dispatcher = dispatcher
        self._webhooks = webhooks
        self._metrics = metrics
        self._escalate = escalate
        self._replica = replica
        self._partition = partition
        self._patient_lease_ms = patient_lease_ms
        self._history = history
        self._spawn = spawn
        self._ticks = 0
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
        tick = await self._store.tick(self._partition, f"{self._replica}:{self._ticks}:{secrets.token_hex(4)}:")
        self._handle(tick)
        if tick.next_due_ms is None:
            return TICK_EVERY_S
        return tick.next_due_ms / 1000

    def _handle(self, tick: Tick) -> None:
        for turn in tick.turns:
            self._spawn(self._turns.run(turn))
        for lease in tick.leases:
            self._spawn(self._ended(lease))
        for escalation in tick.escalations:
            self._spawn(self._escalate(escalation))
        for message in tick.messages:
            self._spawn(self._deliver(message))

    async def _sweep(self) -> None:
        state = await self._store.queue(self._partition)
        self._dispatcher.seen_ready(self._partition, state.ready)

    # Leases

    async def _ended(self, lease: EndedLease) -> None:
        if lease.patient and not lease.timed_out and await self._store.worker(lease.worker) is not None:
            ref = LeaseRef(lease.task, lease.attempt, lease.fence)
            await self._store.extend(self._partition, "", self._patient_lease_ms, (ref,))
            return
        self._metrics.leases_expired.inc()
        rules = TaskRules(retries=orjson.loads(lease.rules)["r"])
        code = "TIMEOUT_ERROR" if lease.timed_out else "WORKER_LOST"
        if lease.timed_out:
            then = after_failure(code, lease.failures, rules, random.uniform(0.5, 1.0), None)
        else:
            then = after_loss(lease.losses)
        log.warning("lease_ended", extra={"task_id": lease.task, "worker_id": lease.worker, "code": code})
        reply = await self._store.complete(self._completion(lease, code, then))
        if isinstance(reply, Completed) and reply.turn is not None:
            await self._turns.run(reply.turn)
        elif isinstance(then, Again) and then.delay_ms:
            self.hint(then.delay_ms)

    def _completion(self, lease: EndedLease, code: str, then: object) -> Completion:
        parts = split_task_id(lease.task)
        assert parts is not None, lease.task
        job, number = parts
        again = isinstance(then, Again)
        mode = Mode.DELIVER
        if isinstance(then, Again):
            mode = Mode.REQUEUE if then.lost else Mode.RETRY
        text = {
            "TIMEOUT_ERROR": f"worker {lease.worker!r} did not finish within the task's timeout",
            "WORKER_LOST": f"worker {lease.worker!r} fell silent; {lease.losses + 1} workers lost on this task",
        }[code]
        item = TaskItem(number, "failure", code=code, message=text, worker=lease.worker, attempt=lease.attempt)
        entry = event(
            TASK_RETRIED if again else TASK_FINISHED,
            task=number,
            worker=lease.worker,
            attempt=lease.attempt,
            details={"status": "timed_out" if lease.timed_out else "lost", "code": code},
        )
        return Completion(
            job=job,
            number=number,
            worker="",
            mode=mode,
            item=dump_item(item),
            history=blob(entry) if self._history else "",
            token=secrets.token_hex(8),
            attempt=lease.attempt,
            fence=lease.fence,
            delay_ms=then.delay_ms if isinstance(then, Again) else 0,
            failed=True,
        )

    # Messages

    async def _deliver(self, message: DueMessage) -> None:
        delivery = await self._webhooks.deliver(message.id, message.body, message.tries)
        self._metrics.webhook_deliveries.labels(delivery.outcome).inc()
        await self._store.settle(self._partition, message.id, message.tries, delivery.retry_in_ms)
        if delivery.retry_in_ms is not None:
            self.hint(delivery.retry_in_ms)
