"""How the expenses blueprint is tested: `pytest blueprints/test_expenses.py`, no server, no worker, no waiting."""

import pytest
from expenses import expenses
from expenses_contracts import Approval, Expense, Payment, Transfer, pay
from expenses_worker import worker
from muster.errors import MusterError
from muster.testing import TestMuster

TRAIN = Expense(employee="eve", purpose="a train to Turin", cents=12_000)
FORM = Approval(cents=12_000, cost_center="CC042")


async def test_two_of_three_pay_a_large_one_with_what_the_last_of_them_wrote(muster: TestMuster) -> None:
    muster.on(pay, Transfer(reference="t-1"))
    job = await muster.start(expenses, TRAIN)
    await job.approve(by="ada", form=FORM)
    assert job.status == "waiting_for_human"
    await job.approve(by="carol", approver="group:finance", form=FORM.model_copy(update={"cents": 9_000}))
    await job.ends()
    assert job.result == {"reference": "t-1", "approved_by": ["ada", "carol"]}
    assert muster.calls(pay) == [Payment(employee="eve", cents=9_000, cost_center="CC042")]


async def test_one_is_enough_for_a_small_one_and_to_refuse(muster: TestMuster) -> None:
    muster.use(worker)
    small = await muster.start(expenses, TRAIN.model_copy(update={"cents": 900}))
    await small.approve(by="ada", form=FORM)
    await small.ends()
    assert small.status == "finished"
    large = await muster.start(expenses, TRAIN)
    await large.reject(by="bob", note="fly")
    assert large.error == "refused by bob: fly"


async def test_a_wrong_cost_center_is_told_at_once(muster: TestMuster) -> None:
    job = await muster.start(expenses, TRAIN)
    with pytest.raises(MusterError, match="/cost_center"):
        await job.approve(by="ada", form={"cents": 5, "cost_center": "42"})


async def test_the_chief_is_asked_after_two_days_and_may_stand_in(muster: TestMuster) -> None:
    muster.on(pay, Transfer(reference="t-1"))
    job = await muster.start(expenses, TRAIN)
    await job.delegate("bob", "dan", note="on holiday")
    await job.approve(by="dan", form=FORM)
    await muster.advance("2d")
    assert job.waiting_for is not None
    assert job.waiting_for.missing == ("ada", "group:finance", "chief")
    await job.approve(by="chief", form=FORM)
    await job.ends()
    assert job.result == {"reference": "t-1", "approved_by": ["dan", "chief"]}


async def test_nobody_waits_longer_than_five_days(muster: TestMuster) -> None:
    job = await muster.start(expenses, TRAIN)
    await job.approve(by="ada", form=FORM)
    await muster.advance("5d")
    assert job.error == "nobody decided (late); ada: approved"
