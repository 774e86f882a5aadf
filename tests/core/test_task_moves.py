"""A task moves as its table says and no other way: every operation on a task in every live status.

The store is the model that `tests/store` holds against real servers, on a clock of our own.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from muster.core.ids import JobId, task_id
from muster.core.status import TaskStatus
from muster.core.transitions import TASK_MOVES, TaskEvent
from muster.store.base import Claimed, Committed, Completed, Completion, Mode, Refused, Turn
from muster.store.keys import short_hash
from muster.store.memory import MemoryState, MemoryStore
from muster.store.memory.model import WaitLimit
from muster.store.memory.timers import Found, fire

from tests.support.samples import claim_of, commit_of, end_of, first_turn, fresh, item_of, new_tasks

OTHER = short_hash("other")
DELAY_MS = 5_000


@dataclass
class Bench:
    """A job that waits for two tasks. The first is looked at; the second's failure makes the job go on without it."""

    clock_ms: int = 1_760_000_000_000
    lease: Claimed | None = None
    job: JobId = field(init=False)
    state: MemoryState = field(init=False)
    store: MemoryStore = field(init=False)

    async def prepare(self, status: TaskStatus) -> None:
        self.state = MemoryState(now=lambda: self.clock_ms)
        self.store = MemoryStore(self.state)
        turn = await first_turn(self.store)
        self.job = turn.record.id
        tasks = (*new_tasks(0, 1), *new_tasks(1, 1, type="other"))
        assert isinstance(await self.store.commit(commit_of(turn, tasks, failures_left=0)), Committed)
        if status is TaskStatus.PARKED:
            await self.park()
        elif status is not TaskStatus.READY:
            await self.claim()
        if status is TaskStatus.GATED:
            await self.end(Mode.RETRY, "failure", delay_ms=DELAY_MS)
        assert self.status() is status

    def status(self) -> TaskStatus | None:
        """None: the task is gone."""
        found = [task.status for task in self.state.partitions[0].tasks.values() if task.number == 0]
        return found[0] if found else None

    async def claim(self) -> None:
        claimed = await self.store.claim(0, claim_of())
        self.lease = claimed[0] if claimed else self.lease

    async def end(self, mode: Mode, status: str, *, delay_ms: int = 0, by: str = "w1") -> Completed | Refused:
        """An attempt's end, told by the worker, or by the engine where *by* is empty."""
        item = item_of(0, status)
        if self.lease is None:
            token = fresh()
            unasked = Completion(self.job, 0, by, mode, item, "", token, attempt=1, fence="made-up", delay_ms=delay_ms)
            return await self.store.complete(unasked)
        return await self.store.complete(end_of(self.lease, worker=by, mode=mode, item=item, delay_ms=delay_ms))

    async def park(self) -> None:
        """Pause the job; somebody who would take the task finds it."""
        assert await self.store.operations.pause(self.job, "ann", "", "") is None
        await self.store.claim(0, claim_of())

    async def unpark(self) -> None:
        await self.store.operations.resume(self.job, fresh(), "")
        await self.store.tick(0, fresh())

    async def release(self) -> None:
        lease = self.lease or Claimed(0, task_id(self.job, 0), 1, b"", 0)
        fence = "made-up" if self.lease is None else self.fence_of_the_lease()
        await self.store.release(lease.task, lease.attempt, fence)

    def fence_of_the_lease(self) -> str:
        return next(task.fence for task in self.state.partitions[0].tasks.values() if task.number == 0)

    async def let_time_pass(self) -> None:
        self.clock_ms += DELAY_MS
        await self.store.tick(0, fresh())

    async def wait_too_long(self) -> None:
        """The limit itself, apart from the rest of its tick: what is due with it would move the task as well."""
        part = self.state.partitions[0]
        part.timers[WaitLimit(task_id(self.job, 0))] = self.clock_ms
        fire(part, WaitLimit(task_id(self.job, 0)), Found(part.next_order()))

    async def abandon(self) -> None:
        await self.unpark()
        other = await self.store.claim(0, claim_of(classes=(OTHER,)))
        failed = await self.store.complete(end_of(other[0], failed=True, item=item_of(1, "failure")))
        assert isinstance(failed, Completed)
        assert isinstance(failed.turn, Turn)
        await self.store.commit(commit_of(failed.turn, drops=((0, 2),)))
        await self.store.tick(0, fresh())


Operation = Callable[[Bench], Awaitable[object]]

