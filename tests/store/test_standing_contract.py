"""What every store says of how a job stands, and of how busy the fleet is."""

import json
from dataclasses import replace

import pytest
from muster.core.ids import JobId
from muster.core.status import JobStatus, TaskStatus
from muster.store import redis_standing
from muster.store.base import Mode, Store
from muster.store.keys import short_hash
from muster.store.standing import Held, Standing

from tests.conftest import MakeDeployment
from tests.support.deployment import Backend
from tests.support.samples import (
    HOUR_MS,
    WORK,
    asking_job,
    claim_of,
    commit_of,
    committed,
    end_of,
    first_turn,
    fresh,
    fresh_job_id,
    new_tasks,
    number_of,
    seat,
    waiting_job,
)


async def standing(store: Store, job: JobId) -> Standing:
    found = await store.standing.of(job)
    assert found is not None
    assert found.record == await store.read(job)
    return found


async def test_of_an_unknown_job_nothing_is_said(store: Store) -> None:
    assert await store.standing.of(fresh_job_id()) is None
    assert await store.standing.of(fresh_job_id(partition=9)) is None


async def test_a_turn_that_somebody_has_and_one_that_is_due_are_told_apart(store: Store) -> None:
    turn = await first_turn(store)
    held = await standing(store, turn.record.id)
    assert held.turn_held
    assert held.turn_at is not None
    assert held.turn_at > held.now
    await store.defer(turn.record.id, turn.token, HOUR_MS, failed=True)
    due = await standing(store, turn.record.id)
    assert not due.turn_held
    assert due.turn_at is not None
    assert due.turn_at - due.now > HOUR_MS - 60_000
    assert due.record.turn_failures == 1


async def test_a_job_that_is_over_waits_for_nothing(store: Store) -> None:
    turn = await first_turn(store)
    await committed(store, commit_of(turn))
    found = await standing(store, turn.record.id)
    assert found == Standing(found.record, found.now)


async def test_tasks_are_ready_leased_or_backing_off(store: Store) -> None:
    job = await waiting_job(store, 3)
    one, two = await store.claim(0, claim_of([seat("w1"), seat("w2", lease_ms=1000)]))
    await store.complete(end_of(one, mode=Mode.RETRY, delay_ms=HOUR_MS))
    found = await standing(store, job)
    tasks = {task.number: task for task in found.tasks}
    assert [task.type for task in found.tasks] == ["work"] * 3
    assert (found.live_tasks, found.need, found.turn_at) == (3, 3, None)
    gone, leased = tasks[number_of(one)], tasks[number_of(two)]
    ready = next(task for task in found.tasks if task not in (gone, leased))
    assert (gone.status, gone.attempt, gone.failures, gone.worker) == (TaskStatus.GATED, 1, 1, "")
    assert gone.until is not None
    assert HOUR_MS - 60_000 < gone.until - found.now <= HOUR_MS
    assert (leased.status, leased.worker, leased.attempt) == (TaskStatus.LEASED, "w2", 1)
    assert leased.since is not None
    assert leased.until == leased.since + 1000
    assert (ready.status, ready.attempt, ready.before, ready.until) == (TaskStatus.READY, 0, 0, None)
    assert ready.since is not None


async def test_tasks_of_an_earlier_wait_are_not_what_the_job_waits_for(store: Store) -> None:
    turn = await first_turn(store)
    await committed(store, commit_of(turn, new_tasks(0, 2), need=1))
    one, _ = await store.claim(0, claim_of(2))
    reply = await store.complete(end_of(one))
    assert getattr(reply, "turn", None) is not None
    await committed(store, commit_of(reply.turn, new_tasks(2, 1)))  # type: ignore[union-attr,arg-type]
    assert [task.number for task in (await standing(store, turn.record.id)).tasks] == [2]


async def test_the_place_in_line_counts_ones_own_and_a_fair_share_of_others(store: Store) -> None:
    await waiting_job(store, 5, "acme")
    await waiting_job(store, 50, "umbrella")
    await waiting_job(store, 2, "late", priority=-1)
    await waiting_job(store, 3, "early", priority=1)
    job = await waiting_job(store, 4, "acme")
    found = await standing(store, job)
    first, *others = found.tasks
    assert first.before == 5 + 5 + 3
    assert {task.before for task in others} == {None}
    assert (await standing(store, await waiting_job(store, 1, "urgent", priority=2))).tasks[0].before == 0


async def test_each_type_of_task_has_a_place_in_line(store: Store) -> None:
    await waiting_job(store, 3)
    turn = await first_turn(store)
    tasks = (*new_tasks(0, 2), *new_tasks(2, 2, type="play"))
    await committed(store, commit_of(turn, tasks))
    found = await standing(store, turn.record.id)
    assert [(task.type, task.before) for task in found.tasks] == [
        ("work", 3), ("work", None), ("play", 0), ("play", None),
    ]  # fmt: skip
    assert await store.standing.queued(0) == {"work": 5, "play": 2}


async def test_timers_and_graces_have_their_time(store: Store) -> None:
    turn = await asking_job(store, deadline_ms=HOUR_MS)
    found = await standing(store, turn.record.id)
    assert found.timer_at is not None
    assert 0 <= found.timer_at - found.record.updated_at - HOUR_MS < 60_000  # the model's clock goes on meanwhile
    assert (found.need, found.turn_at, found.tasks) == (1, None, ())
    job = await waiting_job(store)
    await store.claim(0, claim_of(1))
    await store.cancel(job, fresh(), HOUR_MS, "")
    asked = await standing(store, job)
    assert asked.grace_until is not None
    assert HOUR_MS - 60_000 < asked.grace_until - asked.now <= HOUR_MS
    assert asked.record.cancel_requested


async def test_kept_signals_are_named_by_their_hashes_in_order(store: Store) -> None:
    turn = await first_turn(store)
    await committed(store, commit_of(turn, status=JobStatus.WAITING, need=1, signal="go"))
    for name in ("one", "two", "one"):
        item = json.dumps({"k": "signal", "n": name, "d": {}})
        await store.send(turn.record.id, name, item, "", fresh(), 10)
    names = [short_hash(name) for name in ("one", "two", "one")]
    assert list((await standing(store, turn.record.id)).signals) == names


async def test_what_the_fleet_holds_is_told_by_task_and_worker(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_standing, "HELD_PER_CALL", 2)
    await waiting_job(store, 5)
    claimed = await store.claim(0, claim_of([replace(seat("w1"), lease_ms=1000 + i // 3) for i in range(5)]))
    assert set(await store.standing.held(0)) == {Held(got.task, "work", "w1", WORK) for got in claimed}
    await store.complete(end_of(claimed[0]))
    assert {held.task for held in await store.standing.held(0)} == {got.task for got in claimed[1:]}
    assert await store.standing.queued(0) == {}


async def test_partitions_are_told_apart(deploy: MakeDeployment, backend: Backend) -> None:
    store = (await deploy(backend, partitions=2).replica()).store
    turn = await first_turn(store, partition=1)
    await committed(store, commit_of(turn, new_tasks(0, 1)))
    assert await store.standing.queued(0) == {}
    assert await store.standing.queued(1) == {"work": 1}
    await store.claim(1, claim_of(1))
    assert await store.standing.held(0) == ()
    assert len(await store.standing.held(1)) == 1
