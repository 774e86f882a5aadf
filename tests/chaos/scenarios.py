"""Short lives of one job, and what must be true of each however often a replica dies on the way."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from muster.core.record import JobRecord
from muster.core.status import JobStatus
from muster.engine.approvals import Caller, Given
from muster.engine.engine import Engine
from muster.engine.views import JobOrder, Lease, LeaseSign, ReportReply, TaskReport, WorkerDescription, WorkerPatch
from muster.errors import ErrorCode, MusterError

from tests.chaos.flows import HOPS
from tests.chaos.takeover import TENANT, World

WORKER: Final = "w1"
LOOK_MS: Final = 100
WIDE: Final = 250
TASK_S: Final = 0.12


@dataclass
class Witness:
    """What client and worker were told."""

    accepted: list[tuple[str, int | None]] = field(default_factory=list[tuple[str, int | None]])
    """Task and attempt (as reported) of every result that was taken."""


Answer = Callable[[World, Lease], Awaitable[dict[str, Any] | None]]
"""What the worker reports for a task; None: nothing, it fell silent."""
Person = Callable[[World, str], Awaitable[None]]
"""What somebody does to the job once it is submitted."""


async def echo(world: World, lease: Lease) -> dict[str, Any] | None:
    return {"status": "success", "data": lease.body["params"]}


async def take_time(world: World, lease: Lease) -> dict[str, Any] | None:
    """So that a command which was held back finds the job under way."""
    await asyncio.sleep(TASK_S)
    return await echo(world, lease)


async def fail_once(world: World, lease: Lease) -> dict[str, Any] | None:
    if lease.attempt == 1:
        return {"status": "failure", "code": "TRANSIENT_ERROR", "message": "not now"}
    return await echo(world, lease)


async def be_silent_once(world: World, lease: Lease) -> dict[str, Any] | None:
    return None if lease.attempt == 1 else await echo(world, lease)


async def fail_number_2(world: World, lease: Lease) -> dict[str, Any] | None:
    if lease.body["params"] == 2:
        return {"status": "failure", "code": "PERMANENT_ERROR", "message": "broken"}
    return await echo(world, lease)


async def _report_late(late: Lease, engine: Engine) -> ReportReply:
    report = TaskReport(
        late.job_id, late.task_id, WORKER, "success", "too late", attempt=late.attempt, fence=late.fence
    )
    return await engine.report(report, next_tasks=0)


async def be_late_once(world: World, lease: Lease) -> dict[str, Any] | None:
    """The first attempt's result comes while the second is under way."""
    if lease.attempt == 1:
        world.set_aside.append(lease)
        return None
    for late in world.set_aside:
        reply = await world.ask(partial(_report_late, late))
        if reply.outcome != "ignored":
            world.found.append(f"a stale result was taken as {reply.outcome}")
    return await echo(world, lease)


async def be_silent(world: World, lease: Lease) -> dict[str, Any] | None:
    return None


async def run_until_cancelled(world: World, lease: Lease) -> dict[str, Any] | None:
    sign = LeaseSign(lease.task_id, lease.attempt, lease.fence)
    while True:
        reply = await world.ask(lambda engine: engine.heartbeat(WORKER, WorkerPatch(), (sign,)))
        if lease.task_id in reply.lost_task_ids:
            return None
        if lease.task_id in reply.cancel_task_ids:
            return {"status": "cancelled"}
        await asyncio.sleep(0.03)


async def finish_all_the_same(world: World, lease: Lease) -> dict[str, Any] | None:
    """The worker hears that it should stop, and hands in a result."""
    answer = await run_until_cancelled(world, lease)
    return None if answer is None else await echo(world, lease)


async def nobody(world: World, job: str) -> None:
    return


async def approve(world: World, job: str) -> None:
    await _is(world, job, lambda record: record.status is JobStatus.WAITING_FOR_HUMAN)
    try:
        await world.ask(lambda engine: engine.approvals.decide(job, Given("approved", "ann"), Caller(tenant=TENANT)))
    except MusterError as error:
        if error.code is not ErrorCode.NOT_WAITING_FOR_DECISION:  # the answer to the first try was lost
            raise


async def cancel_when_started(world: World, job: str) -> None:
    await _is(world, job, lambda record: record.current_worker is not None)
    await cancel(world, job)


async def cancel(world: World, job: str) -> None:
    try:
        await world.ask(lambda engine: engine.cancel(TENANT, job))
    except MusterError as error:
        if error.code is not ErrorCode.JOB_FINAL:
            raise


async def _is(world: World, job: str, condition: Callable[[JobRecord], bool]) -> JobRecord:
    while True:
        record = await world.ask(lambda engine: engine.job(TENANT, job))
        if condition(record) or record.status.is_final:
            return record
        await asyncio.sleep(0.01)


@dataclass(frozen=True)
class Scenario:
    name: str
    blueprint: str
    states: tuple[str, ...]
    tasks: int
    result: Any
    input: dict[str, Any] = field(default_factory=dict[str, Any])
    status: JobStatus = JobStatus.FINISHED
    protocol: int = 1
    partial: bool = False
    """It may end well without a result of each task."""
    remembers: bool = True
    """Its replica knows the jobs it wrote, and decides turns ahead; else each end is delivered and decided after."""
    answer: Answer = echo
    person: Person = nobody


