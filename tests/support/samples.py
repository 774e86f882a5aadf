"""Values for tests of the store, with only what a test cares about spelled out."""

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from muster.core.ids import JobId, UnixMs, new_job_id, split_task_id
from muster.core.record import Context, Submission
from muster.core.status import JobStatus
from muster.store.base import (
    Claim,
    Claimed,
    Commit,
    Committed,
    Completed,
    Completion,
    Mode,
    NewJob,
    NewTask,
    Refused,
    Seat,
    Stepped,
    Store,
    Turn,
)
from muster.store.keys import short_hash

HOUR_MS = 3_600_000
WORK = short_hash("work")
"""The class of tasks of type `work`."""


def fresh(prefix: str = "") -> str:
    """A token nobody used before."""
    return prefix + secrets.token_hex(8)


def fresh_job_id(partition: int = 0) -> JobId:
    return new_job_id(UnixMs(time.time_ns() // 1_000_000), partition, secrets.randbits(62))


def new_job(partition: int = 0, **changes: Any) -> NewJob:
    fields: dict[str, Any] = {
        "id": fresh_job_id(partition),
        "tenant": "acme",
        "blueprint": "orders",
        "blueprint_version": "1",
        "state": "begin",
        "submission": Submission({"amount": 1}),
        "context": Context(),
        "history": "submitted",
    }
    return NewJob(**{**fields, **changes})


def new_tasks(first: int, count: int, **changes: Any) -> tuple[NewTask, ...]:
    fields: dict[str, Any] = {"type": "work", "body": b"{}", "rules": b'{"r":3}', "timeout_ms": HOUR_MS}
    return tuple(NewTask(number, **{**fields, **changes}) for number in range(first, first + count))


def commit_of(turn: Turn, tasks: Sequence[NewTask] = (), **changes: Any) -> Commit:
    """A commit of *turn* that waits for *tasks*; without any, the job finishes."""
    record = turn.record
    status = JobStatus.WAITING_FOR_PARALLEL_TASKS if tasks else JobStatus.FINISHED
    fields: dict[str, Any] = {
        "job": record.id,
        "version": record.version,
        "token": turn.token,
        "next_token": fresh(),
        "status": status,
        "state": "somewhere",
        "context": Context(),
        "wave": max(record.wave, record.spawn_wave) + 1,
        "next_task": max([record.next_task, record.spawned_to, *(task.number + 1 for task in tasks)]),
        "need": len(tasks),
        "retention_ms": HOUR_MS,
    }
    return Commit(**{**fields, "tasks": tuple(tasks), **changes})


def next_number(turn: Turn) -> int:
    return max(turn.record.next_task, turn.record.spawned_to)


def seat(worker: str = "w1", **changes: Any) -> Seat:
    return Seat(**{"worker": worker, "fence": fresh(), "lease_ms": HOUR_MS, **changes})


def claim_of(seats: int | Sequence[Seat] = 1, **changes: Any) -> Claim:
    chosen = tuple(seat() for _ in range(seats)) if isinstance(seats, int) else tuple(seats)
    return Claim(**{"replica": "r1", "classes": (WORK,), "seats": chosen, "history": False, **changes})


def item_of(number: int, status: str = "success", **fields: Any) -> str:
    return json.dumps({"k": "task", "n": number, "s": status, "d": None, "c": "", "m": "", "w": "", "a": 1, **fields})


def decision(word: str = "approved") -> str:
    return json.dumps({"k": "decision", "d": word, "b": "ann", "m": ""})


def number_of(claimed: Claimed) -> int:
    parts = split_task_id(claimed.task)
    assert parts is not None
    return parts[1]


def job_of(claimed: Claimed) -> JobId:
    parts = split_task_id(claimed.task)
    assert parts is not None
    return parts[0]


def end_of(claimed: Claimed, **changes: Any) -> Completion:
    """The successful end of a claimed task, as reported by `w1`."""
    number = number_of(claimed)
    fields: dict[str, Any] = {
        "job": job_of(claimed),
        "number": number,
        "worker": "w1",
        "mode": Mode.DELIVER,
        "item": item_of(number),
        "history": "ended",
        "token": fresh(),
        "attempt": claimed.attempt,
    }
    return Completion(**{**fields, **changes})


def after_commit(turn: Turn, wave: int = 1, tasks: int = 1) -> Turn:
    """The next turn of a job whose commit of *turn* made so many tasks, as whoever wrote that knows it."""
    record = replace(turn.record, version=turn.record.version + 1, wave=wave, next_task=turn.record.next_task + tasks)
    return Turn(fresh(), record, ())


async def step_on(
    store: Store, turn: Turn, task: Claimed, tasks: Sequence[NewTask] = (), **changes: Any
) -> Stepped | Completed | Refused:
    """The end of *task*, which the commit of *turn* made, with the turn that it makes due."""
    following = after_commit(turn)
    end = end_of(task, token=following.token)
    return await store.step(end, commit_of(following, tasks, **changes))


async def first_turn(store: Store, **changes: Any) -> Turn:
    turn = await store.submit(new_job(**changes), fresh())
    assert isinstance(turn, Turn)
    return turn


async def committed(store: Store, commit: Commit) -> Committed:
    reply = await store.commit(commit)
    assert isinstance(reply, Committed)
    return reply


async def waiting_job(store: Store, count: int = 1, tenant: str = "acme", **task: Any) -> JobId:
    """A job that waits for *count* ready tasks."""
    turn = await first_turn(store, tenant=tenant)
    await committed(store, commit_of(turn, new_tasks(0, count, **task)))
    return turn.record.id


async def asking_job(store: Store, **changes: Any) -> Turn:
    """A job that waits for a person; its past turn is returned, the wait has wave 1."""
    turn = await first_turn(store)
    await committed(store, commit_of(turn, status=JobStatus.WAITING_FOR_HUMAN, need=1, **changes))
    return turn


async def claim_one(store: Store, **changes: Any) -> Claimed:
    (claimed,) = await store.claim(0, claim_of(1, **changes))
    return claimed
