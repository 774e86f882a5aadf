"""A parcel that is put aside, looked at, and goes on."""

from muster.engine.retrying import Given, RetryOrder
from muster.testing import TestMuster
from returns import returns
from returns_worker import worker


async def test_a_parcel_that_weighs_too_much_is_put_aside_mended_and_refunded(muster: TestMuster) -> None:
    muster.add(returns)
    muster.use(worker)
    job = await muster.run(returns, {"order": "A2", "grams": 0})
    assert job.status == "quarantined"
    assert job.error == "a parcel of 99000 g: is the scale right?"
    again = await job.retry(RetryOrder(state="check", argument=Given({"grams": 990})))
    await again.ends()
    assert again.result == {"refunded": "A2", "grams": 990}
    assert again.id == job.id


async def test_a_paused_parcel_is_not_refunded_before_it_is_resumed(muster: TestMuster) -> None:
    muster.add(returns)
    muster.nobody("returns.weigh")
    job = await muster.start(returns, {"order": "A1", "grams": 0})
    await job.pause("the warehouse is on fire")
    muster.use(worker)
    await muster.advance("1h")
    assert job.status == "paused"
    await job.resume()
    await job.ends()
    assert job.result == {"refunded": "A1", "grams": 1_200}