SCENARIOS: Final = (
    Scenario("one", "one", ("one_task",), 1, {"x": 1}, {"params": {"x": 1}}),
    Scenario("three", "three", ("first", "second", "third"), 3, {"step": 3}),
    Scenario("slow", "three", ("first", "second", "third"), 3, {"step": 3}, answer=take_time),
    Scenario(
        "apart", "three", ("first", "second", "third"), 3, {"step": 3}, remembers=False, answer=take_time,
    ),
    Scenario("fan", "fan", ("spread", "gather"), 3, {"results": [0, 1, 2]}, {"count": 3}),
    Scenario("wide", "fan", ("spread", "gather"), WIDE, {"results": list(range(WIDE))}, {"count": WIDE}),
    Scenario("ask", "ask", ("question", "answered"), 0, {"decision": "approved", "by": "ann"}, person=approve),
    Scenario("late", "hurry", ("soon", "too_late"), 0, {"decision": "late"}, {"within": 0.15}),
    Scenario("nap", "nap", ("lie_down", "awake"), 0, {"awake": True}, {"seconds": 0.15}),
    Scenario("retry", "one", ("one_task",), 1, {"x": 1}, {"params": {"x": 1}}, answer=fail_once),
    Scenario("silent", "one", ("one_task",), 1, {"x": 1}, {"params": {"x": 1}}, answer=be_silent_once),
    Scenario("tardy", "one", ("one_task",), 1, {"x": 1}, {"params": {"x": 1}}, answer=be_late_once),
    Scenario("plain", "one", ("one_task",), 1, {"x": 1}, {"params": {"x": 1}, "timeout": 0.6}, protocol=0),
    Scenario("poison", "one", ("one_task",), 1, None, status=JobStatus.QUARANTINED, answer=be_silent),
    Scenario("hops", "hops", (*["hop"] * HOPS, "land"), 1, {"hops": HOPS}),
    Scenario(
        "brittle", "brittle", ("scatter", "broken"), 6, {"repaired": "PERMANENT_ERROR"}, {"count": 5},
        answer=fail_number_2, partial=True,
    ),
    Scenario(
        "saga", "saga", ("first_step", "more_steps", "regret"), 6, None, status=JobStatus.FAILED,
    ),
    Scenario("contest", "contest", ("compete",), 1, {"won": True}),
    Scenario(
        "careful", "careful", ("try_it", "after_cancel"), 1, {"cleaned_up": True},
        answer=run_until_cancelled, person=cancel_when_started, partial=True,
    ),
    Scenario(
        "unserved", "fan", ("spread",), 3, None, {"count": 3, "type": "nobody-does-this"},
        status=JobStatus.CANCELLED, person=cancel,
    ),
    Scenario(
        "deaf", "one", ("one_task",), 1, None,
        status=JobStatus.CANCELLED, answer=finish_all_the_same, person=cancel_when_started,
    ),
    Scenario(
        "cancel", "one", ("one_task",), 1, None,
        status=JobStatus.CANCELLED, answer=run_until_cancelled, person=cancel_when_started,
    ),
)  # fmt: skip


async def submit(world: World, scenario: Scenario) -> str:
    """One job, however often it has to be asked for."""
    order = JobOrder(
        TENANT,
        scenario.blueprint,
        {"type": "work", **scenario.input},
        webhook_url="http://127.0.0.1:9/hook",
        idempotency_key="only-once",
    )
    return (await world.ask(lambda engine: engine.submit(order))).job_id


async def end_of(world: World, job: str) -> JobRecord:
    while True:
        record = await world.ask(lambda engine: engine.wait(TENANT, job, timeout_ms=LOOK_MS, since=None))
        if record.status.is_final:
            return record


async def work(world: World, scenario: Scenario, witness: Witness) -> None:
    """A worker with all the time in the world."""
    description = WorkerDescription(WORKER, ("work",), max_concurrent_tasks=64, protocol=scenario.protocol)
    await world.ask(lambda engine: engine.register(description))
    while True:
        leases = await world.ask(lambda engine: engine.poll(WORKER, timeout_ms=LOOK_MS, max_tasks=64))
        while leases:
            reports = [report for lease in leases if (report := await _report(world, scenario, lease)) is not None]
            leases = await _hand_in(world, reports, witness) if reports else ()


async def _report(world: World, scenario: Scenario, lease: Lease) -> TaskReport | None:
    answer = await scenario.answer(world, lease)
    if answer is None:
        return None
    if scenario.protocol == 0:
        return TaskReport(lease.job_id, lease.task_id, WORKER, **answer)
    return TaskReport(lease.job_id, lease.task_id, WORKER, attempt=lease.attempt, fence=lease.fence, **answer)


async def _hand_in(world: World, reports: list[TaskReport], witness: Witness) -> tuple[Lease, ...]:
    replies, leases = await world.ask(lambda engine: _all_or_error(engine.report_all(reports, next_tasks=64)))
    for report, reply in zip(reports, replies, strict=True):
        if not isinstance(reply, BaseException) and reply.outcome != "ignored":
            witness.accepted.append((report.task_id, report.attempt))
    return leases


async def _all_or_error(
    reporting: Awaitable[tuple[list[ReportReply | BaseException], tuple[Lease, ...]]],
) -> tuple[list[ReportReply | BaseException], tuple[Lease, ...]]:
    """A batch of which the store refused a part is sent again as a whole, as the route does."""
    replies, leases = await reporting
    for reply in replies:
        if isinstance(reply, BaseException) and not isinstance(reply, MusterError):
            raise reply
    return replies, leases
