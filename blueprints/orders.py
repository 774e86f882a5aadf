"""An order is charged, packed in parallel and shipped; when the card fails, a person decides."""

from muster import Blueprint, Decision, Job, Next, TaskError
from orders_contracts import Charge, Order, Parcel, Receipt, charge_card, pack

orders = Blueprint("orders", input=Order, description="Charge the card, pack every line, ship.")


@orders.start
async def check(job: Job[Order]) -> Next:
    if not job.input.lines:
        return job.fail("the order is empty")
    return job.run(charge_card, Charge(order_id=job.input.id, cents=job.input.cents), ok=packing, error=ask_a_person)


@orders.state
async def packing(job: Job[Order], receipt: Receipt) -> Next:
    job.data["receipt"] = receipt.ref
    return job.map(pack, job.input.lines, ok=shipped)


@orders.state
async def ask_a_person(job: Job[Order], error: TaskError) -> Next:
    return job.ask(
        f"Card failed: {error.message}. Ship on invoice?",
        approved=on_invoice,
        rejected=cancelled,
        within="2d",
        late=cancelled,
    )


@orders.state
async def on_invoice(job: Job[Order], answer: Decision) -> Next:
    return job.go(packing, Receipt(ref=f"invoice by {answer.by or 'somebody'}"))


@orders.state
async def cancelled(job: Job[Order], answer: Decision) -> Next:
    if answer.decision == "late":
        return job.fail("nobody decided in time")
    return job.fail(f"rejected by {answer.by or 'somebody'}: {answer.note or 'no reason given'}")


@orders.state
async def shipped(job: Job[Order], parcels: list[Parcel]) -> Next:
    return job.done({"receipt": job.data["receipt"], "tracking": [parcel.tracking for parcel in parcels]})
