"""Short lives of one job, and what must be true of each however often a replica dies on the way."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from muster.core.record import JobRecord
from muster.core.status import JobStatus
from muster.engine.views import JobOrder, Lease, LeaseSign, TaskReport, WorkerDescription, WorkerPatch
from muster.errors import ErrorCode, MusterError

from tests.chaos.takeover import TENANT, World

WORKER: Final = "w1"
LOOK_MS: Final = 100
WIDE: Final = 250


@dataclass
class Witness:
    """What client and worker were told."""

    accepted: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    """Task and attempt of every result that was taken."""


Answer = Callable[[World, Lease], Awaitable[dict[str, Any] | None]]
"""What the worker reports for a task; None: nothing, it fell silent."""
Person = Callable[[World, str], Awaitable[None]]
"""What somebody does to the job once it is submitted."""


async def echo(world: World, lease: Lease) -> dict[str, Any] | None:
    return {"status": "success", "data": lease.body["params"]}


async def fail_once(world: World, lease: Lease) -> dict[str, Any] | None:
    if lease.attempt == 1:
        return {"status": "failure", "code": "TRANSIENT_ERROR", "message": "not now"}
    return await echo(world, lease)


async def be_silent_once(world: World, lease: Lease) -> dict[str, Any] | None:
    return None if lease.attempt == 1 else await echo(world, lease)


async def run_until_cancelled(world: World, lease: Lease) -> dict[str, Any] | None:
    sign = LeaseSign(lease.task_id, lease.attempt, lease.fence)
    while True:
        reply = await world.ask(lambda engine: engine.heartbeat(WORKER, WorkerPatch(), (sign,)))
        if lease.task_id in reply.lost_task_ids:
            return None
        if lease.task_id in reply.cancel_task_ids:
            return {"status": "cancelled"}
        await asyncio.sleep(0.03)


async def nobody(world: World, job: str) -> None:
    return


async def approve(world: World, job: str) -> None:
    await _is(world, job, lambda record: record.status is JobStatus.WAITING_FOR_HUMAN)
    try:
        await world.ask(
            lambda engine: engine.decide(job, "approved", by="ann", note="", token=None, tenant=TENANT)
        )
    except MusterError as error:  # asked again after the answer to the first was lost
        assert error.code is ErrorCode.NOT_WAITING_FOR_DECISION, error


async def cancel_when_started(world: World, job: str) -> None:
    await _is(world, job, lambda record: record.current_worker is not None)
    try:
        await world.ask(lambda engine: engine.cancel(TENANT, job))
    except MusterError as error:
        assert error.code is ErrorCode.JOB_FINAL, error


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
    answer: Answer = echo
    person: Person = nobody


SCENARIOS: Final = (
    Scenario("one", "one", ("one_task",), 1, {"x": 1}, {"params": {"x": 1}}),
    Scenario("three", "three", ("first", "second", "third"), 3, {"step": 3}),
    Scenario("fan", "fan", ("spread", "gather"), 3, {"results": [0, 1, 2]}, {"count": 3}),
    Scenario("wide", "fan", ("spread", "gather"), WIDE, {"results": list(range(WIDE))}, {"count": WIDE}),
    Scenario("ask", "ask", ("question", "answered"), 0, {"decision": "approved", "by": "ann"}, person=approve),
    Scenario("late", "hurry", ("soon", "too_late"), 0, {"decision": "late"}, {"within": 0.15}),
    Scenario("nap", "nap", ("lie_down", "awake"), 0, {"awake": True}, {"seconds": 0.15}),
    Scenario("retry", "one", ("one_task",), 1, {"x": 1}, {"params": {"x": 1}}, answer=fail_once),
    Scenario("silent", "one", ("one_task",), 1, {"x": 1}, {"params": {"x": 1}}, answer=be_silent_once),
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
    description = WorkerDescription(WORKER, ("work",), max_concurrent_tasks=64, protocol=1)
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
    return TaskReport(
        lease.job_id, lease.task_id, WORKER, attempt=lease.attempt, fence=lease.fence, **answer
    )


async def _hand_in(world: World, reports: list[TaskReport], witness: Witness) -> tuple[Lease, ...]:
    replies, leases = await world.ask(lambda engine: _all_or_error(engine.report_all(reports, next_tasks=64)))
    for report, reply in zip(reports, replies, strict=True):
        if not isinstance(reply, BaseException) and reply.outcome != "ignored":
            witness.accepted.append((report.task_id, report.attempt or 0))
    return leases


async def _all_or_error(reporting: Awaitable[Any]) -> Any:
    """A batch of which the store refused a part is sent again as a whole, as the route does."""
    replies, leases = await reporting
    for reply in replies:
        if isinstance(reply, BaseException) and not isinstance(reply, MusterError):
            raise reply
    return replies, leases
