"""Each line marked `error` must be reported by mypy and by pyright, and no other line."""

from muster_worker import Ctx, Worker, task
from pydantic import BaseModel


class Charge(BaseModel):
    cents: int


class Receipt(BaseModel):
    payment_id: str


class Line(BaseModel):
    sku: str


class Parcel(BaseModel):
    number: str


charge_card = task("payments.charge", Charge, Receipt)
worker = Worker()


@worker.task(charge_card)  # error: takes another type
async def takes_line(ctx: Ctx, line: Line) -> Receipt:
    return Receipt(payment_id=line.sku)


@worker.task(charge_card)  # error: returns another type
async def returns_parcel(ctx: Ctx, c: Charge) -> Parcel:
    return Parcel(number=str(c.cents))


@worker.task(charge_card)  # error: the same for plain functions
def plain(c: Line) -> Receipt:
    return Receipt(payment_id=c.sku)


@worker.task(charge_card)  # error: may return nothing
def sometimes(ctx: Ctx, c: Charge) -> Receipt | None:
    return Receipt(payment_id="p") if c.cents else None


@worker.task(charge_card)  # error: the arguments are the wrong way round
async def swapped(c: Charge, ctx: Ctx) -> Receipt:
    return Receipt(payment_id=f"{c.cents}")


charge_card.call(Line(sku="s"))  # error: another input
charge_card.dump_output(Parcel(number="n"))  # error: another output
task("x", Charge, Receipt, timeout=[5])  # error: not a duration
