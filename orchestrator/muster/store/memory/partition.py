"""One partition of the model: its jobs, their tasks, and what every operation on them shares."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from muster.core.ids import JobId, TaskId, UnixMs
from muster.core.limits import TURN_LEASE_MS
from muster.core.metering import cost_of
from muster.core.status import JobStatus, TaskStatus
from muster.store.base import Claim, Claimed, NewTask, RawEvent, Turn
from muster.store.codec import load_item
from muster.store.memory import claiming
from muster.store.memory.gates import LOOK_AGAIN_MS, OPENED_MAX, Gates, Room
from muster.store.memory.ledger import Ledger
from muster.store.memory.model import (
    Delivery,
    Drop,
    GateOpens,
    Job,
    Order,
    Outgoing,
    PreferenceEnd,
    Task,
    TaskStart,
    Timer,
    WaitLimit,
    member_of,
)
from muster.store.memory.queue import FairQueue

if TYPE_CHECKING:
    from muster.store.memory.batching import Kept

BAND_OF_PRIORITY_0 = 32
WAKES_PER_CALL_MAX = 8
HISTORY_KEPT, HISTORY_SLACK = 1_000, 100

Send = Callable[[str, str], bool]
"""Sends a text to a replica; False when nobody listens."""


class Partition:
    def __init__(self, now: Callable[[], int], send: Send) -> None:
        self.now = now
        self._send = send
        self._calls = 0
        self.jobs: dict[JobId, Job] = {}
        self.tasks: dict[TaskId, Task] = {}
        self.queues: dict[str, FairQueue] = {}
        self.kinds: dict[str, str] = {}
        """Task types by class."""
        self.waiting: dict[str, dict[str, int]] = {}
        """Replicas that wait for work, by class: since when."""
        self.timers: dict[Timer, int] = {}
        self.outbox: dict[str, Outgoing] = {}
        self.idempotency_keys: dict[str, tuple[JobId, str, int]] = {}
        """To the job, the fingerprint and when it is forgotten."""
        self.counts: Counter[str] = Counter()
        self.batches: dict[str, Kept] = {}
        self.rates: dict[str, float] = {}
        """Of clients, by GCRA: when the next submit would be expected."""
        self.unique: dict[str, tuple[JobId, int | None]] = {}
        """To the job that has the key, and until when; None: while it lives."""
        self.debounced: dict[str, tuple[JobId, int]] = {}
        """To the job, and when it was first asked for."""
        self.ledger = Ledger()
        self.gates = Gates(now)
        self.tenant_watchers: dict[str, dict[str, int]] = {}
        """Replicas that are told of every change of a tenant's jobs, newest last: until when."""

    # Jobs

    def job(self, job_id: JobId) -> Job | None:
        job = self.jobs.get(job_id)
        if job is not None and job.expires_at is not None and job.expires_at <= self.now():
            del self.jobs[job_id]
            return None
        return job

    def lease_turn(self, job: Job, token: str) -> Turn:
        job.turn_token, job.turn_at = token, self.now() + TURN_LEASE_MS
        return self.turn(job)

    def turn(self, job: Job) -> Turn:
        """The turn as its holder sees it."""
        return Turn(job.turn_token, job.record, tuple(load_item(item.encode()) for item in job.mailbox))

    def set_status(self, job: Job, status: JobStatus) -> None:
        self.counts[job.record.status] -= 1
        self.counts[status] += 1
        job.record = replace(job.record, status=status)

    def changed(self, job: Job, line: int | None = None) -> None:
        """Something changed that a watcher may see, without a commit. *line* was the newest one before."""
        job.record = replace(job.record, revision=job.record.revision + 1)
        self.announce(job, line)

    def announce(self, job: Job, line: int | None = None) -> None:
        for replica in job.followers:
            self._send(replica, f"j|{job.id}")
        self.announce_to_tenant(job, job.last_line if line is None else line)

    def announce_to_tenant(self, job: Job, line: int, late: int | None = None) -> None:
        """*line* was the newest one before; where one came late, so many had."""
        place = f"{line}" if late is None else f"{line}.{late}"
        for replica in self._watching(job.flow):
            self._send(replica, f"t|{job.flow}|{job.id}|{place}")

    def is_watched(self, job: Job) -> bool:
        return bool(self._watching(job.flow))

    def _watching(self, flow: str) -> dict[str, int]:
        now = self.now()
        return {name: ends for name, ends in self.tenant_watchers.get(flow, {}).items() if ends > now}

    def watch_tenant(self, flow: str, replica: str, ttl_ms: int) -> bool:
        """Whether it was watching already."""
        watching = self._watching(flow)
        known = watching.pop(replica, None) is not None
        kept = list(watching.items())[-7:]
        self.tenant_watchers[flow] = {**dict(kept), replica: self.now() + ttl_ms}
        return known

    def announce_end(self, job: Job, ended_by: str) -> None:
        """Who ended the job tells its own watchers itself."""
        for replica in job.watchers:
            if replica != ended_by:
                self._send(replica, f"j|{job.id}")
        self.announce_log(job)
        job.watchers, job.followers, job.readers = [], [], []

    def announce_log(self, job: Job) -> None:
        for replica in job.readers:
            self._send(replica, f"l|{job.id}")

    def note(self, job: Job, blob: str, duration_ms: int | None = None) -> None:
        if blob:
            job.history.append(RawEvent(UnixMs(self.now()), duration_ms, blob))
            if len(job.history) > HISTORY_KEPT + HISTORY_SLACK:
                del job.history[:-HISTORY_KEPT]

    def leased_tasks(self, job: Job) -> list[Task]:
        return [task for task in self.tasks.values() if task.job == job.id and task.status is TaskStatus.LEASED]

    def make_due(self, job: Job) -> None:
        """The job's turn comes now, or its holder sees the change at the commit."""
        job.need = 0
        if not job.turn_token:
            job.turn_at = self.now()

    def send_soon(self, message: str, outgoing: Outgoing) -> None:
        self.outbox[message] = outgoing
        self.send_later(message, 0)

    # Tasks

    def is_wanted(self, task: Task) -> bool:
        """Whether anybody waits for the task's result: its job lives, was not cancelled, and has not moved on.

        A fan that is being spawned may be the clean-up after a cancel.
        """
        job = self.job(task.job)
        if job is None or job.is_final:
            return False
        if task.wave == job.record.spawn_wave:
            return True
        return task.wave == job.record.wave and not job.record.cancel_requested

    def add_tasks(
        self, job: Job, wave: int, new_tasks: Sequence[NewTask], claim: Claim | None = None
    ) -> tuple[Counter[str], tuple[Claimed, ...]]:
        """Make tasks ready, or lease them to *claim* where nobody is queued before them.

        Returns how many of each class became ready, and what was leased.
        """
        self._calls += 1
        made: Counter[str] = Counter()
        claimed: list[Claimed] = []
        for place, new in enumerate(new_tasks):
            cls = new.queue_class
            self.kinds.setdefault(cls, new.type)
            task = Task(
                job.id, new.number, cls, job.flow + new.flow, wave, BAND_OF_PRIORITY_0 - new.priority, new.timeout_ms,
                new.body, new.rules, order=(self.now(), self._calls, place), ready_at=self.now(),
                schedule_to_start_ms=new.schedule_to_start_ms, heartbeat_ms=new.heartbeat_ms,
                close_at=None if new.schedule_to_close_ms is None else self.now() + new.schedule_to_close_ms,
            )  # fmt: skip
            self.tasks[task.id] = task
            served = claim is not None and cls in claim.classes and len(claimed) < len(claim.seats)
            gates = self.gates.of(cls, task.flow)
            if claim is not None and served and not self.is_ready(cls) and self.gates.passes(gates):
                claimed.append(self.lease(task, claim, len(claimed)))
                self._may_go_to_anybody(task, new)
                self.gates.pass_rates(gates, 1)
            else:
                self._prefers(task, new)
                made[cls] += self.enqueue(task)
        return made, tuple(claimed)

    def _may_go_to_anybody(self, task: Task, new: NewTask) -> None:
        """It found whom it prefers; should it come back, it waits for nobody."""
        if new.fallback is not None:
            task.cls = new.fallback[0]
            self.kinds.setdefault(task.cls, new.type)

    def _prefers(self, task: Task, new: NewTask) -> None:
        if new.fallback is not None:
            task.fallback, wait_ms = new.fallback
            self.timers[PreferenceEnd(task.id)] = self.now() + wait_ms

    def queue(self, cls: str) -> FairQueue:
        return self.queues.setdefault(cls, FairQueue(self.gates.cost_of))

    def enqueue(self, task: Task) -> bool:
        """Put *task* into its flow. False where nobody can find it now: the flow is parked at a gate that is shut."""
        task.status = TaskStatus.READY
        self.limit_wait(task, task.ready_at)
        queue = self.queue(task.cls)
        queue.add(task)
        gate, _ = queue.parked.get(task.flow, ("", None))
        return not gate or gate in self.gates.open.get(task.cls, {})

    def limit_wait(self, task: Task, ready_at: int | None) -> None:
        if (till := task.waits_until(ready_at)) is not None:
            self.timers[WaitLimit(task.id)] = till

    def leave_queue(self, task: Task) -> None:
        queue = self.queue(task.cls)
        gate, _ = queue.parked.get(task.flow, ("", None))
        queue.remove(task)
        if gate:
            self.gates.forget_parking(task.cls, gate, queue)

    def ready(self) -> dict[str, int]:
        """Tasks that a claim may find, by class; classes without any are left out."""
        counts = {cls: queue.ready(self.gates.open.get(cls, ())) for cls, queue in self.queues.items()}
        return {cls: count for cls, count in counts.items() if count}

    def is_ready(self, cls: str) -> bool:
        return bool(self.queues.get(cls)) or bool(self.gates.open.get(cls))

    def next_order(self) -> Order:
        """A place behind every task that is ready now."""
        self._calls += 1
        return self.now(), self._calls, 0

    def forget(self, task: Task) -> None:
        """Drop a task whatever its state. Its job is not told, but pays for a run that is cut off."""
        if task.status is TaskStatus.LEASED and (job := self.job(task.job)) is not None:
            self.charge(job, task)
        self.end_lease(task)
        if task.status is TaskStatus.READY:
            self.leave_queue(task)
        self.timers.pop(TaskStart(task.id), None)
        self.timers.pop(WaitLimit(task.id), None)
        self.tasks.pop(task.id, None)

    def end_lease(self, task: Task) -> None:
        """Every way in which a lease ends goes through here. Call `wake_opened` at the end."""
        held, task.held = task.held, ()
        for gate in held:
            self.gates.leave(task.id, gate)
            self.open_gate(gate)

    def charge(self, job: Job, task: Task) -> int:
        """Let *job* pay for a run that ends now. Returns the ms it took."""
        ran_ms = self.now() - task.claimed_at if task.worker else 0
        cost = cost_of(ran_ms, task.price)
        job.run_ms += ran_ms
        job.record = replace(job.record, cost_micros=job.record.cost_micros + cost)
        if job.is_final:  # it has been counted already
            self.ledger.add(job, 0, ran_ms, cost)
        return ran_ms

    def lease(self, task: Task, claim: Claim, place: int) -> Claimed:
        """Give *task* to the seat at *place*."""
        now, seat = self.now(), claim.seats[place]
        task.status, task.attempt = TaskStatus.LEASED, task.attempt + 1
        task.worker, task.fence, task.patient = seat.worker, seat.fence, seat.patient
        task.price = dict(seat.prices).get(task.cls, seat.price)
        self.timers.pop(WaitLimit(task.id), None)
        task.claimed_at = task.sign_at = now
        task.must_end_at = min(now + task.timeout_ms, task.close_at or now + task.timeout_ms)
        left_ms = None if task.must_end_at == now + task.timeout_ms else max(task.must_end_at - now, 0)
        task.silence_ends_at = now + seat.lease_ms
        task.lease_ends_at = task.lease_end
        task.held = self.gates.hold(task.id, self.gates.of(task.cls, task.flow))
        job = self.jobs[task.job]
        if job.record.started_at is None:
            job.record = replace(job.record, started_at=UnixMs(now))
        if claim.history:
            event = f'{{"e":"task_started","n":{task.number},"a":{task.attempt},"w":"{seat.worker}"}}'
            self.note(job, event)
        if job.followers or self.is_watched(job):
            self.changed(job)
        return Claimed(place, task.id, task.attempt, task.body, now - task.ready_at, left_ms)

    # Claims and wake-ups

    def claim(self, claim: Claim, first_seat: int = 0) -> tuple[Claimed, ...]:
        """Fill the claim's seats from its classes, in order; then see to who is woken next."""
        return claiming.claim(self, claim, first_seat)

    def wake(self, cls: str, count: int) -> None:
        """Tell up to *count* waiting replicas, longest waiting first, of work. Dead ones are skipped.

        A class that is shut wakes nobody: it is told when its gate opens.
        """
        room = self.gates.room_of(self.gates.of_class(cls))
        if room.free <= 0:
            self.shut(cls, room)
            return
        left = min(count, WAKES_PER_CALL_MAX, room.free)
        waiting = self.waiting.get(cls, {})
        while left > 0 and waiting:
            replica = min(waiting, key=lambda name: (waiting[name], name))
            del waiting[replica]
            left -= self._send(replica, f"c|{cls}")

    def shut(self, cls: str, room: Room) -> None:
        self.gates.shut(cls, room.gate)
        if room.opens_at is not None:
            self._look_again(room.gate, room.opens_at)

    def _look_again(self, gate: str, at: int) -> None:
        timer = GateOpens(gate)
        if at < self.timers.get(timer, at + 1):
            self.timers[timer] = at
            self.gates.nudge_at = min(self.gates.nudge_at or at, at)

    def open_gate(self, gate: str) -> None:
        """It may have room again: as many of the classes it shut may pass as it has room for replicas that wait."""
        if not self.gates.waiting.get(gate):
            return
        room = self.gates.room(gate)
        if room.free <= 0:
            if room.opens_at is not None:
                self._look_again(gate, room.opens_at)
            return
        free = room.free
        for _ in range(OPENED_MAX):
            cls = self.gates.popped(gate)
            if cls is None:
                return
            if self.queue(cls).is_parked_at(gate):
                self.gates.open.setdefault(cls, {}).setdefault(gate, self.now())
            self.gates.opened.append(cls)
            free -= bool(self.waiting.get(cls))
            if free <= 0:
                break
        if self.gates.waiting.get(gate):
            self._look_again(gate, self.now() + LOOK_AGAIN_MS)

    def wake_opened(self, replica: str = "") -> None:
        """Tell the classes that were let pass, and *replica* of a timer that was set."""
        opened, self.gates.opened = self.gates.opened, []
        for cls in opened:
            if self.is_ready(cls):
                self.wake(cls, 1)
        if replica and self.gates.nudge_at is not None:
            self._send(replica, f"d|{max(self.gates.nudge_at - self.now(), 0)}")
            self.gates.nudge_at = None

    def wake_all(self, made: Counter[str]) -> None:
        for cls, count in made.items():
            self.wake(cls, count)

    # Timers

    def due(self, timers: Iterable[tuple[Timer, int]]) -> list[Timer]:
        now = self.now()
        return [timer for timer, at in sorted(timers, key=lambda pair: (pair[1], member_of(pair[0]))) if at <= now]

    def drop_later(self, job: Job, low: int, high: int) -> None:
        self.timers[Drop(job.id, low, high)] = self.now()

    def send_later(self, message: str, delay_ms: int) -> None:
        self.timers[Delivery(message)] = self.now() + delay_ms
