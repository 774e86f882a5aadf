"""Read by the type checkers alone: lines marked WRONG must be refused, and no other line."""

from typing import Any

from muster import Blueprint, Decision, Job, Join, Next, TaskError, failed, finished, task
from pydantic import BaseModel


class Line(BaseModel):
    sku: str


class Order(BaseModel):
    id: str
    lines: list[Line]


class Kept(BaseModel):
    note: str = ""


class Charge(BaseModel):
    order_id: str


class Signature(BaseModel):
    ticket: str


class Receipt(BaseModel):
    ref: str


class Parcel(BaseModel):
    tracking: str


charge = task("payments.charge", Charge, Receipt)
pack = task("warehouse.pack", Line, Parcel)
refund = task("payments.refund", Receipt)
unpack = task("warehouse.unpack", Parcel)

orders = Blueprint("orders", input=Order, data=Kept)
loose = Blueprint("loose")


@orders.start
async def check(job: Job[Order, Kept]) -> Next:
    job.data.note = job.input.id
    return job.run(charge, Charge(order_id=job.input.id), ok=packing, error=ask_a_person)


@orders.state
async def packing(job: Job[Order, Kept], receipt: Receipt) -> Next:
    return job.map(pack, job.input.lines, ok=shipped, error=ask_a_person)


@orders.state
async def ask_a_person(job: Job[Order, Kept], error: TaskError) -> Next:
    return job.ask(f"{error.message}?", approved=on_invoice, rejected=failed, within="2d", late=no_argument)


@orders.state
async def on_invoice(job: Job[Order, Kept], answer: Decision) -> Next:
    if answer.by:
        return job.sleep("2h", then=packing, argument=Receipt(ref=answer.by))
    return job.go(packing, Receipt(ref=answer.decision))


@orders.state
async def shipped(job: Job[Order, Kept], parcels: list[Parcel]) -> Next:
    return job.together(charge.call(Charge(order_id="1")), pack.call(job.input.lines[0]), ok=both)


@orders.state
async def both(job: Job[Order, Kept], results: tuple[Receipt, Parcel]) -> Next:
    return job.done(results[0].ref)


@orders.state(to=["both", finished])
def no_argument(job: Job[Order, Kept]) -> Next:
    if job.input.id:
        return job.go(finished)
    return job.run("by.name", {"id": job.input.id}, ok=packing, on={"duplicate": finished})


@loose.start
async def begin(job: Job) -> Next:
    job.data["n"] = job.input["n"]
    return job.run("by.name", {"n": 1}, ok=anything)


@loose.state
async def with_a_child(job: Job) -> Next:
    child = job.child(orders, {"id": "1"}, ok=anything, error=no_child, tags=["night"])
    job.data["child"] = child.id
    return child


@loose.state
async def no_child(job: Job, error: TaskError) -> Next:
    return job.child("orders", {"id": error.code}, ok=finished, cancelled=failed, spread=True)


@loose.state
async def races_children(job: Job) -> Next:
    near, far = job.child(orders, {"id": "1"}, ok=anything), job.child("orders", {"id": "2"}, ok=anything, spread=True)
    return job.race(near, far, job.sleep("1h", then=finished))


@loose.state
async def child_fails_to_a_number(job: Job) -> Next:
    return job.child("orders", {}, ok=finished, error=takes_number)  # WRONG


@loose.state
async def takes_number(job: Job, number: int) -> Next:
    return job.done(number)


@loose.state
async def anything(job: Job, result: dict[str, Any]) -> Next:
    return job.done(result["n"])


@orders.state
async def joins(job: Job[Order, Kept]) -> Next:
    lines = job.input.lines
    if len(lines) == 1:
        return job.map(pack, lines, ok=takes_parcel, join=Join.any())
    if len(lines) == 2:
        return job.map(pack, lines, ok=shipped, join=Join.first(2))
    if len(lines) == 3:
        return job.map(pack, lines, ok=some, join=Join.tolerate(1))
    if len(lines) == 4:
        return job.together(pack.call(lines[0]), pack.call(lines[1]), ok=takes_parcel, join=Join.any())
    receipt = charge.call(Charge(order_id="1"))
    return job.together(receipt, pack.call(lines[0]), ok=settled, join=Join.settled())


@orders.state
async def undoing(job: Job[Order, Kept]) -> Next:
    if job.input.id:
        return job.map(pack, job.input.lines, ok=shipped, undo=unpack)
    return job.run(charge, Charge(order_id="1"), ok=packing, undo=refund)


@orders.state
async def undone_by_another(job: Job[Order, Kept]) -> Next:
    return job.run(charge, Charge(order_id="1"), ok=packing, undo=unpack)  # WRONG


