"""A trip is paid, its nights are booked, the first airline to answer flies; where any of it fails, all is undone."""

from muster import Blueprint, Job, Next
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

travel = Blueprint(
    "travel", input=Trip, description="Pay, book every night, race two airlines; undo it all on failure."
)


@travel.start
async def pay(job: Job[Trip]) -> Next:
    payment = Payment(trip_id=job.input.id, cents=job.input.cents)
    return job.run(charge, payment, ok=book, undo=refund)


@travel.state
async def book(job: Job[Trip], receipt: Receipt) -> Next:
    job.data["receipt"] = receipt.ref
    nights = [Night(trip_id=job.input.id, city=city) for city in job.input.nights]
    return job.map(book_night, nights, ok=find_flight, undo=cancel_night)


@travel.state
async def find_flight(job: Job[Trip], nights: list[Booking]) -> Next:
    job.data["nights"] = [night.ref for night in nights]
    return job.race(
        job.run(north_wind, job.input, ok=fly),
        job.run(blue_sky, job.input, ok=fly),
        job.wait_for("stay_home", ok=stay_home),
        job.sleep("10m", then=no_flight),
    )


@travel.state
async def fly(job: Job[Trip], offer: Offer) -> Next:
    return job.done({**job.data, "airline": offer.airline})


@travel.state
async def stay_home(job: Job[Trip], told: dict[str, str]) -> Next:
    return job.fail(f"the traveller stays at home: {told.get('why', 'no reason given')}")


@travel.state
async def no_flight(job: Job[Trip]) -> Next:
    return job.fail("no airline answered within 10 minutes")
