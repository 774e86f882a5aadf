"""Workers for the orders blueprint: `python blueprints/orders_worker.py`."""

import asyncio

from muster_worker import Ctx, Permanent, Worker
from orders_contracts import Charge, Line, Parcel, Receipt, charge_card, pack

CARD_LIMIT_CENTS = 100_000

worker = Worker()


@worker.task(charge_card)
async def charge(ctx: Ctx, order: Charge) -> Receipt:
    """Stands for a payment service; the key keeps it from charging twice when the task is run again."""
    await asyncio.sleep(0.05)
    if order.cents > CARD_LIMIT_CENTS:
        raise Permanent("card declined")
    return Receipt(ref=f"card-{order.order_id}-{ctx.idempotency_key[-6:]}")


@worker.task(pack, slots=4)
async def do_pack(ctx: Ctx, line: Line) -> Parcel:
    for item in range(line.qty):
        await ctx.progress(item, line.qty, f"packing {line.sku}")
    return Parcel(tracking=f"{line.sku}-{ctx.task_id[-6:]}")


if __name__ == "__main__":
    worker.run()
