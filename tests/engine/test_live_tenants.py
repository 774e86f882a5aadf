"""All jobs of a tenant in one stream: none is left out, no line is told twice, many of them hold nobody up."""

import asyncio
from collections import defaultdict
from typing import Any

import pytest
from muster.core.ids import JobId
from muster.core.status import JobStatus
from muster.engine.live import JobChanged, JobEnded, LineCame, LiveEvent, StepChanged
from muster.engine.live_events import ArtifactKept
from muster.store.base import Committed

from tests.conftest import MakeDeployment
from tests.engine.live_hands import TENANT, Replica, Teller, step, word
from tests.support.deployment import Deployment
from tests.support.samples import claim_of, commit_of, committed, first_turn, fresh, new_job, new_tasks, seat
from tests.support.waiting import eventually, until


class Ear:
    """Listens to a tenant all the time, and sorts what it hears by job."""

    def __init__(self, place: Replica, tenant: str = TENANT, **options: Any) -> None:
        self.heard: dict[JobId, list[str]] = defaultdict(list)
        self.events: list[LiveEvent] = []
        self.has_ended = False
        self._following = place.live.follow_tenant(tenant, **{"quiet_s": 30, **options})
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for event in self._following:
            assert event is not None
            self.events.append(event)
            self.heard[job_of_event(event)].append(word(event))
        self.has_ended = True

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._following.aclose()


def job_of_event(event: LiveEvent) -> JobId:
    match event:
        case JobChanged(record) | JobEnded(record):
            return record.id
        case StepChanged(job, _) | LineCame(job, _, _, _) | ArtifactKept(job, _):
            return job


async def started(place: Replica, tenant: str = TENANT, partition: int = 0) -> Teller:
    turn = await first_turn(place.store, tenant=tenant, partition=partition)
    commit = commit_of(turn, new_tasks(0, 1), status=JobStatus.WAITING_FOR_WORKER, current_task=0)
    await committed(place.store, commit)
    (task,) = await place.store.claim(partition, claim_of([seat(fence="f1")]))
    return Teller(place.store, task)


def job_of(task: Teller) -> JobId:
    return JobId(task.task.task.rpartition(".")[0])


async def listens(place: Replica, ear: Ear, tenant: str = TENANT) -> None:
    """Wait until its first job is heard."""

    async def is_heard() -> bool:
        await first_turn(place.store, tenant=tenant)
        return bool(ear.events)

    await eventually(is_heard)


async def test_jobs_of_before_and_of_later_are_told_from_now_on_and_to_their_end(one: Replica, two: Replica) -> None:
    early = await started(one)
    await early.tell(step(0, "a"), "before")
    ear = Ear(two)
    await listens(one, ear)
    await early.tell("now", step(0, "a", "completed"))
    await until(lambda: "step a completed" in ear.heard[job_of(early)])
    late = await started(one)
    await late.tell("hello")
    await late.keep("a.txt")
    for task in (early, late):
        await task.end()
    await until(lambda: all(ear.heard[job_of(task)][-1:] == ["end finished"] for task in (early, late)))
    assert ear.heard[job_of(early)] == [
        "job waiting_for_worker",
        "step a running",
        "2 now (a running)",
        "step a completed",
        "end finished",
    ]
    told = [text for text in ear.heard[job_of(late)] if not text.startswith("job ")]
    assert told == ["1 hello", "file a.txt", "end finished"]
    assert ear.heard[job_of(late)][0].startswith("job ")
    await ear.close()


async def test_a_job_is_shown_when_it_is_made_started_and_over(one: Replica) -> None:
    ear = Ear(one)
    await listens(one, ear)
    turn = await first_turn(one.store, tenant=TENANT)
    job = turn.record.id
    await until(lambda: ear.heard[job] == ["job pending"])
    commit = commit_of(turn, new_tasks(0, 1), status=JobStatus.WAITING_FOR_WORKER, current_task=0)
    await committed(one.store, commit)
    await until(lambda: ear.heard[job] == ["job pending", "job waiting_for_worker"])
    (got,) = await one.store.claim(0, claim_of([seat(fence="f1")]))
    await until(lambda: len(ear.heard[job]) == 3)
    started_event = [event for event in ear.events if isinstance(event, JobChanged)][-1]
    assert started_event.record.started_at is not None
    await Teller(one.store, got).end()
    await until(lambda: ear.heard[job][-1] == "end finished")
    await ear.close()


async def test_nobody_hears_of_another_tenants_jobs(one: Replica, two: Replica) -> None:
    mine, theirs = Ear(two), Ear(two, "another")
    await listens(one, mine)
    await listens(one, theirs, "another")
    task = await started(one)
    await task.tell("secret")
    await task.end()
    await until(lambda: mine.heard[job_of(task)][-1:] == ["end finished"])
    assert job_of(task) not in theirs.heard
    await mine.close()
    await theirs.close()


