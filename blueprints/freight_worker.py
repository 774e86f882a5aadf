"""Workers for freight.yaml: `muster worker run freight_worker.py`."""

from typing import Any

from muster_worker import Ctx, Permanent, Worker

TOO_HEAVY = "anvils"

worker = Worker(labels={"region": "eu"})


@worker.task("docks.reserve", slots=5)
async def reserve(params: dict[str, Any]) -> dict[str, Any]:
    return {"dock": f"{params['stop']}-1", "load": params["load"]}


@worker.task("docks.release")
async def release(dock: dict[str, Any]) -> None:
    """Stands for a depot, which takes the same release twice."""


@worker.task("carriers.north")
async def ask_north(params: dict[str, Any]) -> dict[str, Any]:
    if params["load"] == TOO_HEAVY:
        raise Permanent("too heavy")
    return {"carrier": "North", "cents": 90_000}


@worker.task("carriers.south")
async def ask_south(params: dict[str, Any]) -> dict[str, Any]:
    return {"carrier": "South", "cents": 70_000 + len(params["load"])}


@worker.task("freight.book")
async def book(ctx: Ctx, offer: dict[str, Any]) -> dict[str, Any]:
    return {"booking": ctx.idempotency_key[-6:], **offer}


@worker.task("freight.unbook")
async def unbook(booking: dict[str, Any]) -> None:
    """Stands for a carrier, which takes the same cancellation twice."""


@worker.task("freight.bill")
async def bill(params: dict[str, Any]) -> dict[str, Any]:
    return {"billed": params["cents"]}


if __name__ == "__main__":
    worker.run()
