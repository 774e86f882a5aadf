"""The model's front: finds the partition, and gives each replica a store of its own on the shared state."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Final

from muster.core.ids import JobId, TaskId, partition_of, split_task_id
from muster.core.limits import SEATS_PER_CALL_MAX
from muster.core.record import JobRecord
from muster.core.status import JobStatus, TaskStatus
from muster.store.admission import Limited, PutOff, Taken
from muster.store.base import (
    Claim,
    Claimed,
    Commit,
    Committed,
    Completed,
    Completion,
    Existing,
    LeaseRef,
    LiveTask,
    NewJob,
    NewTask,
    Position,
    QueueState,
    RawEvent,
    Refusal,
    Refused,
    Stepped,
    Tick,
    Turn,
)
from muster.store.index import DayCost, Glance, IndexPage
from muster.store.journal import Appended, Known, LiveRead, LogRead, NotedLine, StoredSteps, TaskEvents
from muster.store.keys import short_hash
from muster.store.memory import index, jobs, journal, steps, tasks, ticks
from muster.store.memory.approvals import MemoryApprovals
from muster.store.memory.batches import MemoryBatches
from muster.store.memory.blueprints import MemoryBlueprintRecords
from muster.store.memory.children import MemoryChildren
from muster.store.memory.connections import MemoryConnectionRecords
from muster.store.memory.figures import MemoryFigures
from muster.store.memory.files import MemoryFileRecords
from muster.store.memory.fleet import MemoryFleet
from muster.store.memory.flow import MemoryFlow
from muster.store.memory.model import Delivery
from muster.store.memory.operations import MemoryOperations
from muster.store.memory.partition import Partition
from muster.store.memory.standing import MemoryStanding
from muster.store.memory.workers import Workers

WATCHERS_MAX: Final = 8
"""The newest replicas that asked about a job are told of its changes."""

OnMessage = Callable[[int, str], None]
"""Partition and text of a message to this replica."""


def unix_ms() -> int:
    return time.time_ns() // 1_000_000


class MemoryState:
    """What all replicas of one deployment share. *now* gives milliseconds since 1970."""

    def __init__(self, *, now: Callable[[], int] = unix_ms, partitions: int = 1) -> None:
        self.now = now
        self.partition_count = partitions
        self.listeners: dict[str, OnMessage] = {}
        self.erase()

    def erase(self) -> None:
        """Forget everything but who listens."""
        self.partitions = [self._partition(number) for number in range(self.partition_count)]
        self.workers = Workers(self.now)
        self.files = MemoryFileRecords(self.now, self.partition_with)
        self.figures = MemoryFigures(self.files, self.partitions)
        self.standing = MemoryStanding(self.partitions)
        self.flow = MemoryFlow(self.partitions)
        self.children = MemoryChildren(self.partition_with, jobs.make_job)
        self.operations = MemoryOperations(self.partition_with, self.partitions)
        self.approvals = MemoryApprovals(self.partitions)
        self.connections = MemoryConnectionRecords(self.now)
        self.fleet = MemoryFleet(self.now, self.workers, self.partitions, self.tell_all)
        self.batches = MemoryBatches(self.partitions)
        self.blueprints = MemoryBlueprintRecords(self.now, self.partitions, self.tell_all)
        self.secret: str | None = None

    def _partition(self, index: int) -> Partition:
        return Partition(self.now, lambda replica, text: self.send(index, replica, text))

    def partition_with(self, job: JobId) -> Partition | None:
        """The partition of *job*, or None where this deployment has none such: no such job exists then."""
        index = partition_of(job)
        return self.partitions[index] if index < self.partition_count else None

    def send(self, partition: int, replica: str, text: str) -> bool:
        """Deliver at the next turn of the event loop, as a server would: never inside the call that sends."""
        listener = self.listeners.get(replica)
        if listener is None:
            return False
        asyncio.get_running_loop().call_soon(listener, partition, text)
        return True

    def tell_all(self, text: str) -> None:
        for replica in list(self.listeners):
            self.send(0, replica, text)


class MemoryStore:
    """One replica's store on *state*. Between `open` and `close` it listens for messages to *replica*."""

    def __init__(self, state: MemoryState, *, replica: str = "", on_message: OnMessage | None = None) -> None:
        self._state = state
        self._replica = replica
        self._on_message = on_message

    @property
    def partitions(self) -> int:
        return self._state.partition_count

    async def open(self) -> None:
        if self._replica:
            self._state.listeners[self._replica] = self._on_message or (lambda _partition, _text: None)

    async def close(self) -> None:
        self._state.listeners.pop(self._replica, None)

    @property
    def files(self) -> MemoryFileRecords:
        return self._state.files

    @property
    def figures(self) -> MemoryFigures:
        return self._state.figures

    @property
    def standing(self) -> MemoryStanding:
        return self._state.standing

    @property
    def flow(self) -> MemoryFlow:
        return self._state.flow

    @property
    def fleet(self) -> MemoryFleet:
        return self._state.fleet

    @property
    def children(self) -> MemoryChildren:
        return self._state.children

    @property
    def operations(self) -> MemoryOperations:
        return self._state.operations

    @property
    def approvals(self) -> MemoryApprovals:
        return self._state.approvals

    @property
    def batches(self) -> MemoryBatches:
        return self._state.batches

    @property
    def connections(self) -> MemoryConnectionRecords:
        return self._state.connections

    @property
    def blueprints(self) -> MemoryBlueprintRecords:
        return self._state.blueprints

    def _of(self, job: JobId) -> Partition | None:
        return self._state.partition_with(job)

    def _home(self, job: JobId) -> Partition:
        return self._state.partitions[partition_of(job)]

    # Jobs

    async def submit(
        self, job: NewJob, token: str, first: Commit | None = None
    ) -> Turn | Existing | Committed | Limited | Taken | PutOff:
        return jobs.submit(self._home(job.id), job, token, first, self._replica)

    async def commit(self, commit: Commit) -> Committed | Refused:
        return jobs.commit(self._home(commit.job), commit, self._replica)

    async def step(self, completion: Completion, decided: Commit) -> Stepped | Completed | Refused:
        part = self._of(completion.job)
        return Refused(Refusal.GONE, -1) if part is None else steps.step(part, completion, decided, self._replica)

    async def spawn(self, job: JobId, version: int, token: str, wave: int, tasks: Sequence[NewTask]) -> bool:
        return jobs.spawn(self._home(job), job, version, token, wave, tasks)

    async def defer(self, job: JobId, token: str, delay_ms: int, *, failed: bool, details: str = "") -> int | None:
        return jobs.defer(self._home(job), job, token, delay_ms, failed=failed, details=details)

    async def signal(self, job: JobId, wave: int, item: str, history: str, token: str) -> Turn | Refused:
        return jobs.signal(self._home(job), job, wave, item, history, token)

    async def send(
        self, job: JobId, name: str, item: str, history: str, token: str, signals_max: int
    ) -> Turn | Refused | None:
        part = self._of(job)
        return Refused(Refusal.GONE) if part is None else jobs.send(part, job, name, item, history, token, signals_max)

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
        return jobs.cancel(self._home(job), job, token, grace_ms, history, below, queued=queued, overdue=overdue)

    async def read(self, job: JobId, watcher: str = "", *, changes: bool = False) -> JobRecord | None:
        part = self._of(job)
        found = part.job(job) if part is not None else None
        if part is None or found is None:
            return None
        if watcher and not found.is_final:
            told = found.followers if changes else found.watchers
            if watcher not in told:
                told[:] = [watcher, *told][:WATCHERS_MAX]
        return index.with_worker(part, found)

    async def watch_tenant(self, tenant: str, watcher: str, ttl_ms: int) -> bool:
        flow = short_hash(tenant)
        known = [part.watch_tenant(flow, watcher, ttl_ms) for part in self._state.partitions]
        return all(known)

    async def history(self, job: JobId) -> tuple[RawEvent, ...]:
        found = self._home(job).job(job)
        return () if found is None else tuple(found.history)

    # Lists

    async def jobs(self, tenant: str, before: Position | None, limit: int, *, final: bool | None = None) -> IndexPage:
        return index.listed(self._state.partitions, tenant, before, limit, final)

    async def tagged(
        self, tenant: str, tag: str, before: Position | None, limit: int, *, final: bool | None = None
    ) -> IndexPage:
        return index.tagged(self._state.partitions, tenant, tag, before, limit, final)

    async def glances(
        self, tenant: str, *, tag: str | None, statuses: frozenset[JobStatus] | None, most: int
    ) -> Sequence[Glance]:
        return index.glances(self._state.partitions, tenant, tag, statuses)[:most]

    async def day_costs(self, tenant: str, days: Sequence[date]) -> tuple[DayCost, ...]:
        return index.day_costs(self._state.partitions, tenant, days)

    async def durations(self, tenant: str, meter: str) -> tuple[int, ...]:
        return index.durations(self._state.partitions, tenant, meter, self._state.now())

    async def delete(self, job: JobId) -> tuple[str, ...]:
        part = self._of(job)
        if part is None:
            return ()
        index.delete(part, job)
        part.wake_opened()
        return self.files.drop_artifacts(job)

    # Tasks

    async def claim(self, partition: int, claim: Claim) -> tuple[Claimed, ...]:
        assert len(claim.seats) <= SEATS_PER_CALL_MAX, len(claim.seats)
        return self._state.partitions[partition].claim(claim)

    async def complete(self, completion: Completion) -> Completed | Refused:
        part = self._of(completion.job)
        return Refused(Refusal.GONE, -1) if part is None else tasks.complete(part, completion)

    async def extend(self, partition: int, worker: str, lease_ms: int, leases: Sequence[LeaseRef]) -> tuple[str, ...]:
        return tasks.extend(self._state.partitions[partition], worker, lease_ms, leases)

    async def release(self, task: TaskId, attempt: int, fence: str) -> bool:
        parts = split_task_id(task)
        assert parts is not None, task
        return tasks.release(self._home(parts[0]), task, attempt, fence)

    async def live_task(self, job: JobId, number: int) -> LiveTask | None:
        part = self._of(job)
        return None if part is None else tasks.live_task(part, job, number)

    async def append(self, events: TaskEvents) -> Appended | Refused:
        part = self._of(events.job)
        return Refused(Refusal.GONE, -1) if part is None else journal.append(part, events)

    async def note_line(self, line: NotedLine) -> bool | Refused:
        part = self._of(line.job)
        return Refused(Refusal.GONE, -1) if part is None else journal.note_line(part, line)

    async def read_log(self, job: JobId, start: int, watcher: str = "") -> LogRead | None:
        part = self._of(job)
        return None if part is None else journal.read_log(part, job, start, watcher)

    async def read_steps(self, job: JobId) -> StoredSteps:
        part = self._of(job)
        return StoredSteps() if part is None else journal.read_steps(part, job)

    async def read_live(self, job: JobId, known: Known, watcher: str = "") -> LiveRead | None:
        part = self._of(job)
        found = None if part is None else part.job(job)
        if part is None or found is None:
            return None
        artifacts = self._state.files.artifacts_since(job, known.artifacts)
        return journal.read_live(found, index.with_worker(part, found), artifacts, known, watcher)

    async def tick(self, partition: int, token_prefix: str, first_turns: int = 0) -> Tick:
        return ticks.tick(self._state.partitions[partition], token_prefix, first_turns)

    async def settle(self, partition: int, message: str, tries: int, retry_in_ms: int | None) -> None:
        part = self._state.partitions[partition]
        outgoing = part.outbox.get(message)
        if outgoing is None or outgoing.tries != tries:
            return
        if retry_in_ms is None:
            del part.outbox[message]
            part.timers.pop(Delivery(message), None)
        else:
            outgoing.tries += 1
            part.send_later(message, retry_in_ms)

    async def queue(self, partition: int) -> QueueState:
        part = self._state.partitions[partition]
        return QueueState(
            ready=part.ready(),
            types={cls: part.kinds[cls] for cls in part.ready()},
            leased=Counter(task.status for task in part.tasks.values())[TaskStatus.LEASED],
            jobs={str(status): count for status, count in part.counts.items()},
        )

    # Workers

    async def register(self, worker: str, ttl_ms: int, fields: Mapping[str, str]) -> None:
        self._state.workers.register(worker, ttl_ms, fields)

    async def beat(
        self, worker: str, ttl_ms: int, fields: Mapping[str, str]
    ) -> tuple[dict[str, str], tuple[str, ...]] | None:
        return self._state.workers.beat(worker, ttl_ms, fields)

    async def touch(self, ttl_ms: int, workers: Sequence[str]) -> tuple[str, ...]:
        return self._state.workers.touch(ttl_ms, workers)

    async def worker(self, worker: str) -> dict[str, str] | None:
        known = self._state.workers.known(worker)
        return None if known is None else dict(known)

    async def workers(self) -> tuple[dict[str, str], ...]:
        return self._state.workers.all()

    async def ask_cancel(self, worker: str, tasks: Sequence[str]) -> None:
        self._state.workers.ask_cancel(worker, tasks)

    async def cancels(self, worker: str) -> tuple[str, ...]:
        return self._state.workers.cancels(worker)

    async def forget_cancel(self, worker: str, task: str) -> None:
        self._state.workers.forget_cancel(worker, task)

    # The rest

    async def publish(self, replica: str, message: str) -> bool:
        return self._state.send(0, replica, message)

    async def secret(self, fresh: str) -> str:
        self._state.secret = self._state.secret or fresh
        return self._state.secret

    async def ping(self) -> bool:
        return True

    async def flush(self) -> None:
        self._state.erase()
