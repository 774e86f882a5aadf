"""How race, undo, a form and a promised result are tested, in data: `pytest blueprints/test_freight.py`."""

from pathlib import Path

import pytest
from freight_worker import worker
from muster.errors import MusterError
from muster.testing import TestMuster, hangs, later
from muster_worker import Permanent

FILE = Path(__file__).parent / "freight.yaml"
LOAD = {"load": "tea", "stops": ["Rome", "Oslo"], "region": "eu"}


def ready(muster: TestMuster) -> None:
    muster.add(FILE)
    muster.use(worker)


async def test_the_first_carrier_to_answer_takes_it(muster: TestMuster) -> None:
    ready(muster)
    muster.on("carriers.north", later("3m", {"carrier": "North", "cents": 1}))
    muster.on("carriers.south", later("2m", {"carrier": "South", "cents": 2}))
    job = await muster.run("freight", LOAD)
    assert job.result == {"carrier": "South", "cents": 2, "docks": 2}
    assert muster.calls("docks.release") == []


async def test_a_person_may_be_faster_with_a_form(muster: TestMuster) -> None:
    ready(muster)
    muster.on("carriers.north", hangs)
    muster.on("carriers.south", hangs)
    job = await (await muster.start("freight", LOAD)).reaches("offer")
    with pytest.raises(MusterError, match="form"):
        await job.decide("booked", by="desk", form={"carrier": "Ann", "cents": 0})
    await muster.advance("31m")
    await job.decide("booked", by="boss", form={"carrier": "Ann", "cents": 5})
    assert (await job.ends()).result == {"carrier": "Ann", "cents": 5, "docks": 2}


async def test_where_nobody_takes_it_the_docks_are_released_newest_first(muster: TestMuster) -> None:
    ready(muster)
    muster.on("carriers.north", hangs)
    muster.on("carriers.south", hangs)
    job = await muster.run("freight", LOAD)
    assert (job.status, job.error) == ("failed", "no carrier takes tea")
    assert [dock["dock"] for dock in muster.calls("docks.release")] == ["Oslo-1", "Rome-1"]


async def test_a_bill_that_cannot_be_written_undoes_the_booking_first(muster: TestMuster) -> None:
    ready(muster)
    muster.on("carriers.north", hangs)
    muster.on("freight.bill", Permanent("no such customer"))
    job = await muster.run("freight", LOAD)
    assert job.error == "no such customer"
    assert [call["carrier"] for call in muster.calls("freight.unbook")] == ["South"]
    assert len(muster.calls("docks.release")) == 2


async def test_a_carrier_that_offers_nonsense_puts_the_job_aside(muster: TestMuster) -> None:
    ready(muster)
    muster.on("carriers.north", {"carrier": "North", "cents": -3})
    muster.on("carriers.south", hangs)
    job = await muster.run("freight", LOAD)
    assert job.status == "quarantined"
    assert job.error_details is not None
    assert job.error_details["code"] == "invalid_output"


async def test_a_recalled_load_is_undone(muster: TestMuster) -> None:
    ready(muster)
    muster.on("carriers.north", hangs)
    muster.on("carriers.south", hangs)
    job = await (await muster.start("freight", LOAD)).reaches("offer")
    await job.signal("recalled", {"why": "rain"})
    assert (await job.ends()).error == "the load was recalled, rain"
    assert len(muster.calls("docks.release")) == 2


async def test_no_crash_of_the_orchestrator_undoes_anything_twice(muster: TestMuster) -> None:
    ready(muster)
    muster.on("carriers.north", Permanent("closed"))
    muster.on("carriers.south", hangs)

    async def story(muster: TestMuster) -> None:
        await muster.run("freight", LOAD)

    assert len([crashed async for crashed in muster.crashes(story)]) > 10
