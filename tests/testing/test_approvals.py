"""Questions to people, as whole jobs: who may answer, how many must agree, forms, escalation, delegation."""

from datetime import date
from typing import Any

import pytest
from muster import Blueprint, Decision, Escalate, Job, Next
from muster.errors import ErrorCode, MusterError
from muster.testing import TestJob, TestMuster
from pydantic import BaseModel, Field, field_validator


class Payment(BaseModel):
    cents: int = Field(gt=0)
    cost_center: str
    due: date | None = None

    @field_validator("cost_center")
    @classmethod
    def _known(cls, value: str) -> str:
        if not value.startswith("CC"):
            raise ValueError("a cost center begins with CC")
        return value


class Ask(BaseModel):
    quorum: int = 1
    approvers: list[str] | None = None
    later: list[str] = []


pay = Blueprint("pay", input=Ask)


@pay.start
async def ask(job: Job[Ask]) -> Next:
    escalate = [Escalate(after="1h", to=job.input.later), Escalate(after="3h")] if job.input.later else []
    return job.ask(
        "Pay?",
        approved=paid,
        rejected=refused,
        within="2d",
        late=unheard,
        form={"approved": Payment},
        approvers=job.input.approvers,
        quorum={"approved": job.input.quorum, "rejected": job.input.quorum},
        escalate=escalate,
    )


@pay.state
async def paid(job: Job[Ask], answer: Decision[Payment]) -> Next:
    assert isinstance(answer.form, Payment)
    return job.done({"cents": answer.form.cents, "by": [given.by for given in answer.answers]})


@pay.state
async def refused(job: Job[Ask], answer: Decision) -> Next:
    return job.done({"refused by": answer.by, "note": answer.note})


@pay.state
async def unheard(job: Job[Ask], answer: Decision) -> Next:
    return job.done({"how": answer.decision, "answers": [[given.by, given.decision] for given in answer.answers]})


FORM = {"cents": 500, "cost_center": "CC1"}


async def refusal(answering: Any) -> MusterError:
    with pytest.raises(MusterError) as caught:
        await answering
    return caught.value


def missing(job: TestJob) -> tuple[str, ...]:
    assert job.waiting_for is not None
    return job.waiting_for.missing


async def test_a_form_reaches_the_next_state_as_its_model(muster: TestMuster) -> None:
    job = await muster.start(pay, Ask())
    await job.approve(by="ada", form=Payment(cents=500, cost_center="CC1"))
    assert job.result == {"cents": 500, "by": ["ada"]}


@pytest.mark.parametrize(
    ("form", "pointer"),
    [
        (None, "/cents"),
        ({"cents": "much", "cost_center": "CC1"}, "/cents"),
        ({"cents": 0, "cost_center": "CC1"}, "/cents"),
        ({"cents": 5, "cost_center": "x"}, "/cost_center"),  # only the model knows
        ([], ""),
    ],
)
async def test_a_form_that_does_not_fit_is_told_at_once_and_writes_nothing(
    muster: TestMuster, form: Any, pointer: str
) -> None:
    job = await muster.start(pay, Ask())
    before = job.record
    error = await refusal(job.approve(by="ada", form=form))
    assert error.code is ErrorCode.FORM_INVALID
    assert pointer in [fault["pointer"] for fault in error.extra["errors"]]  # type: ignore[attr-defined]
    assert job.record == before
    assert (await refusal(job.reject(form={"a": 1}))).code is ErrorCode.FORM_INVALID
    await job.reject(by="ada", note="no")
    assert job.result == {"refused by": "ada", "note": "no"}


async def test_the_first_choice_that_enough_people_gave_wins(muster: TestMuster) -> None:
    job = await muster.start(pay, Ask(approvers=["ada", "bob", "eve"], quorum=2))
    await job.approve(by="ada", form=FORM)
    assert job.waiting_for is not None
    assert job.waiting_for.missing == ("bob", "eve")
    assert job.waiting_for.answers == {"ada": "approved"}
    await job.reject(by="bob")
    assert job.status == "waiting_for_human"
    await job.approve(by="eve", form={**FORM, "cents": 700})
    assert job.result == {"cents": 700, "by": ["ada", "bob", "eve"]}


async def test_a_second_answer_after_the_decision_is_told_who_decided_and_when(muster: TestMuster) -> None:
    job = await muster.start(pay, Ask(approvers=["ada", "bob"]))
    await job.reject(by="ada")
    at = muster.now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    await muster.advance("1h")
    error = await refusal(job.reject(by="bob"))
    assert error.code is ErrorCode.NOT_WAITING_FOR_DECISION
    assert error.extra["decided"] == {"decision": "rejected", "by": "ada", "approver": "ada", "at": at}


async def test_the_same_answer_again_is_one_answer_and_another_one_is_refused(muster: TestMuster) -> None:
    job = await muster.start(pay, Ask(approvers=["ada", "bob", "eve"], quorum=2))
    await job.reject(by="ada")
    await job.reject(by="ada")
    assert job.status == "waiting_for_human"
    error = await refusal(job.approve(by="ada", form=FORM))
    assert error.code is ErrorCode.ALREADY_ANSWERED
    assert error.extra["answer"]["decision"] == "rejected"  # type: ignore[index]
    for stranger in ("mallory", ""):
        error = await refusal(job.reject(by=stranger))
        assert (error.code, error.extra["missing"]) == (ErrorCode.NOT_AN_APPROVER, ["bob", "eve"])


