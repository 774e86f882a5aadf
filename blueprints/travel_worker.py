"""Workers for the travel blueprint: `python blueprints/travel_worker.py`."""

import asyncio

from muster_worker import Ctx, Permanent, Worker
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

FULL = "Atlantis"

worker = Worker()


@worker.task(charge)
async def do_charge(ctx: Ctx, payment: Payment) -> Receipt:
    return Receipt(ref=f"paid-{payment.trip_id}-{ctx.idempotency_key[-6:]}")


@worker.task(refund)
async def do_refund(receipt: Receipt) -> None:
    """Stands for a payment service, which takes the same refund twice without paying twice."""


@worker.task(book_night, slots=4)
async def do_book(night: Night) -> Booking:
    if night.city == FULL:
        raise Permanent(f"there is no room in {night.city}")
    return Booking(city=night.city, ref=f"{night.city}-{night.trip_id}")


@worker.task(cancel_night)
async def do_cancel(booking: Booking) -> None:
    """Stands for a hotel."""


@worker.task(north_wind)
async def ask_north_wind(trip: Trip) -> Offer:
    await asyncio.sleep(0.02)
    return Offer(airline="North Wind", cents=trip.cents // 2)


@worker.task(blue_sky)
async def ask_blue_sky(trip: Trip) -> Offer:
    await asyncio.sleep(5)
    return Offer(airline="Blue Sky", cents=trip.cents // 3)


if __name__ == "__main__":
    worker.run()
