"""An engine without loops: it goes on when it is told to, and time passes when it has nothing left to do."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson
from muster_worker.contracts import TaskContract
from muster_worker.outcome import WireOutcome

from muster.blueprint.registry import Registry
from muster.core.connection import Connection
from muster.core.ids import JobId, TaskId, UnixMs, split_task_id
from muster.core.limits import CLAIM_MAX
from muster.core.status import TaskStatus
from muster.engine.engine import Engine
from muster.engine.settings import EngineSettings
from muster.engine.views import Lease, LeaseSign, TaskReport, WorkerDescription, WorkerPatch
from muster.observe.metrics import Metrics
from muster.store.memory import MemoryState
from muster.store.memory.model import Task, TaskStart
from muster.testing.answers import Held, Mocks, Reply
from muster.testing.clock import VirtualClock
from muster.testing.failures import KitError, Stuck
from muster.testing.store import Deaths, MortalStore

WORKER: Final = "kit"
FOREVER_MS: Final = 315_576_000_000
"""Ten years: leases, registrations and ended jobs outlive every test, so that only what it is about becomes due."""
TAKEOVER_MS: Final = 20_000
"""Longer than every lease of a replica that died: after this time another one has taken over what it held."""
ROUNDS_MAX: Final = 100_000
"""A test does not take more rounds of work at one moment."""
MOMENTS_MAX: Final = 10_000
"""A wait of a test does not pass more moments at which something was due."""
POLL_MS: Final = 1_000
"""Of real time; there is work when the kit's worker polls, so it gets it at once."""
LAST_BREATHS: Final = 20
"""Turns of the event loop in which a call that a dead replica had answered returns."""
LOOK_AGAIN_MS: Final = 5_000
"""A replica that does not run the schedules looks so often whether it may."""

T = TypeVar("T")


@dataclass(slots=True)
class _Run:
    """A task that the kit's worker holds."""

    lease: Lease
    until: UnixMs | None
    outcome: WireOutcome | None
    signs_ms: int | None = None
    signs_at: UnixMs | None = None
    """When its handler gives the next sign."""


@dataclass(slots=True)
class Asked:
    """What a task was, and what it was answered, one reply for each attempt."""

    params: Any
    replies: list[Reply]


@dataclass(frozen=True, slots=True)
class Act:
    """What was told to a job from outside, after how many of its steps."""

    job: JobId
    after: int
    verb: str
    arguments: Mapping[str, Any]


@dataclass(slots=True)
class _Replica:
    store: MortalStore
    engine: Engine
    looks_at: UnixMs | None
    """When its schedules have to be looked at."""


