"""A worker for the expenses blueprint: `python blueprints/expenses_worker.py`."""

from expenses_contracts import Payment, Transfer, pay
from muster_worker import Ctx, Worker

worker = Worker()


@worker.task(pay)
async def transfer(ctx: Ctx, payment: Payment) -> Transfer:
    """Stands for a bank; the key keeps it from paying twice when the task is run again."""
    return Transfer(reference=f"{payment.cost_center}-{ctx.idempotency_key[-6:]}")


if __name__ == "__main__":
    worker.run()
