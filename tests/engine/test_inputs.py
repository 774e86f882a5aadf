"""A command whose files are still to be sent: when their signal is lost, and when they never come."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from muster.blueprint.builtin import BUILTIN
from muster.blueprint.registry import Registry
from muster.core.ids import JobId, UnixMs
from muster.core.limits import UPLOADS_LOOK_MS
from muster.core.record import JobRecord
from muster.core.status import JobStatus
from muster.engine.engine import Engine
from muster.engine.settings import EngineSettings, FileSettings
from muster.engine.views import JobOrder
from muster.observe.metrics import Metrics
from muster.store.memory import MemoryState, MemoryStore

from tests.support.waiting import until

HOUR_MS = 3_600_000


class Clock:
    now_ms = 1_700_000_000_000

    def __call__(self) -> UnixMs:
        return UnixMs(self.now_ms)


class Place:
    """A replica whose time stands still, and whose ticks are made by hand."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.state = MemoryState(now=self.clock)
        self.store = MemoryStore(self.state)
        blueprints = Registry()
        for blueprint in BUILTIN:
            blueprints.add(blueprint)
        settings = EngineSettings("r1", now=self.clock, files=FileSettings(folder))
        self.engine = Engine(self.store, blueprints, settings, Metrics(), "secret")

    async def start(self, *uploads: str) -> str:
        inputs = [{"name": f"f{i}", "file_id": upload} for i, upload in enumerate(uploads)]
        order = JobOrder("acme", "command", {"argv": ["true"], "inputs": inputs})
        return (await self.engine.submit(order)).job_id

    async def plan(self, tenant: str = "acme") -> str:
        return (await self.engine.files.plan_upload(tenant, "a.txt", None))[0]

    async def send(self, upload: str) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"here"

        await self.engine.files.send_planned(upload, chunks())

    async def later(self, ms: int) -> None:
        """So much time passes, and all that is due then has happened."""
        self.clock.now_ms += ms
        for turn in (await self.store.tick(0, f"{self.clock.now_ms}:")).turns:
            await self.engine._turns.run(turn)

    async def job(self, job_id: str) -> JobRecord:
        return await self.engine.job("acme", job_id)

    def has_started(self, job_id: str) -> bool:
        return self.state.partitions[0].jobs[JobId(job_id)].record.status is JobStatus.WAITING_FOR_WORKER


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path / "files")
    yield made
    await made.engine.stop()


async def test_a_command_starts_with_the_last_of_its_files_without_a_tick(place: Place) -> None:
    one, two = await place.plan(), await place.plan()
    job_id = await place.start(one, two)
    await place.send(one)
    assert (await place.job(job_id)).status is JobStatus.WAITING
    await place.send(two)
    await until(lambda: place.has_started(job_id))


async def test_a_command_whose_files_are_all_there_never_waits(place: Place) -> None:
    upload = await place.plan()
    await place.send(upload)
    job_id = await place.start(upload)
    assert place.has_started(job_id)


async def test_a_signal_that_was_lost_is_made_up_for_within_half_a_minute(place: Place) -> None:
    one, two = await place.plan(), await place.plan()
    job_id = await place.start(one, two)
    place.engine.files.on_sent = None  # its replica dies right after it has kept the file
    await place.send(one)
    await place.later(UPLOADS_LOOK_MS)
    wait = (await place.job(job_id)).context.wait
    assert wait is not None
    assert wait.uploads == (two,)
    await place.send(two)
    await place.later(UPLOADS_LOOK_MS)
    assert place.has_started(job_id)


async def test_files_that_never_come_fail_their_command_after_an_hour(place: Place) -> None:
    job_id = await place.start(await place.plan())
    for _ in range(HOUR_MS // UPLOADS_LOOK_MS - 1):
        await place.later(UPLOADS_LOOK_MS)
    assert (await place.job(job_id)).status is JobStatus.WAITING
    await place.later(UPLOADS_LOOK_MS)
    job = await place.job(job_id)
    assert (job.status, job.error) == (JobStatus.FAILED, "inputs did not arrive within 1 h")


async def test_files_that_come_with_the_last_look_are_in_time(place: Place) -> None:
    upload = await place.plan()
    job_id = await place.start(upload)
    for _ in range(HOUR_MS // UPLOADS_LOOK_MS - 1):
        await place.later(UPLOADS_LOOK_MS)
    place.engine.files.on_sent = None
    await place.send(upload)
    await place.later(UPLOADS_LOOK_MS)
    assert place.has_started(job_id)


async def test_two_commands_may_wait_for_one_file_and_one_that_was_cancelled_does_not(place: Place) -> None:
    upload = await place.plan()
    jobs = [await place.start(upload) for _ in range(3)]
    await place.engine.cancel("acme", jobs[2])
    await place.send(upload)
    await until(lambda: all(place.has_started(job_id) for job_id in jobs[:2]))
    assert (await place.job(jobs[2])).status is JobStatus.CANCELLED
