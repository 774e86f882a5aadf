"""What `why` says, held against what the model remembers: every reason has its cause, and every cause its reason."""

from collections.abc import Iterator

import pytest
from muster.core.ids import UnixMs
from muster.core.record import Wait
from muster.core.status import TaskStatus
from muster.engine.engine import Engine
from muster.engine.reasons import Code, Explanation, Reason
from muster.store.memory.model import Job, Task, TaskStart, WaitEnd
from muster.store.memory.partition import Partition
from muster.store.standing import TASKS_LOOKED_AT
from muster.testing.machine import Machine

LOOKED_AT_MAX = TASKS_LOOKED_AT
"""Tasks of one job; of a wider fan `why` itself looks at some."""
TURN = {Code.TURN_DUE, Code.TURN_RUNNING, Code.TURN_FAILED, Code.VERSION_MISSING, Code.DEBOUNCED}
READY = {
    Code.NO_WORKER, Code.NEEDS_UNMET, Code.PREFERRED_WORKER, Code.WORKERS_SLOWED, Code.WORKERS_DRAINING,
    Code.LIMIT_FULL, Code.LIMIT_PAUSED, Code.LIMIT_RATE, Code.FAN_FULL, Code.WORKERS_BUSY, Code.WORKER_FREE,
}  # fmt: skip
LIMITS = (Code.LIMIT_FULL, Code.LIMIT_PAUSED, Code.LIMIT_RATE, Code.FAN_FULL)
GATED = {Code.TASK_BACKOFF, Code.TASK_REQUEUED}
KINDS = {"human": {Code.PERSON}, "timer": {Code.TIMER}, "signal": {Code.SIGNAL, Code.UPLOADS}, "child": {Code.CHILD}}


async def wrong_reasons(part: Partition, engine: Engine) -> list[str]:
    """What `why` says of the partition's live jobs and is not so, or does not say though it is."""
    found: list[str] = []
    for job in list(part.jobs.values()):
        tasks = [task for task in part.tasks.values() if task.job == job.id and task.wave == job.record.wave]
        if job.is_final or len(tasks) > LOOKED_AT_MAX:
            continue
        said = await engine.why(job.record.tenant, job.id)
        found += [
            f"{job.id} {wrong}: {[r.code.value for r in said.reasons]}" for wrong in _wrong(part, job, tasks, said)
        ]
    return found


def _wrong(part: Partition, job: Job, tasks: list[Task], said: Explanation) -> Iterator[str]:
    codes = {reason.code for reason in said.reasons}
    if not all(reason.text for reason in said.reasons):
        yield "has a reason without words"
    expected = [(name, wanted, is_so) for name, wanted, is_so in (*_causes(job, tasks), *_limits(part, job, tasks))]
    for name, wanted, is_so in expected:
        if is_so and not codes & wanted:
            yield f"lacks the reason that {name}"
        if not is_so and codes & wanted:
            yield f"says without cause that {name}"
    explained = {code for _, wanted, _ in expected for code in wanted} | {Code.DEADLINE, Code.UNDOING}
    if codes - explained:
        yield f"says {sorted(codes - explained)}, for which there is no cause"
    yield from _wrong_moments(part, job, tasks, said.reasons)


def _causes(job: Job, tasks: list[Task]) -> Iterator[tuple[str, set[Code], bool]]:
    """Each cause, the codes that tell it, and whether it is there."""
    record = job.record
    is_paused, is_cancelled = record.pause is not None, record.cancel_requested
    is_due = job.turn_at is not None
    waits = not is_due and record.context.wait is not None
    yield "it is paused", {Code.PAUSED}, is_paused
    yield "its end was asked for", {Code.CANCEL_ASKED}, is_cancelled and not is_paused
    yield "its turn is due", TURN, is_due and not is_paused
    for kind, wanted in KINDS.items():
        yield f"it waits for a {kind}", wanted, waits and _waits_for(record.context.wait, kind)
    for name, status, wanted in (
        ("a task is ready", TaskStatus.READY, READY),
        ("a task is put off", TaskStatus.GATED, GATED),
        ("a task runs", TaskStatus.LEASED, {Code.TASK_RUNNING}),
    ):
        there = any(task.status is status and (task.worker or status is not TaskStatus.LEASED) for task in tasks)
        told = status is TaskStatus.LEASED or not (is_cancelled or (is_paused and status is TaskStatus.READY))
        yield name, wanted, waits and there and told


def _limits(part: Partition, job: Job, tasks: list[Task]) -> Iterator[tuple[str, set[Code], bool]]:
    """Exactly the gates that are shut for a ready task are told, and as what they are."""
    record = job.record
    waits = job.turn_at is None and record.context.wait is not None
    told = waits and not record.cancel_requested and record.pause is None
    ready = [task for task in tasks if told and task.status is TaskStatus.READY]
    gates = {gate for task in ready for gate in part.gates.of(task.cls, task.flow)}
    shut = {_shut_by(part, gate) for gate in gates if part.gates.room(gate).free <= 0}
    for code in LIMITS:
        yield f"a gate is shut as {code} says", {code}, code in shut


def _shut_by(part: Partition, gate: str) -> Code:
    policy = part.gates.policy(gate)
    if gate.startswith("w:"):
        return Code.FAN_FULL
    if part.gates.room(gate).opens_at is not None:
        return Code.LIMIT_RATE
    return Code.LIMIT_PAUSED if policy is not None and policy.most == 0 else Code.LIMIT_FULL


def _waits_for(wait: Wait | None, kind: str) -> bool:
    return wait is not None and (wait.kind == kind or any(part.kind == kind for part in wait.parts))


def _wrong_moments(part: Partition, job: Job, tasks: list[Task], reasons: tuple[Reason, ...]) -> Iterator[str]:
    """`until`, where the model knows it."""
    by_code = {reason.code: reason.until for reason in reasons}
    starts = [at for task in tasks if (at := part.timers.get(TaskStart(task.id))) is not None]
    for code, known in (
        (Code.TASK_BACKOFF, min(starts, default=None)),
        (Code.TIMER, part.timers.get(WaitEnd(job.id, job.record.wave))),
        (Code.DEADLINE, job.record.deadline_at),
        (Code.TURN_FAILED, job.turn_at),
        (Code.DEBOUNCED, job.turn_at),
    ):
        told: UnixMs | None = by_code.get(code)
        if code in by_code and told != known:
            yield f"says {code} until {told}, and it is {known}"


@pytest.fixture(autouse=True)
def reasons_are_true(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whenever nothing more can happen now in a machine of the kit, `why` says of every job what is so."""
    settle = Machine.settle
    found: list[str] = []

    async def settle_and_judge(machine: Machine) -> None:
        is_driven = machine.is_driven
        await settle(machine)
        replica = machine._replica
        if not is_driven and replica is not None and not replica.store.death.is_set():
            found.extend(await wrong_reasons(machine.state.partitions[0], replica.engine))

    monkeypatch.setattr(Machine, "settle", settle_and_judge)
    yield
    assert not found, "\n".join(found)
