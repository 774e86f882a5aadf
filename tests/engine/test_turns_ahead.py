"""A result and the turn it makes due in one call of the store: when, and what happens where it cannot be."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from muster import Blueprint, Job, Next, finished
from muster.blueprint.registry import Registry
from muster.core.ids import JobId
from muster.core.record import JobRecord
from muster.core.status import JobStatus
from muster.engine import snapshots, turns
from muster.engine.engine import Engine
from muster.engine.settings import EngineSettings
from muster.engine.snapshots import Snapshot, Snapshots
from muster.engine.views import JobOrder, Lease, ReportReply, TaskReport, WorkerDescription
from muster.observe.metrics import Metrics
from muster.store.base import Commit, Completed, Completion, Refused, Stepped, StoreFull
from muster.store.codec import dump_submission
from muster.store.memory import MemoryState, MemoryStore

from tests.core.build import for_task, for_tasks
from tests.support.waiting import eventually, until

TENANT, WORKER = "acme", "w1"
WRITES = ("submit", "complete", "commit", "step", "defer")
ran: list[str] = []
"""States that ran, in order."""


def flows() -> Registry:
    chain = Blueprint("chain")

    @chain.start
    async def first(job: Job) -> Next:
        ran.append("first")
        job.data["seen"] = [1]
        return job.run("work", {"n": 1}, ok=second)

    @chain.state
    async def second(job: Job, result: dict[str, Any]) -> Next:
        ran.append("second")
        job.data["seen"].append(2)
        job.input["list"].append("mine")
        await asyncio.sleep(job.input.get("sleep_s", 0))
        if job.input.get("fails"):
            raise RuntimeError("this state does not work")
        return job.run("work", result, ok=third)

    @chain.state
    async def third(job: Job, result: dict[str, Any]) -> Next:
        ran.append("third")
        return job.done({"seen": job.data["seen"], "input": job.input["list"], **result})

    wide = Blueprint("wide")

    @wide.start
    async def spread(job: Job) -> Next:
        return job.run("work", {}, ok=many)

    @wide.state
    async def many(job: Job, result: Any) -> Next:
        return job.map("work", list(range(job.input["width"])), ok=finished)

    registry = Registry()
    registry.add(chain)
    registry.add(wide)
    return registry


class CountingStore(MemoryStore):
    full = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.calls: Counter[str] = Counter()

    def __getattribute__(self, name: str) -> Any:
        if name in WRITES:
            self.calls[name] += 1
        return super().__getattribute__(name)

    async def step(self, completion: Completion, decided: Commit) -> Stepped | Completed | Refused:
        if self.full:
            raise StoreFull("OOM")
        return await super().step(completion, decided)


class Place:
    """A replica, and what its worker does."""

    def __init__(self, state: MemoryState, name: str) -> None:
        self.store = CountingStore(state, replica=name, on_message=self._hear)
        self.engine = Engine(self.store, flows(), EngineSettings(name), Metrics(version="0"), "secret")

    def _hear(self, partition: int, text: str) -> None:
        self.engine.on_message(partition, text)

    async def start(self) -> None:
        await self.store.open()
        await self.engine.register(WorkerDescription(WORKER, ("work",), max_concurrent_tasks=8, protocol=1))

    async def submit(self, blueprint: str = "chain", **given: Any) -> JobId:
        order = JobOrder(TENANT, blueprint, {"list": [], **given})
        return (await self.engine.submit(order)).job_id

    async def take(self) -> Lease:
        (lease,) = await self.engine.poll(WORKER, timeout_ms=5_000, max_tasks=1)
        return lease

    async def report(self, lease: Lease, **changes: Any) -> ReportReply:
        fields: dict[str, Any] = {"status": "success", "data": lease.body["params"], "attempt": lease.attempt}
        report = TaskReport(lease.job_id, lease.task_id, WORKER, fence=lease.fence, **{**fields, **changes})
        return await self.engine.report(report, next_tasks=0)

    async def job(self, job: JobId) -> JobRecord:
        return await self.engine.job(TENANT, job)

    async def history(self, job: JobId) -> list[tuple[Any, ...]]:
        events = await self.engine.history(TENANT, job)
        return [(e.event_type, e.state, e.previous_state, e.task_id, e.attempt_number, e.details) for e in events]


@pytest.fixture
async def places() -> AsyncIterator[tuple[Place, Place]]:
    ran.clear()
    state = MemoryState()
    here, there = Place(state, "r1"), Place(state, "r2")
    for place in (here, there):
        await place.start()
    yield here, there
    for place in (here, there):
        await place.engine.stop()


@pytest.fixture
def here(places: tuple[Place, Place]) -> Place:
    return places[0]


async def run_to_the_end(job: JobId, place: Place, reporter: Place | None = None) -> JobRecord:
    while not (record := await place.job(job)).status.is_final:
        await (reporter or place).report(await place.take())
    return record


async def test_each_step_of_a_job_is_one_call_after_the_one_that_submits_it(here: Place) -> None:
    job = await here.submit()
    assert (await run_to_the_end(job, here)).status is JobStatus.FINISHED
    assert here.store.calls == {"submit": 1, "step": 2}
    assert ran == ["first", "second", "third"]


async def test_a_result_that_comes_to_another_replica_leaves_the_same_history(places: tuple[Place, Place]) -> None:
    here, there = places
    one, two = await here.submit(), await here.submit()
    ended = await run_to_the_end(one, here)
    there.store.calls.clear()
    elsewhere = await run_to_the_end(two, here, reporter=there)
    assert there.store.calls["complete"] == 1  # and it is there from then on
    assert ended.result == elsewhere.result
    assert [str(entry).replace(one, two) for entry in await here.history(one)] == list(
        map(str, await here.history(two))
    )


async def test_who_waits_for_the_end_gets_the_job_as_it_is_stored(here: Place) -> None:
    order = JobOrder(TENANT, "chain", {"list": []}, wait_ms=10_000)
    submitting = asyncio.ensure_future(here.engine.submit(order))
    for _ in range(2):
        await here.report(await here.take())
    submitted = await submitting
    assert submitted.record == await here.job(submitted.job_id)
    assert submitted.record is not None
    assert submitted.record.status is JobStatus.FINISHED


async def test_no_state_gets_what_another_did_to_the_input_or_kept_of_its_data(here: Place) -> None:
    record = await run_to_the_end(await here.submit(), here)
    assert record.result == {"seen": [1, 2], "input": [], "n": 1}
    assert record.submission.initial_data == {"list": []}


async def test_a_state_that_takes_its_time_runs_when_the_result_is_stored_and_is_not_tried_ahead_again(
    here: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "AHEAD_S", 0.01)
    for tries in (2, 1):
        ran.clear()
        await run_to_the_end(await here.submit(sleep_s=0.03), here)
        assert ran.count("second") == tries


def _is_more(calls: Counter[str], name: str, past: int) -> bool:
    return calls[name] > past


async def _is_in(place: Place, job: JobId, state: str) -> bool:
    return (await place.job(job)).state == state


async def test_a_state_that_raises_counts_one_failure_for_each_turn(
    here: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "FAILURE_BACKOFF_MS", 0)
    job = await here.submit(fails=True)
    await here.report(await here.take())
    assert (await here.job(job)).turn_failures == 1
    for written in ("defer", "commit"):
        past = here.store.calls[written]
        await here.engine._tickers[0].run_once()
        await until(partial(_is_more, here.store.calls, written, past))
    await eventually(lambda: _is_in(here, job, "second"))  # the state that failed
    record = await here.job(job)
    assert (record.status, record.error) == (
        JobStatus.QUARANTINED,
        "state 'second' raised RuntimeError: this state does not work",
    )


async def test_a_job_that_is_cancelled_while_its_task_ends_is_decided_by_the_cancel(here: Place) -> None:
    job = await here.submit()
    lease = await here.take()
    await here.engine.cancel(TENANT, job)
    assert (await here.report(lease)).outcome == "cancelled"
    assert (await here.job(job)).status is JobStatus.CANCELLED
    assert here.store.calls == {"submit": 1, "step": 1, "commit": 1}


async def test_a_result_sent_again_is_a_duplicate_and_runs_no_state(here: Place) -> None:
    await here.submit()
    lease = await here.take()
    assert (await here.report(lease)).outcome == "success"
    again = await here.report(lease)
    assert (again.outcome, again.reason) == ("ignored", "duplicate")
    assert ran == ["first", "second"]


async def test_a_fan_wider_than_one_call_is_spawned_the_long_way(here: Place) -> None:
    job = await here.submit("wide", width=150)
    await here.report(await here.take())
    assert (await here.job(job)).next_task == 151
    assert here.store.calls == {"submit": 1, "complete": 1, "commit": 1}


async def test_a_full_store_gets_the_result_by_itself(here: Place) -> None:
    job = await here.submit()
    lease = await here.take()
    here.store.full = True
    assert (await here.report(lease)).outcome == "success"
    await eventually(lambda: _is_in(here, job, "second"))
    assert here.store.calls == {"submit": 1, "step": 1, "complete": 1, "commit": 1}


async def test_a_job_that_carries_much_is_read_from_the_store(here: Place) -> None:
    job = await here.submit(much="x" * snapshots.SNAPSHOT_BYTES_MAX)
    await run_to_the_end(job, here)
    assert here.store.calls["step"] == 0


# What is remembered


def snapshot_of(record: JobRecord) -> Snapshot:
    found = Snapshot.of(record, dump_submission(record.submission))
    assert found is not None
    return found


def test_a_snapshot_reads_as_the_job_that_was_kept() -> None:
    record = for_task()
    assert snapshot_of(record).read() == record
    assert snapshot_of(record).read().context.data is not record.context.data or record.context.data is None


def test_only_a_job_that_waits_for_one_task_is_remembered_and_only_for_that_task() -> None:
    assert Snapshot.of(for_tasks(2), b"{}") is None
    kept, record = Snapshots(), for_task()
    kept.keep(record.id, snapshot_of(record))
    assert kept.of(record.id, 0) is not None
    assert kept.of(record.id, 1) is None
    kept.keep(record.id, None)
    assert (kept.of(record.id, 0), len(kept)) == (None, 0)


@pytest.mark.parametrize(("bound", "most"), [("SNAPSHOTS_MAX", 3), ("BYTES_MAX", 3)])
def test_the_jobs_that_have_waited_longest_are_forgotten_first(
    monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    snapshot = snapshot_of(for_task())
    monkeypatch.setattr(snapshots, bound, most * (snapshot.size if bound == "BYTES_MAX" else 1))
    kept, names = Snapshots(), [JobId(f"job-{n}") for n in range(5)]
    for name in (*names, names[2]):
        kept.keep(name, snapshot)
    assert [name for name in names if kept.of(name, 0)] == names[2:]
    kept.keep(JobId("new"), snapshot)
    assert kept.of(names[3], 0) is None
    assert json.loads(snapshot.context)["w"]["k"] == "task"
