"""A replica that follows, and a task that tells: what the tests of live events share."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from typing import Any

import orjson
from muster.core.file_record import NewFile, artifact_id
from muster.core.ids import JobId, TaskId, UnixMs
from muster.core.status import JobStatus
from muster.engine.live import ArtifactKept, JobChanged, JobEnded, LineCame, Live, LiveEvent, StepChanged
from muster.engine.live_events import LinePlace
from muster.engine.settings import EngineSettings
from muster.store.base import Claimed, Commit, Completed, Store, Turn
from muster.store.journal import Entry, Line, Step, TaskEvents

from tests.support.deployment import Deployment
from tests.support.samples import (
    claim_of,
    commit_of,
    committed,
    end_of,
    first_turn,
    fresh,
    job_of,
    new_tasks,
    number_of,
    seat,
)

TENANT = "acme"


class Replica:
    """A store and what follows on it, woken as the engine wakes it."""

    def __init__(self, store: Store, live: Live) -> None:
        self.store = store
        self.live = live
        self.is_deaf = False
        self.unheard: list[str] = []

    @classmethod
    async def at(cls, deployment: Deployment, name: str) -> "Replica":
        made: list[Replica] = []

        def hear(partition: int, text: str) -> None:
            for place in made:
                if place.is_deaf:
                    place.unheard.append(text)
                else:
                    place.live.hear(partition, text)

        replica = await deployment.replica(name, hear)
        live = Live(replica.store, EngineSettings(name, partitions=deployment.partitions))
        made.append(cls(replica.store, live))
        return made[0]

    def follow(self, job: JobId, after: int | LinePlace = 0, quiet_s: float = 30) -> Any:
        place = after if isinstance(after, LinePlace) else LinePlace(after)
        return self.live.follow_job(TENANT, job, after=place, quiet_s=quiet_s)


async def held(store: Store) -> Claimed:
    """A task in the first attempt, held by `w1`."""
    (claimed,) = await store.claim(0, claim_of([seat(fence="f1")]))
    return claimed


def step(index: int, name: str, status: str = "running", **fields: Any) -> Step:
    blob = orjson.dumps({"attempt": fields.pop("attempt", 1), "step": {"name": name, "status": status, **fields}})
    return Step(index, blob, status in {"completed", "failed", "skipped"})


def line(text: str, stream: Any = "stdout") -> Line:
    return Line(UnixMs(1), stream, text)


class Teller:
    """Tells events of one attempt, counting them."""

    def __init__(self, store: Store, task: Claimed, log_bytes_max: int = 1 << 20) -> None:
        self.store = store
        self.task = task
        self._next = 0
        self._log_bytes_max = log_bytes_max

    async def tell(self, *told: Entry | str) -> None:
        entries = tuple(line(entry) if isinstance(entry, str) else entry for entry in told)
        batch = TaskEvents(
            job_of(self.task), number_of(self.task), "w1", self.task.attempt, None, self._next, entries,
            self._log_bytes_max,
        )  # fmt: skip
        await self.store.append(batch)
        self._next += len(entries)

    async def keep(self, name: str, fence: str = "f1") -> None:
        file = NewFile(artifact_id(TaskId(self.task.task), name), TENANT, name, 1, "", "text/plain", fresh())
        await self.store.files.keep_artifact(self.task.task, self.task.attempt, fence, file, 10)

    async def end(self, **changes: Any) -> Commit:
        done = await self.store.complete(end_of(self.task))
        assert isinstance(done, Completed)
        assert isinstance(done.turn, Turn)
        commit = commit_of(done.turn, **changes)
        await committed(self.store, commit)
        return commit


def word(event: LiveEvent | None) -> str:
    """An event as a test names it."""
    match event:
        case None:
            return "quiet"
        case JobChanged(record):
            return f"job {record.status}"
        case StepChanged(_, view):
            return f"step {view.fields['name']} {view.fields['status']}"
        case LineCame(_, entry, view, _):
            inside = "" if view is None else f" ({view.fields['name']} {view.fields['status']})"
            return f"{entry.seq} {entry.text}{inside}"
        case ArtifactKept(_, file):
            return f"file {file.file.name}"
        case JobEnded(record):
            return f"end {record.status}"


def words(events: Iterable[LiveEvent | None]) -> list[str]:
    return [word(event) for event in events]


async def all_of(following: Any) -> list[str]:
    async with aclosing(following):
        return [word(event) async for event in following]


async def up_to(following: AsyncIterator[LiveEvent | None], last: str, seconds: float = 10) -> list[str]:
    """Words until the one that begins with *last*."""
    found: list[str] = []
    async with asyncio.timeout(seconds):
        async for event in following:
            found.append(word(event))
            if found[-1].startswith(last):
                return found
    raise AssertionError(f"ended without {last!r}: {found}")


async def started(place: Replica) -> tuple[JobId, Teller]:
    """A job with one task, which is held."""
    turn = await first_turn(place.store, tenant=TENANT)
    await committed(place.store, commit_of(turn, new_tasks(0, 1), status=JobStatus.WAITING_FOR_WORKER, current_task=0))
    return turn.record.id, Teller(place.store, await held(place.store))
