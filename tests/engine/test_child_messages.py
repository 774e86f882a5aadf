"""What becomes of spread children when the other partition does not answer, or has lost them."""

from typing import Any

from muster.blueprint import Blueprint, Job, Next, finished
from muster.blueprint.registry import Registry
from muster.core.ids import JobId, UnixMs, partition_of
from muster.core.limits import CHILD_MESSAGE_TRIES
from muster.core.record import JobRecord
from muster.core.status import JobStatus
from muster.engine.engine import Engine
from muster.engine.settings import EngineSettings
from muster.engine.views import JobOrder
from muster.observe.metrics import Metrics
from muster.store.base import NewJob, StoreUnavailable, Turn
from muster.store.memory import MemoryState, MemoryStore

far = Blueprint("far")


@far.start
async def begin(job: Job) -> Next:
    if job.input.get("waits"):
        return job.wait_for("go", ok=finished)
    return job.child("far", {"waits": True}, ok=finished, spread=True)


class Cut(MemoryStore):
    """A store of two servers, one of which does not answer: no child is made there."""

    begins = 0
    is_cut = False

    @property
    def children(self) -> Any:
        store, plain = self, super().children

        class Children:
            def __getattr__(self, name: str) -> Any:
                return getattr(plain, name)

            async def begin(self, job: NewJob, token: str) -> Turn | None:
                store.begins += 1
                if store.is_cut:
                    raise StoreUnavailable("no answer")
                return await plain.begin(job, token)

        return Children()


class Deployment:
    def __init__(self) -> None:
        self.now = 1_700_000_000_000
        self.state = MemoryState(now=lambda: self.now, partitions=4)
        self.store = Cut(self.state, replica="r1")
        registry = Registry()
        registry.add(far)
        settings = EngineSettings("r1", partitions=4, now=lambda: UnixMs(self.now))
        self.engine = Engine(self.store, registry, settings, Metrics(version="0"), "secret")

    async def start(self) -> JobId:
        return (await self.engine.submit(JobOrder("acme", "far", {}))).job_id

    async def goes_on(self, ms: int = 0) -> None:
        self.now += ms
        for _ in range(4):  # a message, what it says, its answer, what that says
            await self.engine.tick()
            await self.engine.settled()

    async def job(self, job: JobId) -> JobRecord:
        return await self.engine.job("acme", job)

    async def child_of(self, job: JobId) -> JobId:
        wait = (await self.job(job)).context.wait
        assert wait is not None
        return wait.children[0]


async def test_a_start_that_arrives_late_starts_the_child_once() -> None:
    site = Deployment()
    site.store.is_cut = True
    parent = await site.start()
    child = await site.child_of(parent)
    await site.goes_on()
    assert site.store.begins == 1
    (reason,) = (await site.engine.why("acme", parent)).reasons
    assert reason.details["start_tries"] == 1
    await site.goes_on(500)
    assert site.store.begins == 1, "it backs off"
    site.store.is_cut = False
    await site.goes_on(1_000)
    assert (await site.job(child)).status is JobStatus.WAITING
    await site.engine.signal("acme", child, "go", {"n": 1})
    await site.goes_on()
    assert (await site.job(parent)).result == {"n": 1}


async def test_a_start_that_never_arrives_fails_its_parent_with_a_code() -> None:
    site = Deployment()
    site.store.is_cut = True
    parent = await site.start()
    for _ in range(CHILD_MESSAGE_TRIES):
        await site.goes_on(60_000)
    record = await site.job(parent)
    assert record.status is JobStatus.FAILED
    assert (record.details or {})["code"] == "CHILD_UNREACHABLE"
    assert site.store.begins == CHILD_MESSAGE_TRIES
    await site.goes_on(60_000)
    assert site.store.begins == CHILD_MESSAGE_TRIES


async def test_a_child_that_its_partition_has_lost_is_told_of_and_a_cancel_ends_the_wait() -> None:
    site = Deployment()
    parent = await site.start()
    child = await site.child_of(parent)
    await site.goes_on()
    del site.state.partitions[partition_of(child)].jobs[child]
    (reason,) = (await site.engine.why("acme", parent)).reasons
    assert reason.details["gone"] is True
    await site.engine.cancel("acme", parent)
    await site.goes_on()
    assert (await site.job(parent)).status is JobStatus.CANCELLED


async def test_a_parent_cancelled_before_the_start_arrived_never_runs_its_child() -> None:
    site = Deployment()
    site.store.is_cut = True
    parent = await site.start()
    child = await site.child_of(parent)
    await site.goes_on()
    await site.engine.cancel("acme", parent)
    site.store.is_cut = False
    await site.goes_on()
    record = await site.job(child)
    assert (record.status, record.error) == (JobStatus.CANCELLED, "cancelled")
    assert [event.event_type for event in await site.engine.history("acme", child)] == ["job_created", "job_cancelled"]
    assert (await site.job(parent)).status is JobStatus.CANCELLED