@orders.state
async def racing(job: Job[Order, Kept]) -> Next:
    return job.race(
        job.run(charge, Charge(order_id="1"), ok=packing),
        job.wait_for("stop", ok=finished),
        job.sleep("5m", then=no_argument),
        cancelled=no_argument,
    )


@orders.state
async def racing_to_a_wrong_state(job: Job[Order, Kept]) -> Next:
    return job.race(
        job.run(charge, Charge(order_id="1"), ok=takes_parcel),  # WRONG
        job.sleep("5m", then=no_argument),
    )


@orders.state
async def some(job: Job[Order, Kept], parcels: list[Parcel | TaskError]) -> Next:
    return job.done([parcel.tracking for parcel in parcels if isinstance(parcel, Parcel)])


@orders.state
async def settled(job: Job[Order, Kept], ends: tuple[Receipt | TaskError, Parcel | TaskError]) -> Next:
    return job.done(ends[0].ref)  # WRONG


@orders.state
async def settled_to_a_list_of_results(job: Job[Order, Kept]) -> Next:
    return job.map(pack, job.input.lines, ok=shipped, join=Join.settled())  # WRONG


@orders.state
async def any_to_a_list(job: Job[Order, Kept]) -> Next:
    return job.map(pack, job.input.lines, ok=shipped, join=Join.any())  # WRONG


@orders.state
async def wrong_input(job: Job[Order, Kept]) -> Next:
    return job.run(charge, Line(sku="a"), ok=packing)  # WRONG


@orders.state
async def wrong_next(job: Job[Order, Kept]) -> Next:
    return job.run(charge, Charge(order_id="1"), ok=takes_parcel)  # WRONG


@orders.state
async def no_return(job: Job[Order, Kept]) -> Next:  # WRONG
    job.run(charge, Charge(order_id="1"), ok=packing)


@orders.state
async def misspelt(job: Job[Order, Kept], receipt: Receipt) -> Next:
    return job.done(receipt.reff)  # WRONG


@orders.state
async def list_to_one(job: Job[Order, Kept]) -> Next:
    return job.map(pack, job.input.lines, ok=takes_parcel)  # WRONG


@orders.state
async def go_without_argument(job: Job[Order, Kept]) -> Next:
    return job.go(takes_parcel)  # WRONG


@orders.state
async def go_with_other_argument(job: Job[Order, Kept]) -> Next:
    return job.go(takes_parcel, Receipt(ref="1"))  # WRONG


@orders.state
async def error_to_a_result_state(job: Job[Order, Kept]) -> Next:
    return job.run(pack, Line(sku="a"), ok=takes_parcel, error=takes_parcel)  # WRONG


@orders.state
async def answer_to_a_result_state(job: Job[Order, Kept]) -> Next:
    return job.ask("Ship?", approved=takes_parcel)  # WRONG


@orders.state
async def asks_with_a_form(job: Job[Order, Kept]) -> Next:
    if job.input.id:
        return job.ask("Ship?", form=Signature, approved=signed, rejected=on_invoice, approvers=["ada"], quorum=1)
    return job.ask("Ship?", form={"approved": Signature}, approved=signed, rejected=on_invoice, quorum={"approved": 1})


@orders.state
async def signed(job: Job[Order, Kept], answer: Decision[Signature]) -> Next:
    return job.done({"ticket": answer.form.ticket, "by": [given.by for given in answer.answers]})


@orders.state
async def misreads_the_form(job: Job[Order, Kept], answer: Decision[Signature]) -> Next:
    return job.done(answer.form.tickets)  # WRONG


@orders.state
async def asks_with_another_form(job: Job[Order, Kept]) -> Next:
    return job.ask("Ship?", form=Charge, approved=signed)  # WRONG


@orders.state
async def asks_without_the_form(job: Job[Order, Kept]) -> Next:
    return job.ask("Ship?", approved=signed)  # WRONG


@orders.state
async def late_has_no_form(job: Job[Order, Kept]) -> Next:
    return job.ask("Ship?", form=Signature, approved=signed, within="1h", late=signed)  # WRONG


@orders.state
async def tuple_in_other_order(job: Job[Order, Kept]) -> Next:
    return job.together(pack.call(Line(sku="a")), charge.call(Charge(order_id="1")), ok=both)  # WRONG


@orders.state  # WRONG
async def of_another_blueprint(job: Job[Line]) -> Next:
    return job.done(job.input.sku)


@orders.state
async def takes_parcel(job: Job[Order, Kept], parcel: Parcel) -> Next:
    return job.done(parcel.tracking)
