"""What every store finds: jobs by tag and status; and that a deleted job leaves nothing."""

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from muster.core.file_record import NewFile, artifact_id
from muster.core.ids import JobId, UnixMs
from muster.core.record import Submission
from muster.core.status import FINAL, JobStatus
from muster.store import redis_index
from muster.store.base import Committed, Completed, Existing, Mode, Position, Refusal, Refused, Store, Turn
from muster.store.journal import Line, Meta, Step, TaskEvents

from tests.conftest import MakeDeployment
from tests.support.deployment import Backend, Deployment
from tests.support.samples import (
    HOUR_MS,
    asking_job,
    claim_of,
    commit_of,
    committed,
    decision,
    end_of,
    first_turn,
    fresh,
    fresh_job_id,
    job_of,
    new_job,
    new_tasks,
    seat,
    waiting_job,
)
from tests.support.waiting import eventually, until


async def tagged_turn(store: Store, *tags: str, **changes: Any) -> Turn:
    return await first_turn(store, submission=Submission({}, tags=tags), **changes)


async def ids_of(store: Store, tag: str, tenant: str = "acme") -> list[JobId]:
    return [record.id for record in (await store.tagged(tenant, tag, None, 100)).items]


# Tags


async def test_a_job_is_found_by_each_of_its_tags_while_it_lives_and_when_it_is_over(store: Store) -> None:
    turn = await tagged_turn(store, "nightly", "a:b|{c}")
    job = turn.record.id
    assert turn.record.submission.tags == ("nightly", "a:b|{c}")
    assert [await ids_of(store, tag) for tag in ("nightly", "a:b|{c}", "other")] == [[job], [job], []]
    await committed(store, commit_of(turn))
    page = await store.tagged("acme", "nightly", None, 100)
    assert [(record.id, record.status) for record in page.items] == [(job, JobStatus.FINISHED)]
    assert page.items[0].submission.tags == ("nightly", "a:b|{c}")


async def test_tenants_do_not_find_each_others_tags(store: Store) -> None:
    turn = await tagged_turn(store, "nightly", tenant="umbrella")
    assert await ids_of(store, "nightly") == []
    assert await ids_of(store, "nightly", "umbrella") == [turn.record.id]


async def test_a_job_that_ends_with_its_first_turn_is_found_by_its_tag(store: Store) -> None:
    new = new_job(submission=Submission({}, tags=("quick",)))
    token = fresh()
    first = commit_of(Turn(token, new.record(UnixMs(0)), ()))
    for _ in range(2):
        assert isinstance(await store.submit(new, token, first), Committed)
    assert await ids_of(store, "quick") == [new.id]


async def test_pages_of_a_tag_are_newest_first_and_pass_over_no_job(deploy: MakeDeployment, backend: Backend) -> None:
    store = (await deploy(backend, partitions=3).replica()).store
    made = []
    for number in range(9):
        turn = await tagged_turn(store, "t", partition=number % 3)
        made.append((turn.record.id, number))
        if number % 2:
            await committed(store, commit_of(turn))
    found: list[JobId] = []
    before: Position | None = None
    while True:
        page = await store.tagged("acme", "t", before, 2)
        found += [record.id for record in page.items]
        created = [Position(record.created_at, record.id) for record in page.items]
        assert created == sorted(created, reverse=True)
        if page.last is None:
            break
        assert before is None or page.last < before
        before = page.last
    assert sorted(found) == sorted(job for job, _ in made)
    assert len(found) == 9


async def test_a_tag_forgets_jobs_that_have_expired(store: Store) -> None:
    short, long = await tagged_turn(store, "t"), await tagged_turn(store, "t")
    await committed(store, commit_of(short, retention_ms=1))
    await committed(store, commit_of(long))

    async def expired() -> bool:
        return await store.read(short.record.id) is None

    await eventually(expired)
    page = await store.tagged("acme", "t", None, 2)
    assert [record.id for record in page.items] == [long.record.id]
    assert await ids_of(store, "t") == [long.record.id]


# Searches


