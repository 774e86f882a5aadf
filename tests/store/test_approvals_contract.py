"""What every store does with questions: one change after the other, the index of what is open, escalations."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from muster.core import approvals as core
from muster.core.approvals import NO_CHANGES, Answer, Tally
from muster.core.ids import JobId
from muster.core.record import DecisionItem, TimerItem
from muster.core.status import JobStatus
from muster.store.approvals import DueEscalation, QuestionChange
from muster.store.base import Message, Refusal, Refused, Store, Turn
from muster.store.keys import short_hash

from tests.support.deployment import Deployment
from tests.support.samples import (
    HOUR_MS,
    claim_one,
    commit_of,
    committed,
    decision,
    end_of,
    first_turn,
    fresh,
    new_job,
    new_tasks,
)

pytestmark = pytest.mark.usefixtures("deployment")


async def question(store: Store, tenant: str = "acme", **changes: Any) -> Turn:
    """A job that asks people; the question has wave 1."""
    turn = await first_turn(store, tenant=tenant)
    await committed(store, asked(turn, **changes))
    return turn


def asked(turn: Turn, **changes: Any) -> Any:
    return commit_of(turn, **{"status": JobStatus.WAITING_FOR_HUMAN, "need": 1, "asks": True, **changes})


def change(turn: Turn, tally: Tally, **fields: Any) -> QuestionChange:
    return QuestionChange(turn.record.id, 1, tally, "noted", fresh(), **fields)


def with_answer(name: str, before: Tally = NO_CHANGES) -> Tally:
    return core.with_answer(before, Answer(name, "approved", form={"n": 1}))


async def open_jobs(store: Store, tenant: str = "acme") -> list[JobId]:
    return [record.id for record in (await store.approvals.asking(tenant, None, 100))[0]]


async def test_an_answer_is_written_once_upon_the_one_before_with_the_time_of_the_server(
    store: Store, deployment: Deployment
) -> None:
    turn = await question(store)
    before = await store.read(turn.record.id)
    assert before is not None
    assert before.tally == NO_CHANGES
    first = change(turn, with_answer("ada"))
    for _ in range(2):
        assert await store.approvals.change(first) is None
    assert await store.approvals.change(change(turn, with_answer("bob"))) == Refused(Refusal.CHANGED)
    record = await store.read(turn.record.id)
    assert record is not None
    (answer,) = record.tally.answers
    assert (answer.approver, answer.form, record.tally.changes) == ("ada", {"n": 1}, 1)
    assert abs(answer.at - record.updated_at) < 60_000
    assert record.revision > before.revision
    assert [event.blob for event in await store.history(turn.record.id)].count("noted") == 1
    assert not deployment.violations()


async def test_of_many_answers_at_once_each_is_counted_upon_another(store: Store) -> None:
    turn = await question(store)
    replies = await asyncio.gather(*(store.approvals.change(change(turn, with_answer(f"p{n}"))) for n in range(5)))
    assert sorted(map(str, replies)) == sorted(map(str, [None, *[Refused(Refusal.CHANGED)] * 4]))


async def test_the_deciding_answer_gets_the_turn_and_nothing_comes_after_it(store: Store) -> None:
    turn = await question(store, deadline_ms=HOUR_MS)
    deciding = change(turn, with_answer("ada"), item=decision())
    reply = await store.approvals.change(deciding)
    assert isinstance(reply, Turn)
    assert reply.items == (DecisionItem("approved", "ann", ""),)
    assert [answer.approver for answer in reply.record.tally.answers] == ["ada"]
    assert await store.approvals.change(deciding) == reply
    late = change(turn, with_answer("bob", reply.record.tally), item=decision())
    assert await store.approvals.change(late) == Refused(Refusal.CONFLICT)
    await committed(store, commit_of(reply))
    assert await store.approvals.change(deciding) == Refused(Refusal.TAKEN)
    assert await store.approvals.change(late) == Refused(Refusal.CONFLICT)
    assert await store.approvals.change(replace(late, job=new_job().id)) == Refused(Refusal.GONE)


async def test_an_answer_that_races_with_the_deadline_has_one_winner(store: Store) -> None:
    turn = await question(store, deadline_ms=0)
    (due,) = (await store.tick(0, fresh())).turns
    assert due.items == (TimerItem(),)
    late = change(turn, with_answer("ada"), item=decision())
    assert await store.approvals.change(late) == Refused(Refusal.CONFLICT)


async def test_open_questions_are_listed_until_the_job_goes_on_is_cancelled_or_deleted(
    store: Store, deployment: Deployment
) -> None:
    jobs = [(await question(store, escalate_ms=HOUR_MS)).record.id for _ in range(3)]
    other = (await question(store, tenant="other")).record.id
    assert sorted(await open_jobs(store)) == sorted(jobs)
    assert await open_jobs(store, "other") == [other]
    answered = await store.approvals.change(
        QuestionChange(jobs[0], 1, with_answer("ada"), "", fresh(), item=decision())
    )
    assert isinstance(answered, Turn)
    again = await committed(store, asked(answered, wave=2))
    assert again.turn is None
    record = await store.read(jobs[0])
    assert record is not None
    assert record.tally == NO_CHANGES, "the next question begins anew"
    cancelling = await store.cancel(jobs[1], fresh(), HOUR_MS, "")
    assert isinstance(cancelling, Turn)
    await committed(store, commit_of(cancelling, status=JobStatus.CANCELLED, clear_cancel=True))
    await store.delete(jobs[2])
    assert await open_jobs(store) == [jobs[0]]
    assert not deployment.violations()


async def test_the_index_is_read_in_pages(store: Store) -> None:
    jobs = {(await question(store)).record.id for _ in range(5)}
    found, last = await store.approvals.asking("acme", None, 2)
    while last is not None:
        more, last = await store.approvals.asking("acme", last, 2)
        found += more
    assert len(found) == 5
    assert {record.id for record in found} == jobs


async def test_an_escalation_is_handed_out_again_until_it_is_written(store: Store, deployment: Deployment) -> None:
    turn = await question(store, escalate_ms=0)
    due = (DueEscalation(turn.record.id, 1),)
    assert (await store.tick(0, fresh())).escalations == due
    assert (await store.tick(0, fresh())).escalations == ()
    tally = core.with_escalation(NO_CHANGES)
    first = change(turn, tally, escalates=True, next_ms=0, messages=(Message(fresh(), b"hello"),))
    for _ in range(2):
        assert await store.approvals.change(first) is None
    tick = await store.tick(0, fresh())
    assert (tick.escalations, len(tick.messages)) == (due, 1)
    second = change(turn, core.with_escalation(tally), escalates=True)
    assert await store.approvals.change(second) is None
    assert (await store.tick(0, fresh())).escalations == ()
    record = await store.read(turn.record.id)
    assert record is not None
    assert record.tally.escalated == 2
    assert not deployment.violations()


async def test_a_decided_question_is_not_escalated(store: Store, deployment: Deployment) -> None:
    turn = await question(store, escalate_ms=0)
    await store.approvals.change(change(turn, with_answer("ada"), item=decision()))
    assert (await store.tick(0, fresh())).escalations == ()
    assert not deployment.violations()


async def test_a_question_that_an_older_server_asked_can_be_answered(deployment: Deployment) -> None:
    if deployment.server is None:
        pytest.skip("the model has no older server")
    store = (await deployment.replica("r1")).store
    turn = await question(store)
    client, job = deployment.server.client, turn.record.id
    (tag,) = deployment.tags
    assert client.hdel(f"{tag}j:{job}", "ask") == 1
    assert client.zrem(f"{tag}xa:{short_hash('acme')}", job) == 1
    reply = await store.approvals.change(replace(change(turn, with_answer("ada")), item=decision()))
    assert isinstance(reply, Turn)
    await committed(store, commit_of(reply))


async def test_of_a_task_and_a_question_of_one_wait_the_first_to_end_decides_and_the_question_is_closed(
    store: Store,
) -> None:
    turn = await first_turn(store)
    await committed(store, asked(turn, tasks=new_tasks(0, 1), escalate_ms=HOUR_MS))
    task = await claim_one(store)
    assert await store.approvals.change(change(turn, with_answer("ada"))) is None
    ended = await store.complete(end_of(task))
    assert not isinstance(ended, Refused)
    assert ended.turn is not None
    deciding = change(turn, with_answer("bob", with_answer("ada")), item=decision())
    assert await store.approvals.change(deciding) == Refused(Refusal.CONFLICT)
    await committed(store, commit_of(ended.turn))
    assert await open_jobs(store) == []


async def test_a_deciding_answer_wins_against_a_task_of_the_same_wait(store: Store) -> None:
    turn = await first_turn(store)
    await committed(store, asked(turn, tasks=new_tasks(0, 1)))
    task = await claim_one(store)
    won = await store.approvals.change(change(turn, with_answer("ada"), item=decision()))
    assert isinstance(won, Turn)
    await committed(store, commit_of(won, drops=((0, 1),)))
    assert (await store.tick(0, fresh())).dropped == ((task.task, "w1"),)
