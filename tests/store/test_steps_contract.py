"""What every store does with a step: a task's end and the turn that it makes due, in one call."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
from muster.core.ids import UnixMs
from muster.core.limits import CONTEXT_BYTES_MAX
from muster.core.record import Context, JobRecord
from muster.core.status import JobStatus
from muster.store.base import (
    Claimed,
    Committed,
    Completed,
    Completion,
    ContextTooLarge,
    LeaseRef,
    Message,
    Mode,
    NewTask,
    Refusal,
    Refused,
    Stepped,
    Store,
    Turn,
)

from tests.conftest import MakeDeployment
from tests.support.deployment import Backend, Deployment, Replica
from tests.support.samples import (
    HOUR_MS,
    after_commit,
    claim_of,
    claim_one,
    commit_of,
    committed,
    end_of,
    first_turn,
    fresh,
    item_of,
    new_job,
    new_tasks,
    seat,
    step_on,
)
from tests.support.waiting import until

ALONE = {"status": JobStatus.WAITING_FOR_WORKER, "current_task": 0, "history": ("decided",)}


@dataclass(frozen=True)
class Waiting:
    """A job that waits for its only task, which `w1` has; `known` is the turn that its end makes due."""

    first: Turn
    task: Claimed
    known: Turn

    @property
    def job(self) -> Any:
        return self.first.record.id

    @property
    def end(self) -> Completion:
        return end_of(self.task, token=self.known.token)


async def a_waiting_job(store: Store, **job: Any) -> Waiting:
    turn = await first_turn(store, **job)
    reply = await committed(store, commit_of(turn, new_tasks(0, 1), claim=claim_of(1), **ALONE))
    return Waiting(turn, reply.claimed[0], after_commit(turn))


async def read(store: Store, job: Any) -> JobRecord:
    record = await store.read(job)
    assert record is not None
    return record


async def entries(store: Store, job: Any) -> list[str]:
    return [event.blob for event in await store.history(job)]


def second_task(**changes: Any) -> dict[str, Any]:
    return {**ALONE, "current_task": 1, "history": ("went on",), **changes}


# What it writes


async def test_a_step_takes_the_end_writes_the_turn_and_hands_out_what_it_made(store: Store) -> None:
    waiting = await a_waiting_job(store)
    claim = claim_of([seat("w2", fence="next")])
    reply = await step_on(store, waiting.first, waiting.task, new_tasks(1, 1), **second_task(claim=claim))
    assert isinstance(reply, Stepped)
    assert reply.committed.turn is None
    assert [task.task for task in reply.committed.claimed] == [f"{waiting.job}.1"]
    assert await entries(store, waiting.job) == ["submitted", "decided", "ended", "went on"]
    assert await store.live_task(waiting.job, 0) is None
    record = await read(store, waiting.job)
    assert (record.status, record.version, record.wave) == (JobStatus.WAITING_FOR_WORKER, 2, 2)
    assert (record.next_task, record.current_worker) == (2, "w2")


async def test_a_step_tells_how_the_job_stands_then(store: Store) -> None:
    waiting = await a_waiting_job(store)
    ref = LeaseRef(waiting.task.task, 1, progress=0.5)
    await store.extend(0, "w1", HOUR_MS, [ref])
    reply = await step_on(store, waiting.first, waiting.task)
    assert isinstance(reply, Stepped)
    record = await read(store, waiting.job)
    told = (reply.created_at, reply.started_at, reply.retries, reply.revision, reply.committed.at)
    assert told == (record.created_at, record.started_at, record.retries, record.revision, record.finished_at)
    assert record.revision > record.version


async def test_a_retried_task_ends_by_a_step_like_any_other(store: Store) -> None:
    waiting = await a_waiting_job(store)
    again = await store.complete(end_of(waiting.task, mode=Mode.RETRY))
    assert isinstance(again, Completed)
    assert again.retried
    reply = await step_on(store, waiting.first, await claim_one(store))
    assert isinstance(reply, Stepped)
    assert reply.retries == 1


async def test_a_step_may_end_the_job_and_take_another_ones_task(store: Store) -> None:
    waiting, other = await a_waiting_job(store), await first_turn(store)
    await committed(store, commit_of(other, new_tasks(0, 1)))
    reply = await step_on(store, waiting.first, waiting.task, claim=claim_of(1))
    assert isinstance(reply, Stepped)
    assert [task.task for task in reply.committed.claimed] == [f"{other.record.id}.0"]
    assert (await read(store, waiting.job)).status is JobStatus.FINISHED


async def test_a_turn_that_is_due_again_at_once_belongs_to_who_stepped(store: Store) -> None:
    waiting = await a_waiting_job(store)
    reply = await step_on(store, waiting.first, waiting.task, status=JobStatus.RUNNING, need=0, next_token="next")
    assert isinstance(reply, Stepped)
    assert reply.committed.turn is not None
    assert reply.committed.turn.token == "next"
    await committed(store, commit_of(reply.committed.turn))


async def test_a_context_beyond_the_limit_is_refused_and_the_end_is_not_taken(store: Store) -> None:
    waiting = await a_waiting_job(store)
    with pytest.raises(ContextTooLarge):
        await step_on(store, waiting.first, waiting.task, context=Context(data="x" * CONTEXT_BYTES_MAX))
    assert await entries(store, waiting.job) == ["submitted", "decided"]
    assert isinstance(await step_on(store, waiting.first, waiting.task), Stepped)


# Sent twice


async def test_a_step_sent_twice_is_written_once(store: Store) -> None:
    waiting = await a_waiting_job(store)
    decided = commit_of(waiting.known, new_tasks(1, 1), **second_task(claim=claim_of(1)))
    first = await store.step(waiting.end, decided)
    assert isinstance(first, Stepped)
    second = await store.step(waiting.end, decided)
    assert isinstance(second, Stepped)
    assert second.committed.claimed == ()
    assert (second.started_at, second.revision) == (first.started_at, first.revision)
    assert await entries(store, waiting.job) == ["submitted", "decided", "ended", "went on"]
    assert (await read(store, waiting.job)).version == 2


async def test_a_step_sent_twice_gives_the_turn_that_is_due_again_twice(store: Store) -> None:
    waiting = await a_waiting_job(store)
    decided = commit_of(waiting.known, status=JobStatus.RUNNING, need=0)
    replies = [await store.step(waiting.end, decided) for _ in range(2)]
    turns = [reply.committed.turn for reply in replies if isinstance(reply, Stepped)]
    assert [turn is not None and turn.token for turn in turns] == [decided.next_token] * 2


async def test_a_step_that_comes_again_when_the_job_has_moved_on_is_refused(store: Store) -> None:
    waiting = await a_waiting_job(store)
    decided = commit_of(waiting.known, new_tasks(1, 1), **second_task(claim=claim_of(1)))
    reply = await store.step(waiting.end, decided)
    assert isinstance(reply, Stepped)
    following = replace(waiting.known, record=replace(waiting.known.record, version=2, wave=2, next_task=2), token="t")
    last = await store.step(end_of(reply.committed.claimed[0], token="t"), commit_of(following))
    assert isinstance(last, Stepped)
    assert await store.step(waiting.end, decided) == Refused(Refusal.GONE, 2)
    assert (await read(store, waiting.job)).version == 3


# Where only the end is taken


async def _cancelled(store: Store, waiting: Waiting) -> None:
    await store.cancel(waiting.job, fresh(), HOUR_MS, "cancel asked")


async def _cancelled_and_cleaned_up(store: Store, waiting: Waiting) -> None:
    """The grace is over and the turn of the clean-up runs, elsewhere."""
    await store.cancel(waiting.job, fresh(), 0, "cancel asked")
    assert (await store.tick(0, "t")).turns


@pytest.mark.parametrize("meanwhile", [_cancelled, _cancelled_and_cleaned_up])
async def test_a_job_that_was_cancelled_meanwhile_is_decided_again(
    store: Store, meanwhile: Callable[[Store, Waiting], Any]
) -> None:
    waiting = await a_waiting_job(store)
    await meanwhile(store, waiting)
    reply = await step_on(store, waiting.first, waiting.task)
    assert isinstance(reply, Completed)
    assert reply.cancelling
    assert (reply.turn is not None) == (meanwhile is _cancelled)
    record = await read(store, waiting.job)
    assert (record.version, record.cancel_requested) == (1, True)


async def test_a_turn_decided_for_another_version_is_decided_again(store: Store) -> None:
    waiting = await a_waiting_job(store)
    older = replace(waiting.known, record=replace(waiting.known.record, version=0))
    reply = await store.step(waiting.end, commit_of(older))
    assert isinstance(reply, Completed)
    assert reply.turn is not None
    assert (reply.turn.token, len(reply.turn.items)) == (waiting.known.token, 1)
    assert await entries(store, waiting.job) == ["submitted", "decided", "ended"]
    assert await store.step(waiting.end, commit_of(older)) == reply
    await committed(store, commit_of(reply.turn))


async def test_one_of_many_tasks_is_only_delivered_and_its_seat_is_filled(store: Store) -> None:
    turn = await first_turn(store)
    reply = await committed(store, commit_of(turn, new_tasks(0, 3), claim=claim_of(1)))
    known = after_commit(turn, tasks=3)
    decided = commit_of(known, claim=claim_of(1))
    noted = await store.step(end_of(reply.claimed[0], token=known.token), decided)
    assert isinstance(noted, Completed)
    assert (noted.turn, [task.task for task in noted.claimed]) == (None, [f"{turn.record.id}.1"])


async def test_the_last_of_many_tasks_is_not_taken_for_the_only_one(store: Store) -> None:
    turn = await first_turn(store)
    reply = await committed(store, commit_of(turn, new_tasks(0, 2), claim=claim_of(2)))
    await store.complete(end_of(reply.claimed[0]))
    known = after_commit(turn, tasks=2)
    last = await store.step(end_of(reply.claimed[1], token=known.token), commit_of(known))
    assert isinstance(last, Completed)
    assert last.turn is not None
    assert len(last.turn.items) == 2


# The fences


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"worker": "w9"}, Refusal.FOREIGN),
        ({"attempt": 2}, Refusal.STALE),
        ({"fence": "another"}, Refusal.STALE),
        ({"number": 7}, Refusal.GONE),
    ],
)
async def test_an_end_that_is_not_the_leases_writes_nothing(store: Store, change: dict[str, Any], why: Refusal) -> None:
    waiting = await a_waiting_job(store)
    refused = await store.step(replace(waiting.end, **change), commit_of(waiting.known))
    assert isinstance(refused, Refused)
    assert refused.why is why
    assert (await read(store, waiting.job)).version == 1
    assert await entries(store, waiting.job) == ["submitted", "decided"]


async def test_a_lost_lease_and_an_unknown_job_are_refused(store: Store) -> None:
    waiting = await a_waiting_job(store)
    await store.complete(end_of(waiting.task, mode=Mode.LOST))
    assert await step_on(store, waiting.first, waiting.task) == Refused(Refusal.STALE)
    unknown = new_job().id
    end, decided = replace(waiting.end, job=unknown), replace(commit_of(waiting.known), job=unknown)
    assert await store.step(end, decided) == Refused(Refusal.GONE, -1)


async def test_a_job_of_a_partition_that_is_not_there_is_unknown(store: Store) -> None:
    waiting = await a_waiting_job(store)
    elsewhere = new_job(partition=9).id
    end, decided = replace(waiting.end, job=elsewhere), replace(commit_of(waiting.known), job=elsewhere)
    assert await store.step(end, decided) == Refused(Refusal.GONE, -1)


# Who is told


def _has_heard_all(replica: Replica) -> bool:
    return "that is all" in replica.texts


async def test_followers_are_told_of_a_step_and_others_of_the_end_it_brings(deployment: Deployment) -> None:
    here, there = await deployment.replica("r1"), await deployment.replica("r2")
    waiting = await a_waiting_job(here.store)
    for name in ("r1", "r2"):
        await here.store.read(waiting.job, name)
    await here.store.read(waiting.job, "r1", changes=True)
    assert isinstance(await step_on(here.store, waiting.first, waiting.task), Stepped)
    for replica in (here, there):
        await here.store.publish(replica.name, "that is all")
        await until(partial(_has_heard_all, replica))
    assert here.texts.count(f"j|{waiting.job}") == 1  # as a follower; its own watchers it tells itself
    assert there.texts.count(f"j|{waiting.job}") == 1


# The same as complete and commit

PLANS: dict[str, tuple[tuple[NewTask, ...], dict[str, Any]]] = {
    "a task that waits": (new_tasks(1, 1, priority=3), second_task()),
    "a task for a seat": (new_tasks(1, 1), second_task(claim=claim_of([seat(fence="f2")], history=True))),
    "a fan": (new_tasks(1, 3), {"history": ("spread",), "failures_left": 0}),
    "a question": ((), {"status": JobStatus.WAITING_FOR_HUMAN, "need": 1, "deadline_ms": HOUR_MS}),
    "a webhook and drops": ((), {"messages": (Message("m", b"told"),), "drops": ((0, 1),), "result": {"n": 1}}),
    "a failure": ((), {"status": JobStatus.FAILED, "error": "no", "details": {"code": "x"}, "history": ("over",)}),
    "more at once": ((), {"status": JobStatus.RUNNING, "need": 0, "next_token": "next"}),
}


async def lived(
    deployment: Deployment, store: Store, job: Any, tasks: tuple[NewTask, ...], plan: dict[str, Any], *, at_once: bool
) -> Any:
    """What the server holds after a job's second turn, by one call or by two. It is empty afterwards."""
    new = new_job(id=job, watcher="r1")
    seats = claim_of([seat(fence="f1")], history=True)
    first = commit_of(Turn("t0", new.record(UnixMs(0)), ()), new_tasks(0, 1), claim=seats, next_token="n", **ALONE)
    reply = await store.submit(new, "t0", first)
    assert isinstance(reply, Committed)
    await store.read(job, "r1", changes=True)
    known = replace(after_commit(Turn("t0", new.record(UnixMs(0)), ())), token="t1")
    end = end_of(reply.claimed[0], token="t1", item=item_of(0))
    decided = commit_of(known, tasks, **{"next_token": "n1", "context": Context(data=[1]), **plan})
    if at_once:
        assert isinstance(await store.step(end, decided), Stepped)
    else:
        done = await store.complete(end)
        assert isinstance(done, Completed)
        assert isinstance(await store.commit(decided), Committed)
    entries = deployment.dump().under(deployment.tags[0]).entries
    await store.flush()
    return {key: (entry.type, entry.ttl_ms is None, _timeless(entry.value)) for key, entry in entries.items()}


RUN_TIMES = {"rm", "r|orders"}
"""How long a task ran, of the job and of its day."""


def _timeless(value: Any) -> Any:
    """Without what the clock says: nothing but a time is so large."""
    match value:
        case dict():
            return {key: _timeless(entry) for key, entry in value.items() if key not in RUN_TIMES}
        case list():
            return [re.sub(r"^\d+:\d*\||^\d+\|\d+$", "|", entry) for entry in value]
        case float():
            return value if value < 1e11 else "then"
        case str() if value.isdecimal() and len(value) > 11:
            return "then"
        case _:
            return value


@pytest.mark.parametrize("plan", PLANS)
async def test_a_step_leaves_what_its_two_halves_leave(
    deploy: MakeDeployment, real_backend: Backend, plan: str
) -> None:
    deployment, job, (tasks, fields) = deploy(real_backend), new_job().id, PLANS[plan]
    store = (await deployment.replica("r1")).store
    one, two = [await lived(deployment, store, job, tasks, fields, at_once=at_once) for at_once in (True, False)]
    assert one == two
    assert f"j:{job}" in one
