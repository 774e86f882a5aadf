"""What people write with the worker SDK must satisfy mypy and pyright in their strict modes."""

from dataclasses import dataclass
from typing import Any, assert_type

from muster_worker import Call, Client, Ctx, JobState, Outcome, TaskContract, Worker, task
from pydantic import BaseModel


class Charge(BaseModel):
    cents: int


class Receipt(BaseModel):
    payment_id: str


@dataclass
class Line:
    sku: str


charge_card = task("payments.charge", Charge, Receipt, timeout="30s", retries=3)
count = task("count", list[str], dict[str, int])
pack = task("pack", Line, Receipt)
untyped = task("untyped")
optional = task("optional", int | None, str)

assert_type(charge_card, TaskContract[Charge, Receipt])
assert_type(count, TaskContract[list[str], dict[str, int]])
assert_type(charge_card.call(Charge(cents=3)), Call[Charge, Receipt])
assert_type(charge_card.load_output({}), Receipt)

worker = Worker(slots=4)


@worker.task(charge_card)
async def charge(ctx: Ctx, c: Charge) -> Receipt:
    await ctx.progress(1, 3, "charging")
    return Receipt(payment_id=f"{ctx.idempotency_key}-{c.cents}")


@worker.task(count, slots=2)
def count_words(words: list[str]) -> dict[str, int]:
    return {word: words.count(word) for word in words}


@worker.task(pack)
async def pack_line(line: Line) -> Receipt | Outcome:
    return Outcome("sold_out", {"sku": line.sku})


@worker.task(untyped)
async def anything(ctx: Ctx, value: dict[str, Any]) -> dict[str, Any]:
    return {"task": ctx.task_id, **value}


@worker.task("by.name")
def by_name(ctx: Ctx, value: Line) -> str:
    ctx.progress_now(0.5)
    return value.sku if not ctx.cancelled else ""


async def call_directly() -> None:
    assert_type(await charge(Ctx.for_test(), Charge(cents=1)), Receipt)
    assert_type(count_words(["a"]), dict[str, int])
    assert_type(by_name(Ctx.for_test(), Line("a")), str)


async def as_a_client() -> None:
    async with Client("http://127.0.0.1:8080", "token") as client:
        assert_type(await client.start("orders", {"a": 1}), str)
        assert_type(await client.run("orders", Charge(cents=1), timeout_s=5), JobState)
        async for state in client.watch("id"):
            assert_type(state, JobState)
