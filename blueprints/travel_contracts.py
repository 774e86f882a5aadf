"""What the travel blueprint and its workers agree on."""

from muster_worker.contracts import task
from pydantic import BaseModel


class Trip(BaseModel):
    id: str
    cents: int
    nights: list[str] = []


class Payment(BaseModel):
    trip_id: str
    cents: int


class Receipt(BaseModel):
    ref: str


class Night(BaseModel):
    trip_id: str
    city: str


class Booking(BaseModel):
    city: str
    ref: str


class Offer(BaseModel):
    airline: str
    cents: int


charge = task("travel.charge", Payment, Receipt, timeout="30s", retries=3)
refund = task("travel.refund", Receipt, timeout="30s", retries=10)
book_night = task("travel.book_night", Night, Booking, timeout="30s", retries=0)
cancel_night = task("travel.cancel_night", Booking, timeout="30s", retries=10)
north_wind = task("travel.quote.north_wind", Trip, Offer, timeout="1h", retries=0)
blue_sky = task("travel.quote.blue_sky", Trip, Offer, timeout="1h", retries=0)
