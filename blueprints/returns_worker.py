"""Workers for the returns blueprint: `python blueprints/returns_worker.py`."""

from typing import Any

from muster_worker import Ctx, Worker

worker = Worker()
SCALE = {"A1": 1_200, "A2": 99_000}
"""Grams by order; the scale has its moods."""


@worker.task("returns.weigh")
async def weigh(_ctx: Ctx, order: dict[str, Any]) -> dict[str, Any]:
    return {"grams": SCALE.get(order["order"], 800)}


@worker.task("returns.refund")
async def refund(_ctx: Ctx, parcel: dict[str, Any]) -> dict[str, Any]:
    return {"refunded": parcel["order"], "grams": parcel["grams"]}


if __name__ == "__main__":
    worker.run()
