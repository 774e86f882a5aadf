"""What the orders blueprint and its workers agree on."""

from muster_worker.contracts import task
from pydantic import BaseModel


class Line(BaseModel):
    sku: str
    qty: int = 1


class Order(BaseModel):
    id: str
    cents: int
    lines: list[Line] = []


class Charge(BaseModel):
    order_id: str
    cents: int


class Receipt(BaseModel):
    ref: str


class Parcel(BaseModel):
    tracking: str


charge_card = task("payments.charge", Charge, Receipt, timeout="30s", retries=3)
pack = task("warehouse.pack", Line, Parcel)