class Machine:
    def __init__(
        self,
        registry: Registry,
        mocks: Mocks,
        contracts: Callable[[str], TaskContract[Any, Any]],
        connections: tuple[Connection, ...],
        clock: VirtualClock,
        deaths: Deaths,
    ) -> None:
        self.clock = clock
        self.state = MemoryState(now=clock)
        self._registry = registry
        self._mocks = mocks
        self._contracts = contracts
        self._connections = connections
        self._deaths = deaths
        self.asked: dict[tuple[JobId, int], Asked] = {}
        self.acts: list[Act] = []
        self.deaf = False
        """Its worker does not hear of cancels."""
        self.bodies: list[Mapping[str, Any]] = []
        """Tasks as workers got them, oldest first."""
        self._replica: _Replica | None = None
        self._replicas = 0
        self._offered: tuple[str, ...] = ()
        self._runs: list[_Run] = []
        self._owed_ms = 0
        self.is_driven = False
        """Whether somebody is letting happen what can."""

    # Replicas

    async def _living(self) -> _Replica:
        replica = self._replica
        if replica is None or replica.store.death.is_set():
            if replica is not None:
                await self.close()
                self._owed_ms = TAKEOVER_MS
            self._replica = replica = await self._new_replica()
        return replica

    async def _new_replica(self) -> _Replica:
        self._replicas += 1
        name, made = f"replica-{self._replicas}", list[Engine]()

        def on_message(partition: int, text: str) -> None:
            for engine in made:
                engine.on_message(partition, text)

        store = MortalStore(self.state, self._deaths, replica=name, on_message=on_message)
        await store.open()
        settings = EngineSettings(
            name,
            registration_ttl_ms=FOREVER_MS,
            lease_ms=FOREVER_MS,
            retention_ms=FOREVER_MS,
            connections=self._connections,
            now=self.clock,
        )
        engine = Engine(store, self._registry, settings, Metrics(version="0"), "secret")
        made.append(engine)
        engine.on_reconnect()  # what the loops of a server would read first: the classes of work that others defined
        is_timed = any(connection.planned is not None for connection in self._connections)
        return _Replica(store, engine, self.clock() if is_timed else None)

    async def ask(self, request: Callable[[Engine], Awaitable[T]]) -> T:
        """The answer of the replica that lives; asked again where it died before it had one."""
        while True:
            replica = await self._living()
            answer = asyncio.ensure_future(request(replica.engine))
            death = asyncio.ensure_future(replica.store.death.wait())
            try:
                await asyncio.wait({answer, death}, return_when=asyncio.FIRST_COMPLETED)
                if replica.store.death.is_set():
                    await _last_breath(replica, answer)
                if answer.done() and not answer.cancelled():
                    return answer.result()
            finally:
                answer.cancel()
                death.cancel()
                await asyncio.gather(answer, death, return_exceptions=True)

    async def close(self) -> None:
        if self._replica is not None:
            await self._replica.store.close()
            await self._replica.engine.stop()
            self._replica = None

    # Time

    async def settle(self) -> None:
        """Let happen what can happen now. Called from inside a mock it does nothing: whoever drives goes on."""
        if self.is_driven:
            return
        self.is_driven = True
        try:
            await self._rest()
        finally:
            self.is_driven = False

    async def pass_to(self, moment: UnixMs) -> None:
        """Let time pass, and happen what becomes due on the way."""
        if self.is_driven:
            raise KitError("time cannot be moved from inside a mock; use `later` for an answer that takes its time")
        await self.settle()
        while (due := self.next_due()) is not None and due <= moment:
            self.clock.move_to(due)
            await self.settle()
        self.clock.move_to(moment)
        await self.settle()

    async def drive(
        self, until: Callable[[], bool], why_not: Callable[[], str | None], stuck: Callable[[], str]
    ) -> None:
        """Go on, from one moment to the next at which something is due, until *until* is true.

        Raises:
            Stuck: with what *why_not* says before time passes, or *stuck* where nothing is due any more.
        """
        await self.settle()
        for _ in range(MOMENTS_MAX):
            if until():
                return
            due, trouble = self.next_due(), why_not()
            if trouble is not None:
                raise Stuck(trouble)
            if due is None:
                break
            self.clock.move_to(due)
            await self.settle()
        raise Stuck(stuck())

    def next_due(self) -> UnixMs | None:
        """The next moment at which anything happens by itself."""
        (part,) = self.state.partitions
        leases = [task.lease_ends_at for task in part.tasks.values() if task.status is TaskStatus.LEASED]
        turns = [job.turn_at for job in part.jobs.values() if job.turn_at is not None]
        turns += [self.clock() for batch in part.batches.values() if batch.waiting]
        runs = [at for run in self._runs for at in (run.until, run.signs_at) if at is not None]
        looks = [] if self._replica is None or self._replica.looks_at is None else [self._replica.looks_at]
        due = min([*leases, *turns, *part.timers.values(), *runs, *looks], default=None)
        return None if due is None else UnixMs(due)

    async def _rest(self) -> None:
        for _ in range(ROUNDS_MAX):
            await self._finish_begun()
            if await self._deal_with_due() or await self._report_runs() or await self._work():
                continue
            if not self._owed_ms:
                return
            await self._take_over()
        raise KitError(f"{ROUNDS_MAX} rounds at one moment, {self.clock.now}, and no end: is there an endless loop?")

    async def _take_over(self) -> None:
        """The next moment at which what a dead replica held may be over."""
        due = self.next_due()
        step = self._owed_ms if due is None else min(self._owed_ms, max(0, due - self.clock()))
        self._owed_ms -= step
        self.clock.move_to(UnixMs(self.clock() + step))

    async def _finish_begun(self) -> None:
        replica = await self._living()
        await replica.engine.settled()
        await asyncio.sleep(0)  # messages are on their way
        await replica.engine.settled()

    async def _deal_with_due(self) -> bool:
        due, replica = self.next_due(), await self._living()
        if due is None or due > self.clock():
            return False
        if replica.looks_at is not None and replica.looks_at <= self.clock():
            await self.ask(lambda engine: engine.schedules.turn())
            replica = await self._living()
            slot = replica.engine.schedules.next_slot
            replica.looks_at = UnixMs(self.clock() + LOOK_AGAIN_MS) if slot is None else slot
            return True
        if any(at is not None and at <= self.clock() for run in self._runs for at in (run.until, run.signs_at)):
            return False
        await self.ask(lambda engine: engine.tick())
        return True

    # Work

    def waiting_tasks(self) -> list[Task]:
        """Tasks that a worker could have now."""
        (part,) = self.state.partitions
        gated = {timer.task for timer in part.timers if isinstance(timer, TaskStart)}
        ready = [task for task in part.tasks.values() if task.status is TaskStatus.READY and task.id not in gated]
        held = {job.id for job in part.jobs.values() if job.record.pause is not None}
        gates = part.gates
        return [
            task for task in ready
            if part.is_wanted(task) and task.job not in held
            and gates.room_of(gates.of(task.cls, task.flow)).free > 0
        ]  # fmt: skip

    async def _work(self) -> bool:
        wanted = {type_of(task) for task in self.waiting_tasks()}
        offered = self._mocks.names
        if wanted.isdisjoint(offered):
            return False
        if offered != self._offered:
            worker = WorkerDescription(WORKER, offered, CLAIM_MAX, protocol=1, facts={"does_all": True})
            await self.ask(lambda engine: engine.register(worker))
            self._offered = offered
        leases = await self.ask(lambda engine: engine.poll(WORKER, timeout_ms=POLL_MS, max_tasks=CLAIM_MAX))
        for lease in leases:
            await self._run(lease)
        return True

    async def _run(self, lease: Lease) -> None:
        mock = self._mocks.get(lease.body["type"])
        body = {**lease.body, "attempt": lease.attempt}
        reply = await mock.reply(body, mock.contract or self._contracts(mock.name))
        self.bodies.append(body)
        self._note(lease, reply)
        if not isinstance(reply, Held):
            await self._report(lease, reply)
            return
        if reply.is_alive:
            sign = LeaseSign(lease.task_id, lease.attempt, lease.fence)
            await self.ask(lambda engine: engine.heartbeat(WORKER, WorkerPatch(), (sign,)))
            until = None if reply.delay_ms is None else UnixMs(self.clock() + reply.delay_ms)
            run = _Run(lease, until, reply.outcome, reply.signs_ms)
            run.signs_at = None if reply.signs_ms is None else UnixMs(self.clock() + reply.signs_ms)
            self._runs.append(run)

    def _note(self, lease: Lease, reply: Reply) -> None:
        parts = split_task_id(lease.task_id)
        assert parts is not None, lease.task_id
        self.asked.setdefault(parts, Asked(lease.body["params"], [])).replies.append(reply)

    async def _report_runs(self) -> bool:
        """Runs that are over now, or that somebody wants to end."""
        (part,) = self.state.partitions
        cancelled = set() if self.deaf else set(self.state.workers.cancels(WORKER))
        for run in self._runs:
            task = part.tasks.get(TaskId(run.lease.task_id))
            if task is None or task.fence != run.lease.fence:
                self._runs.remove(run)
                return True
            is_over = run.until is not None and run.until <= self.clock()
            if not is_over and run.signs_at is not None and run.signs_at <= self.clock():
                await self._sign(run)
                return True
            if is_over or run.lease.task_id in cancelled:
                self._runs.remove(run)
                outcome = run.outcome if is_over and run.outcome is not None else {"status": "cancelled"}
                await self._report(run.lease, outcome)
                return True
        return False

    async def _sign(self, run: _Run) -> None:
        """The handler says that it is at it."""
        assert run.signs_ms is not None
        run.signs_at = UnixMs(self.clock() + run.signs_ms)
        sign = LeaseSign(run.lease.task_id, run.lease.attempt, run.lease.fence, silent_ms=0)
        await self.ask(lambda engine: engine.heartbeat(WORKER, WorkerPatch(), (sign,)))

    async def _report(self, lease: Lease, outcome: Mapping[str, Any]) -> None:
        error = outcome.get("error") or {}
        after_s = error.get("retry_after_seconds")
        report = TaskReport(
            job_id=lease.job_id,
            task_id=lease.task_id,
            worker_id=WORKER,
            status=outcome["status"],
            data=outcome.get("data"),
            code=error.get("code", ""),
            message=error.get("message", ""),
            retry_after_ms=None if after_s is None else round(after_s * 1000),
            kind=error.get("type", ""),
            attempt=lease.attempt,
            fence=lease.fence,
        )
        await self.ask(lambda engine: engine.report(report, next_tasks=0))


def type_of(task: Task) -> str:
    found: str = orjson.loads(task.body)["type"]
    return found


async def _last_breath(replica: _Replica, answer: "asyncio.Future[Any]") -> None:
    """What a dead replica has begun ends at its next write; what it had answered before is heard."""
    replica.engine.drain()  # so that nobody stands in line there any more
    await replica.engine.settled()
    for _ in range(LAST_BREATHS):
        if answer.done():
            return
        await asyncio.sleep(0)