async def test_a_search_finds_exactly_the_jobs_of_the_statuses(store: Store) -> None:
    waiting, other = await waiting_job(store), await waiting_job(store, tenant="umbrella")
    pending = (await first_turn(store)).record.id
    ended = await first_turn(store)
    await committed(store, commit_of(ended))
    failed = await first_turn(store)
    await committed(store, commit_of(failed, status=JobStatus.FAILED, error="no"))

    async def found(*statuses: JobStatus) -> set[JobId]:
        wanted = frozenset(statuses) or None
        return {glance.job for glance in await store.glances("acme", tag=None, statuses=wanted, most=100)}

    assert await found() == {waiting, pending, ended.record.id, failed.record.id}
    assert other not in await found()
    assert await found(JobStatus.PENDING) == {pending}
    assert await found(JobStatus.FAILED, JobStatus.WAITING_FOR_PARALLEL_TASKS) == {failed.record.id, waiting}
    assert await found(*FINAL) == {ended.record.id, failed.record.id}
    (glance,) = await store.glances("acme", tag=None, statuses=frozenset({JobStatus.FAILED}), most=100)
    record = await store.read(failed.record.id)
    assert record is not None
    assert glance == (record.created_at, record.id, JobStatus.FAILED, glance.begun, 0)


async def test_a_search_goes_through_a_long_index_chunk_by_chunk(
    deploy: MakeDeployment, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_index, "GLANCES_PER_CALL", 3)
    store = (await deploy(backend, partitions=2).replica()).store
    made = {(await tagged_turn(store, "t", partition=number % 2)).record.id for number in range(40)}
    for tag in (None, "t"):
        found = await store.glances("acme", tag=tag, statuses=None, most=1000)
        assert {glance.job for glance in found} == made
        assert len(found) == 40
    some = await store.glances("acme", tag=None, statuses=None, most=10)
    assert 10 <= len(some) <= 20


# Cost and times

PRICE = 2_000_000
"""Micros per second: 2 EUR, so that a millisecond costs 2,000."""


def today() -> date:
    return datetime.now(UTC).date()


def days() -> list[date]:
    """Those on which a job of this test may have been created."""
    return [today() - timedelta(days=back) for back in (-1, 0, 1)]


async def sums(store: Store, tenant: str = "acme") -> dict[str, tuple[int, int, int]]:
    found = await store.day_costs(tenant, days())
    return {cost.meter: (cost.jobs, cost.run_ms, cost.cost_micros) for cost in found}


async def run_for(store: Store, ms: int) -> None:
    """Let the store's clock go on."""
    until_s = time.monotonic() + ms / 1000

    async def passed() -> bool:
        await store.ping()
        return time.monotonic() >= until_s

    await eventually(passed)


async def cost_so_far(store: Store, job: JobId) -> int:
    record = await store.read(job)
    assert record is not None
    return record.cost_micros


