"""How jobs and leases stand, in the model."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from muster.core.ids import JobId, UnixMs, partition_of
from muster.core.limits import BAND_AGE_MS
from muster.core.status import TaskStatus
from muster.store.keys import short_hash
from muster.store.memory.flow import gate_of
from muster.store.memory.index import with_worker
from muster.store.memory.model import GraceEnd, Job, Order, PreferenceEnd, Task, TaskStart, WaitEnd, WaitLimit
from muster.store.memory.partition import Partition
from muster.store.standing import HELD_MAX, KINDS_IN_LINE, TASKS_LOOKED_AT, Held, ShutGate, Standing, StandingTask


class MemoryStanding:
    def __init__(self, partitions: Sequence[Partition]) -> None:
        self._partitions = partitions

    async def of(self, job: JobId) -> Standing | None:
        index = partition_of(job)
        part = self._partitions[index] if index < len(self._partitions) else None
        found = None if part is None else part.job(job)
        return None if part is None or found is None else _standing(part, found)

    async def held(self, partition: int) -> tuple[Held, ...]:
        part = self._partitions[partition]
        leased = [task for task in part.tasks.values() if task.status is TaskStatus.LEASED][:HELD_MAX]
        return tuple(
            sorted(
                (Held(task.id, part.kinds.get(task.cls, ""), task.worker, task.cls) for task in leased),
                key=lambda h: h.task,
            )
        )

    async def queued(self, partition: int) -> Mapping[str, int]:
        part = self._partitions[partition]
        counts: Counter[str] = Counter()
        for cls, count in part.ready().items():
            counts[part.kinds[cls]] += count
        return {kind: count for kind, count in counts.items() if count}


def _standing(part: Partition, job: Job) -> Standing:
    record = with_worker(part, job)
    live = sorted((task for task in part.tasks.values() if task.job == job.id), key=lambda task: task.number)
    shown = [task for task in live if task.wave == record.wave][:TASKS_LOOKED_AT]
    return Standing(
        record=record,
        now=UnixMs(part.now()),
        turn_at=_moment(job.turn_at),
        turn_held=bool(job.turn_token),
        need=job.need,
        timer_at=_moment(part.timers.get(WaitEnd(job.id, record.wave))),
        grace_until=_moment(part.timers.get(GraceEnd(job.id))),
        live_tasks=len(live),
        tasks=_in_line(part, shown),
        gates=_shut_gates(part, shown),
        signals=tuple(short_hash(name) for name, _ in job.signals),
    )


def _in_line(part: Partition, tasks: Sequence[Task]) -> tuple[StandingTask, ...]:
    """The first ready task of each type with its place in line."""
    ready = [task for task in tasks if task.status is TaskStatus.READY]
    first = {cls: min(_of(ready, cls), key=_place) for cls in list(Counter(t.cls for t in ready))[:KINDS_IN_LINE]}
    counted = {task.id: part.queues[cls].before(task) for cls, task in first.items()}
    return tuple(replace(_shown(part, task), before=counted.get(task.id)) for task in tasks)


def _shut_of(part: Partition, task: Task) -> tuple[str, ...]:
    if task.status is not TaskStatus.READY:
        return ()
    return tuple(gate for gate in part.gates.of(task.cls, task.flow) if part.gates.room(gate).free <= 0)


def _shut_gates(part: Partition, tasks: Sequence[Task]) -> tuple[ShutGate, ...]:
    names = {gate for task in tasks for gate in _shut_of(part, task)}
    return tuple(_shut_gate(part, name) for name in sorted(names))


def _shut_gate(part: Partition, name: str) -> ShutGate:
    policy, gate = part.gates.policy(name), gate_of(part.gates, name)
    assert policy is not None, name
    return ShutGate(name, gate.held, gate.holders, policy.most, gate.opens_at, policy.counting)


def _of(tasks: Sequence[Task], cls: str) -> list[Task]:
    return [task for task in tasks if task.cls == cls]


def _place(task: Task) -> tuple[int, int, Order]:
    return task.order[0] + task.band * BAND_AGE_MS, task.band, task.order


def _shown(part: Partition, task: Task) -> StandingTask:
    since: int | None = task.ready_at
    until: int | None = None
    if task.status is TaskStatus.LEASED:
        since, until = task.claimed_at, task.lease_ends_at
    elif task.status is TaskStatus.GATED:
        since, until = None, part.timers.get(TaskStart(task.id))
    prefers = part.timers.get(PreferenceEnd(task.id)) if task.status is TaskStatus.READY else None
    return StandingTask(
        task.number, task.status, part.kinds.get(task.cls, ""), task.attempt, task.worker, _moment(since),
        _moment(until), task.failures, task.losses,
        cls=task.cls,
        prefers_until=_moment(prefers),
        put_back=task.put_back if task.status is TaskStatus.GATED else "",
        requeues=task.requeues,
        fails_at=_moment(part.timers.get(WaitLimit(task.id))),
        close_at=_moment(task.close_at),
        rules=task.rules if task.status is TaskStatus.GATED else b"",
        shut=_shut_of(part, task),
    )  # fmt: skip


def _moment(at: int | None) -> UnixMs | None:
    return None if at is None else UnixMs(at)