async def test_jobs_that_changed_since_a_moment_are_shown_as_they_are_and_then_live(one: Replica) -> None:
    over, running, old = await started(one), await started(one), await started(one)
    await over.tell("gone by", step(0, "a"), step(0, "a", "completed"))
    await over.end()
    await running.tell("gone by")
    record = await one.store.read(job_of(old))
    assert record is not None
    ear = Ear(one, since_ms=record.updated_at)
    await until(lambda: job_of(running) in ear.heard and ear.heard[job_of(over)][-1:] == ["end finished"])
    assert ear.heard[job_of(over)] == ["job finished", "step a completed", "end finished"]
    assert ear.heard[job_of(running)] == ["job waiting_for_worker"]
    await running.tell("new")
    await until(lambda: ear.heard[job_of(running)][1:] == ["2 new"])
    await ear.close()
    later = Ear(one, since_ms=record.updated_at + 3_600_000)
    await listens(one, later)
    assert job_of(over) not in later.heard
    await later.close()


async def test_with_more_active_jobs_than_are_followed_every_line_is_told_once(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muster.engine.tenants.JOBS_FOLLOWED_MAX", 2)
    one = await Replica.at(deployment, "r1")
    ear = Ear(one)
    await listens(one, ear)
    tasks = [await started(one) for _ in range(6)]
    for number in range(5):
        for task in tasks:
            await task.tell(f"line {number}")
        await until(lambda n=number: all(f"{n + 1} line {n}" in ear.heard[job_of(task)] for task in tasks))  # type: ignore[misc]
    for task in tasks:
        await task.end()
    await until(lambda: all(ear.heard[job_of(task)][-1:] == ["end finished"] for task in tasks))
    for task in tasks:
        lines = [text for text in ear.heard[job_of(task)] if "0" < text[0] <= "9"]
        assert lines == [f"{number + 1} line {number}" for number in range(5)]
        assert ear.heard[job_of(task)].count("end finished") == 1
    await ear.close()


async def test_a_follower_too_far_behind_is_sent_away(deploy: MakeDeployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muster.engine.tenants.JOBS_BEHIND_MAX", 5)
    one = await Replica.at(deploy("memory"), "r1")
    following = one.live.follow_tenant(TENANT, quiet_s=30)
    first = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0)
    await first_turn(one.store, tenant=TENANT)
    await first
    for _ in range(30):
        await first_turn(one.store, tenant=TENANT)
    await asyncio.sleep(0)
    assert len([event async for event in following]) <= 6


async def test_what_happened_while_messages_were_lost_is_told_afterwards(one: Replica) -> None:
    ear = Ear(one)
    known = await started(one)
    await listens(one, ear)
    await known.tell("one")
    await until(lambda: "1 one" in ear.heard[job_of(known)])
    one.is_deaf = True
    await known.tell("two")
    made = await started(one)
    ended = await started(one)
    await ended.end()
    await one.store.publish("r1", "mark")
    await until(lambda: "mark" in one.unheard)
    one.is_deaf = False
    one.live.look_again()
    await until(lambda: "2 two" in ear.heard[job_of(known)])
    await until(lambda: job_of(made) in ear.heard and ear.heard[job_of(ended)][-1:] == ["end finished"])
    assert [text for text in ear.heard[job_of(known)] if "0" < text[0] <= "9"] == ["1 one", "2 two"]
    await ear.close()


async def test_the_jobs_of_all_partitions_are_told(deploy: MakeDeployment) -> None:
    one = await Replica.at(deploy("valkey", partitions=4), "r1")
    ear = Ear(one)
    await listens(one, ear)
    tasks = [await started(one, partition=partition) for partition in range(4)]
    for task in tasks:
        await task.tell("x")
    await until(lambda: all("1 x" in ear.heard[job_of(task)] for task in tasks))
    await ear.close()


async def test_silence_is_told_and_so_is_a_server_that_stops(one: Replica) -> None:
    following = one.live.follow_tenant(TENANT, quiet_s=0.02)
    assert [await anext(following), await anext(following)] == [None, None]
    one.live.close()
    assert [event async for event in following] in ([], [None])


async def test_when_the_last_follower_leaves_the_replica_forgets_the_tenant(one: Replica) -> None:
    ears = [Ear(one), Ear(one)]
    for ear in ears:
        await listens(one, ear)
    assert len(one.live._tenants._rooms) == 1
    for ear in ears:
        await ear.close()
    assert one.live._tenants._rooms == {}


async def test_a_thousand_active_jobs_of_a_tenant_are_all_told(deploy: MakeDeployment) -> None:
    one = await Replica.at(deploy("memory"), "r1")
    ear = Ear(one)
    await listens(one, ear)
    jobs: list[JobId] = []
    for _ in range(1_000):
        new, token = new_job(tenant=TENANT), fresh()
        turn = (await one.store.submit(new, token), token)[0]
        assert not isinstance(turn, Committed)
        jobs.append(new.id)
        if len(jobs) % 50 == 0:
            await asyncio.sleep(0)
    await until(lambda: all(job in ear.heard for job in jobs))
    assert all(ear.heard[job] == ["job pending"] for job in jobs)
    await ear.close()