async def test_every_run_of_a_task_costs_its_time_at_the_price_of_its_worker(store: Store) -> None:
    job = await waiting_job(store)
    costs: list[int] = []
    done: Completed | Refused = Completed()
    for price, mode in ((PRICE, Mode.RETRY), (0, Mode.LOST), (PRICE // 2, Mode.DELIVER)):
        (claimed,) = await store.claim(0, claim_of([seat(price=price)]))
        await run_for(store, 5)
        done = await store.complete(end_of(claimed, mode=mode))
        assert isinstance(done, Completed)
        costs.append(done.ran_ms * price // 1000)
        assert await cost_so_far(store, job) == sum(costs)
    assert costs[0] > 0
    assert costs[2] > 0
    assert isinstance(done, Completed)
    assert done.turn is not None
    assert done.turn.record.cost_micros == sum(costs)


async def test_a_task_that_is_handed_out_with_its_commit_has_its_price(store: Store) -> None:
    turn = await first_turn(store)
    reply = await committed(store, commit_of(turn, new_tasks(0, 1), claim=claim_of([seat(price=PRICE)])))
    await run_for(store, 3)
    done = await store.complete(end_of(reply.claimed[0]))
    assert isinstance(done, Completed)
    assert await cost_so_far(store, turn.record.id) == done.ran_ms * 2_000 > 0


async def test_the_end_of_a_job_counts_it_once_for_the_day_of_its_creation(store: Store) -> None:
    job = await waiting_job(store)
    (claimed,) = await store.claim(0, claim_of([seat(price=PRICE)]))
    await run_for(store, 3)
    done = await store.complete(end_of(claimed))
    assert isinstance(done, Completed)
    assert done.turn is not None
    assert await sums(store) == {}
    end = commit_of(done.turn)
    for _ in range(2):
        await committed(store, end)
    assert await sums(store) == {"orders": (1, done.ran_ms, done.ran_ms * 2_000)}
    assert await sums(store, "umbrella") == {}
    record = await store.read(job)
    assert record is not None
    assert record.cost_micros == done.ran_ms * 2_000


async def test_jobs_that_name_a_runtime_are_counted_by_it(store: Store) -> None:
    for data in ({"runtime": "python:3.11"}, {"runtime": "python:3.11"}, {"runtime": 7}, {}):
        await committed(store, commit_of(await first_turn(store, submission=Submission(data))))
    assert await sums(store) == {"orders|python:3.11": (2, 0, 0), "orders": (2, 0, 0)}


async def test_a_run_that_outlives_its_job_is_charged_to_it(store: Store) -> None:
    job = await waiting_job(store, 2)
    reported, dropped = await store.claim(0, claim_of([seat(price=PRICE), seat(price=PRICE)]))
    await store.cancel(job, "c", 0, "")
    (turn,) = (await store.tick(0, "t")).turns
    await committed(store, commit_of(turn, status=JobStatus.CANCELLED))
    assert (await sums(store))["orders"] == (1, 0, 0)
    await run_for(store, 5)
    assert await store.complete(end_of(reported)) == Refused(Refusal.FINAL)
    first = (await sums(store))["orders"]
    assert first[0] == 1
    assert first[1] >= 4
    assert first[2] == first[1] * 2_000 == await cost_so_far(store, job)
    await store.delete(job)
    second = (await sums(store))["orders"]
    assert second[0] == 1
    assert second[1] > first[1]
    assert second[2] == second[1] * 2_000
    assert await store.complete(end_of(dropped)) == Refused(Refusal.GONE, -1)
    assert (await sums(store))["orders"] == second


async def test_a_task_that_nobody_waits_for_any_more_has_cost_what_it_ran(store: Store) -> None:
    turn = await first_turn(store)
    await committed(store, commit_of(turn, new_tasks(0, 2), failures_left=0))
    failed, _ = await store.claim(0, claim_of([seat(price=0), seat(price=PRICE)]))
    await run_for(store, 3)
    done = await store.complete(end_of(failed, failed=True))
    assert isinstance(done, Completed)
    assert done.turn is not None
    await committed(store, commit_of(done.turn, status=JobStatus.WAITING_FOR_HUMAN, need=1, drops=((0, 2),)))
    await store.tick(0, "t")
    assert await cost_so_far(store, turn.record.id) >= 3 * 2_000


async def test_a_job_that_is_deleted_while_it_runs_has_cost_what_it_ran(store: Store) -> None:
    job = await waiting_job(store)
    await store.claim(0, claim_of([seat(price=PRICE)]))
    await run_for(store, 3)
    await store.delete(job)
    jobs, ran_ms, cost = (await sums(store))["orders"]
    assert (jobs, cost) == (1, ran_ms * 2_000)
    assert ran_ms >= 3


async def test_the_times_of_finished_jobs_are_kept_newest_first(store: Store) -> None:
    for number in range(155):
        turn = await first_turn(store)
        if number == 154:
            await run_for(store, 5)
        await committed(store, commit_of(turn, status=JobStatus.WAITING, started=True, deadline_ms=0, need=1))
        (again,) = (await store.tick(0, "t")).turns
        if number == 153:
            await run_for(store, 5)
        await committed(store, commit_of(again))
    failed = await first_turn(store)
    await committed(store, commit_of(failed, status=JobStatus.FAILED, error="no"))
    times = await store.durations("acme", "orders")
    assert len(times) == 100
    assert times[1] >= 5
    assert await store.durations("acme", "orders|x") == ()
    assert await store.durations("umbrella", "orders") == ()


# Deletion


async def test_a_deleted_job_leaves_nothing(deployment: Deployment) -> None:
    store = (await deployment.replica()).store
    turn = await tagged_turn(store, "t")
    await committed(store, commit_of(turn, new_tasks(0, 3)))
    claimed = (await store.claim(0, claim_of([seat(fence="f1")])))[0]
    job = job_of(claimed)
    line = Line(UnixMs(1), "stdout", "a line")
    await store.append(TaskEvents(job, 0, "w1", 1, "f1", 0, (line, Step(0, b"{}"), Meta("k", "v")), 1000))
    file = NewFile(artifact_id(claimed.task, "a"), "acme", "a", 1, "", "text/plain", "blob-1", claimed.task)
    await store.files.keep_artifact(claimed.task, 1, "f1", file, 10)
    await store.spawn(job, 1, "none", 2, ())
    assert await store.delete(job) == ("blob-1",)
    assert await store.delete(job) == ()
    assert await store.read(job) is None
    assert await store.history(job) == ()
    assert await store.read_log(job, 1) is None
    assert await store.files.artifacts(job) == ()
    assert await ids_of(store, "t") == []
    assert (await store.jobs("acme", None, 10)).items == ()
    assert await store.glances("acme", tag=None, statuses=None, most=10) == ()
    state = await store.queue(0)
    assert (state.ready, state.leased) == ({}, 0)
    assert {status: count for status, count in state.jobs.items() if count} == {"cancelled": 1}
    assert await store.complete(end_of(claimed)) == Refused(Refusal.GONE, -1)
    assert await store.claim(0, claim_of(5)) == ()
    if deployment.is_real:
        assert not [key for key in deployment.dump().entries if job in key]


async def test_a_final_job_is_deleted_from_all_lists(store: Store) -> None:
    turn, other = await tagged_turn(store, "t"), await tagged_turn(store, "t")
    for one in (turn, other):
        await committed(store, commit_of(one))
    await store.delete(turn.record.id)
    left = other.record.id
    assert await ids_of(store, "t") == [left]
    assert [record.id for record in (await store.jobs("acme", None, 10)).items] == [left]
    assert [glance.job for glance in await store.glances("acme", tag=None, statuses=FINAL, most=10)] == [left]


async def test_a_turn_under_way_cannot_bring_a_deleted_job_back(store: Store) -> None:
    turn = await first_turn(store)
    await store.spawn(turn.record.id, 0, turn.token, 1, new_tasks(0, 5))
    (early, late) = await store.claim(0, claim_of(2))
    assert isinstance(await store.complete(end_of(early)), Completed)
    await store.delete(turn.record.id)
    assert await store.commit(commit_of(turn, new_tasks(5, 1))) == Refused(Refusal.GONE)
    assert not await store.spawn(turn.record.id, 0, turn.token, 1, new_tasks(5, 1))
    assert await store.complete(end_of(late)) == Refused(Refusal.GONE, -1)
    assert await store.defer(turn.record.id, turn.token, 0, failed=False) is None
    assert (await store.tick(0, "t")).turns == ()
    assert await store.read(turn.record.id) is None


async def test_a_waiting_and_a_cancelled_job_are_deleted_with_their_timers(store: Store) -> None:
    asking = (await asking_job(store, deadline_ms=HOUR_MS)).record.id
    job = await waiting_job(store, 2)
    (claimed,) = await store.claim(0, claim_of(1))
    assert isinstance(await store.cancel(job, fresh(), HOUR_MS, ""), tuple)
    for deleted in (asking, job):
        await store.delete(deleted)
    assert await store.signal(asking, 1, decision(), "", fresh()) == Refused(Refusal.GONE)
    assert await store.cancel(job, fresh(), HOUR_MS, "") == Refused(Refusal.GONE)
    assert await store.complete(end_of(claimed)) == Refused(Refusal.GONE, -1)
    assert (await store.tick(0, "t")).next_due_ms is None


async def test_a_wide_job_is_deleted_whole(store: Store) -> None:
    turn = await first_turn(store)
    tasks = new_tasks(0, 250)
    for start in (0, 100):
        await store.spawn(turn.record.id, 0, turn.token, 1, tasks[start : start + 100])
    await committed(store, commit_of(turn, tasks[200:], need=250))
    await store.delete(turn.record.id)
    assert (await store.queue(0)).ready == {}


async def test_who_watches_a_job_is_told_of_its_deletion(deployment: Deployment) -> None:
    replica = await deployment.replica("r1")
    job = await waiting_job(replica.store)
    await replica.store.read(job, "r1")
    await replica.store.read_log(job, 1, "r1")
    await replica.store.delete(job)
    await until(lambda: {f"j|{job}", f"l|{job}"} <= set(replica.texts))


async def test_deleting_an_unknown_job_does_nothing(store: Store) -> None:
    assert await store.delete(fresh_job_id()) == ()
    assert await store.delete(fresh_job_id(partition=9)) == ()


async def test_a_deleted_job_leaves_its_idempotency_key_free(store: Store) -> None:
    first = new_job(idempotency_key="k", fingerprint="f")
    assert isinstance(await store.submit(first, fresh()), Turn)
    assert isinstance(await store.submit(new_job(idempotency_key="k", fingerprint="f"), fresh()), Existing)
    await store.delete(first.id)
    assert isinstance(await store.submit(new_job(idempotency_key="k", fingerprint="f"), fresh()), Turn)
