"""How the orders blueprint is tested: `pytest blueprints/test_orders.py`, no server, no worker, no waiting."""

from datetime import timedelta

from muster.testing import TestMuster, lost
from muster_worker import Permanent, Retry
from orders import orders
from orders_contracts import Charge, Line, Order, Parcel, Receipt, charge_card, pack
from orders_worker import worker

TEA = Order(id="7", cents=1200, lines=[Line(sku="tea", qty=2), Line(sku="cup")])


async def test_an_order_is_charged_packed_and_shipped(muster: TestMuster) -> None:
    muster.on(charge_card, Receipt(ref="card-7"))
    muster.on(pack, lambda line: Parcel(tracking=f"parcel-{line.sku}"))
    job = await muster.run(orders, TEA)
    assert job.result == {"receipt": "card-7", "tracking": ["parcel-tea", "parcel-cup"]}
    assert job.path == ("check", "packing", "shipped")
    assert muster.calls(charge_card) == [Charge(order_id="7", cents=1200)]


async def test_a_payment_service_that_is_busy_is_asked_again(muster: TestMuster) -> None:
    muster.on(charge_card, [Retry("busy"), Retry("busy", after="1h"), Receipt(ref="card-7")])
    muster.on(pack, Parcel(tracking="p"))
    before = muster.now
    job = await muster.run(orders, TEA)
    assert job.status == "finished"
    assert muster.now - before >= timedelta(hours=1)


async def test_a_declined_card_is_for_a_person_to_decide(muster: TestMuster) -> None:
    muster.on(charge_card, Permanent("declined"))
    muster.on(pack, Parcel(tracking="p"))
    job = await muster.start(orders, TEA)
    await job.reaches("ask_a_person")
    assert job.waiting_for is not None
    assert job.waiting_for.decisions == ("approved", "rejected")
    await job.decide("approved", by="ann")
    await job.ends()
    assert job.result == {"receipt": "invoice by ann", "tracking": ["p", "p"]}


async def test_nobody_waits_for_a_person_for_ever(muster: TestMuster) -> None:
    muster.on(charge_card, Permanent("declined"))
    job = await muster.start(orders, TEA)
    await muster.advance("1d")
    assert job.status == "waiting_for_human"
    await muster.advance("1d")
    assert job.error == "nobody decided in time"


async def test_a_packer_that_dies_loses_no_parcel(muster: TestMuster) -> None:
    muster.on(charge_card, Receipt(ref="card-7"))
    muster.on(pack, [lost, Parcel(tracking="p1"), Parcel(tracking="p2")])
    job = await muster.run(orders, TEA)
    assert job.status == "finished"
    assert len(muster.calls(pack)) == 3


async def test_the_workers_and_the_blueprint_agree(muster: TestMuster) -> None:
    muster.use(worker)
    job = await muster.run(orders, TEA)
    assert job.status == "finished"


async def test_no_crash_of_the_orchestrator_changes_how_an_order_ends(muster: TestMuster) -> None:
    muster.on(charge_card, Permanent("declined"))
    muster.on(pack, lambda line: Parcel(tracking=line.sku))

    async def story(muster: TestMuster) -> None:
        job = await muster.start(orders, TEA)
        await job.reaches("ask_a_person")
        await job.decide("approved", by="ann")
        await job.ends()

    assert len([crashed async for crashed in muster.crashes(story)]) > 5