OPERATIONS: dict[str, tuple[TaskEvent, TaskStatus, Operation]] = {
    "a claim": (TaskEvent.CLAIMED, TaskStatus.LEASED, lambda b: b.claim()),
    "a success": (TaskEvent.SUCCEEDED, TaskStatus.SUCCESS, lambda b: b.end(Mode.DELIVER, "success")),
    "a last failure": (TaskEvent.FAILED, TaskStatus.FAILURE, lambda b: b.end(Mode.DELIVER, "failure")),
    "a failure tried again at once": (TaskEvent.FAILED, TaskStatus.READY, lambda b: b.end(Mode.RETRY, "failure")),
    "a failure tried again later": (
        TaskEvent.FAILED, TaskStatus.GATED, lambda b: b.end(Mode.RETRY, "failure", delay_ms=DELAY_MS),
    ),
    "a report of being cancelled": (
        TaskEvent.REPORTED_CANCELLED, TaskStatus.CANCELLED, lambda b: b.end(Mode.DELIVER, "cancelled"),
    ),
    "a last timeout": (TaskEvent.TIMED_OUT, TaskStatus.TIMED_OUT, lambda b: b.end(Mode.DELIVER, "failure", by="")),
    "a timeout tried again at once": (
        TaskEvent.TIMED_OUT, TaskStatus.READY, lambda b: b.end(Mode.RETRY, "failure", by=""),
    ),
    "a timeout tried again later": (
        TaskEvent.TIMED_OUT, TaskStatus.GATED, lambda b: b.end(Mode.RETRY, "failure", delay_ms=DELAY_MS, by=""),
    ),
    "a lost worker": (TaskEvent.LEASE_ENDED, TaskStatus.READY, lambda b: b.end(Mode.LOST, "failure", by="")),
    "a lost worker, later": (
        TaskEvent.LEASE_ENDED, TaskStatus.GATED, lambda b: b.end(Mode.LOST, "failure", delay_ms=DELAY_MS, by=""),
    ),
    "being put back": (TaskEvent.PUT_BACK, TaskStatus.READY, lambda b: b.end(Mode.REQUEUE, "requeue")),
    "being put back for a while": (
        TaskEvent.PUT_BACK, TaskStatus.GATED, lambda b: b.end(Mode.REQUEUE, "requeue", delay_ms=DELAY_MS),
    ),
    "being put back once too often": (TaskEvent.PUT_BACK, TaskStatus.FAILURE, lambda b: b.end(Mode.DELIVER, "failure")),
    "too long a wait": (TaskEvent.WAITED_TOO_LONG, TaskStatus.LEASED, lambda b: b.wait_too_long()),
    "a last lost worker": (TaskEvent.LEASE_ENDED, TaskStatus.LOST, lambda b: b.end(Mode.DELIVER, "failure", by="")),
    "a release": (TaskEvent.RELEASED, TaskStatus.READY, lambda b: b.release()),
    "time": (TaskEvent.DELAY_PASSED, TaskStatus.READY, lambda b: b.let_time_pass()),
    "a claim while its job is paused": (TaskEvent.PARKED, TaskStatus.PARKED, lambda b: b.park()),
    "the end of the pause": (TaskEvent.UNPARKED, TaskStatus.READY, lambda b: b.unpark()),
    "being abandoned": (TaskEvent.ABANDONED, TaskStatus.CANCELLED, lambda b: b.abandon()),
}  # fmt: skip
"""What happens, the event it is in the table, and where it leads if the task is open to it."""

LIVE = (TaskStatus.READY, TaskStatus.GATED, TaskStatus.LEASED, TaskStatus.PARKED)


@pytest.mark.parametrize("before", LIVE)
@pytest.mark.parametrize("name", OPERATIONS)
async def test_an_operation_moves_a_task_as_drawn_or_not_at_all(name: str, before: TaskStatus) -> None:
    event, after, operate = OPERATIONS[name]
    bench = Bench()
    await bench.prepare(before)
    await operate(bench)
    drawn = TASK_MOVES.get((before, event), frozenset())
    expected = after if after in drawn else before
    assert bench.status() is (expected if expected in LIVE else None), f"{name} on a {before} task"


def test_every_drawn_move_of_a_task_is_tried() -> None:
    tried = {(event, after) for event, after, _ in OPERATIONS.values()}
    assert {(event, after) for (_, event), ends in TASK_MOVES.items() for after in ends} == tried
