"""How the travel blueprint is tested: `pytest blueprints/test_travel.py`."""

from muster.testing import TestMuster, hangs, later
from muster_worker import Permanent
from travel import travel
from travel_contracts import (
    Booking,
    Night,
    Offer,
    Payment,
    Receipt,
    Trip,
    blue_sky,
    book_night,
    cancel_night,
    charge,
    north_wind,
    refund,
)

TRIP = Trip(id="7", cents=90_000, nights=["Rome", "Oslo"])


def book(night: Night) -> Booking:
    return Booking(city=night.city, ref=f"{night.city}-1")


def pay_and_book(muster: TestMuster) -> None:
    muster.on(charge, lambda payment: Receipt(ref=f"paid-{payment.cents}"))
    muster.on(book_night, book)
    muster.on(refund, None)
    muster.on(cancel_night, None)


async def test_the_first_airline_to_answer_flies(muster: TestMuster) -> None:
    pay_and_book(muster)
    muster.on(north_wind, later("3m", Offer(airline="North Wind", cents=1)))
    muster.on(blue_sky, later("2m", Offer(airline="Blue Sky", cents=2)))
    job = await muster.run(travel, TRIP)
    assert job.result == {"receipt": "paid-90000", "nights": ["Rome-1", "Oslo-1"], "airline": "Blue Sky"}
    assert muster.calls(charge) == [Payment(trip_id="7", cents=90_000)]
    assert muster.calls(refund) == []


async def test_where_no_airline_answers_all_is_undone_newest_first(muster: TestMuster) -> None:
    pay_and_book(muster)
    muster.on(north_wind, hangs)
    muster.on(blue_sky, hangs)
    job = await muster.run(travel, TRIP)
    assert (job.status, job.error) == ("failed", "no airline answered within 10 minutes")
    assert [booking.city for booking in muster.calls(cancel_night)] == ["Oslo", "Rome"]
    assert muster.calls(refund) == [Receipt(ref="paid-90000")]


async def test_a_night_that_cannot_be_booked_undoes_those_that_were(muster: TestMuster) -> None:
    pay_and_book(muster)
    muster.on(book_night, lambda night: book(night) if night.city == "Rome" else Permanent("full"))
    job = await muster.run(travel, TRIP)
    assert (job.status, job.error) == ("quarantined", "full")
    assert [booking.city for booking in muster.calls(cancel_night)] == ["Rome"]
    assert len(muster.calls(refund)) == 1


async def test_a_traveller_who_stays_at_home_gets_everything_back(muster: TestMuster) -> None:
    pay_and_book(muster)
    muster.on(north_wind, hangs)
    muster.on(blue_sky, hangs)
    job = await muster.start(travel, TRIP)
    await job.reaches("find_flight")
    await job.signal("stay_home", {"why": "rain"})
    await job.ends()
    assert job.error == "the traveller stays at home: rain"
    assert len(muster.calls(cancel_night)) == 2


async def test_no_crash_of_the_orchestrator_undoes_anything_twice(muster: TestMuster) -> None:
    pay_and_book(muster)
    muster.on(north_wind, Permanent("closed"))
    muster.on(blue_sky, hangs)

    async def story(muster: TestMuster) -> None:
        await muster.run(travel, TRIP)

    assert len([crashed async for crashed in muster.crashes(story)]) > 10