async def test_a_question_that_nobody_can_win_any_more_is_split_and_goes_where_late_goes(muster: TestMuster) -> None:
    job = await muster.start(pay, Ask(approvers=["ada", "bob"], quorum=2))
    await job.approve(by="ada", form=FORM)
    await job.reject(by="bob")
    assert job.result == {"how": "split", "answers": [["ada", "approved"], ["bob", "rejected"]]}


async def test_after_a_while_others_are_asked_and_a_split_waits_for_them(muster: TestMuster) -> None:
    job = await muster.start(pay, Ask(approvers=["ada", "bob"], quorum=2, later=["chief"]))
    assert (await refusal(job.reject(by="chief"))).code is ErrorCode.NOT_AN_APPROVER
    await job.approve(by="ada", form=FORM)
    await job.reject(by="bob")
    await muster.advance("59m")
    assert missing(job) == ()
    await muster.advance("1m")
    assert missing(job) == ("chief",)
    await muster.advance("2h")  # the second step reminds, and asks nobody new
    escalated = [event for event in job.history() if event.event_type == "approval_escalated"]
    assert [event.details["approvers"] for event in escalated] == [["chief"], []]
    await job.reject(by="chief")
    assert job.result == {"refused by": "chief", "note": ""}
    await muster.advance("2d")
    assert len([event for event in job.history() if event.event_type == "approval_escalated"]) == 2


async def test_the_deadline_tells_what_was_answered_by_then(muster: TestMuster) -> None:
    job = await muster.start(pay, Ask(approvers=["ada", "bob"], quorum=2))
    await job.reject(by="ada")
    await muster.advance("2d")
    assert job.result == {"how": "late", "answers": [["ada", "rejected"]]}


async def test_a_say_is_handed_on_before_it_is_given(muster: TestMuster) -> None:
    job = await muster.start(pay, Ask(approvers=["ada", "bob"], quorum=2, later=["chief"]))
    await job.delegate("ada", "carol")
    await job.delegate("ada", "carol")  # sent twice
    await job.delegate("carol", "dan", note="on holiday")
    for to in ("bob", "chief", "ada", "carol"):
        assert (await refusal(job.delegate("dan", to))).code is ErrorCode.DELEGATION_REFUSED
    error = await refusal(job.reject(by="ada"))
    assert (error.code, error.extra["delegated_to"]) == (ErrorCode.NOT_AN_APPROVER, "carol")
    await job.reject(by="dan")
    assert (await refusal(job.delegate("dan", "eve"))).code is ErrorCode.ALREADY_ANSWERED
    assert (await refusal(job.delegate("mallory", "eve"))).code is ErrorCode.NOT_AN_APPROVER
    await job.reject(by="bob")
    assert job.result == {"refused by": "bob", "note": ""}
    handed = [event.details for event in job.history() if event.event_type == "approval_delegated"]
    assert [(one["approver"], one["to"], one["comment"]) for one in handed] == [
        ("ada", "carol", ""),
        ("carol", "dan", "on holiday"),
    ]


async def test_a_group_has_one_say_whoever_gives_it(muster: TestMuster) -> None:
    job = await muster.start(pay, Ask(approvers=["group:finance", "bob"], quorum=2))
    await job.approve(by="carol", approver="group:finance", form=FORM)
    assert job.waiting_for is not None
    assert job.waiting_for.answers == {"carol": "approved"}
    assert (await refusal(job.reject(by="dan", approver="group:finance"))).code is ErrorCode.ALREADY_ANSWERED
    await job.approve(by="bob", form=FORM)
    assert job.result == {"cents": 500, "by": ["carol", "bob"]}


async def test_a_question_that_can_never_be_decided_quarantines_the_job_with_the_reason(muster: TestMuster) -> None:
    job = await muster.run(pay, Ask(approvers=["ada"], quorum=2))
    assert job.status == "quarantined"
    assert "only 1 are ever asked" in str(job.error)


async def test_no_crash_between_two_writes_changes_how_a_question_ends(muster: TestMuster) -> None:
    async def story(muster: TestMuster) -> None:
        job = await muster.start(pay, Ask(approvers=["ada", "bob"], quorum=2, later=["chief"]))
        await job.delegate("ada", "carol")
        await job.approve(by="carol", form=FORM)
        await muster.advance("1h")
        await job.approve(by="chief", form=FORM)
        await job.ends()

    async for _ in muster.crashes(story):
        pass


async def test_what_was_recorded_of_a_question_is_replayed(muster: TestMuster) -> None:
    job = await muster.start(pay, Ask(approvers=["ada", "bob"], quorum=2))
    await job.delegate("ada", "carol")
    await job.approve(by="carol", form=FORM)
    await job.approve(by="bob", form=FORM)
    assert await muster.replay(muster.recording(job)) is None
