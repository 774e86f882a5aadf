"""Handlers are held against their contracts when the module is imported, not when the first task comes."""

import re
from typing import Annotated, Any

import pytest
from muster_worker import Ctx, Outcome, Worker, task
from pydantic import BaseModel


class Charge(BaseModel):
    cents: int


class Line(BaseModel):
    sku: str


class BigCharge(Charge):
    pass


class Receipt(BaseModel):
    payment_id: str


class Parcel(BaseModel):
    number: str


charge_card = task("payments.charge", Charge, Receipt)


async def test_a_handler_of_other_types_is_refused_in_words() -> None:
    async def do_pack(ctx: Ctx, line: Line) -> Parcel:
        return Parcel(number=line.sku)

    words = "task 'payments.charge' takes Charge and returns Receipt, but do_pack takes Line and returns Parcel"
    with pytest.raises(TypeError, match=f"^{words}$"):
        Worker().add(charge_card, do_pack)


def _accepted(contract: Any, function: Any) -> bool:
    try:
        Worker().add(contract, function)
    except TypeError:
        return False
    return True


def test_a_handler_may_take_more_and_return_less() -> None:
    def wider(value: Charge | Line) -> Receipt:
        raise NotImplementedError

    def anything(value: object) -> Receipt:
        raise NotImplementedError

    def untyped(ctx, value):  # type: ignore[no-untyped-def]
        raise NotImplementedError

    def narrower(value: BigCharge) -> Receipt:
        raise NotImplementedError

    def with_outcome(value: Charge) -> Receipt | Outcome:
        raise NotImplementedError

    def only_outcome(value: Charge) -> Outcome:
        raise NotImplementedError

    def maybe_nothing(value: Charge) -> Receipt | None:
        raise NotImplementedError

    def annotated(value: Annotated[Charge, "note"]) -> Receipt:
        raise NotImplementedError

    assert all(_accepted(charge_card, f) for f in (wider, anything, untyped, with_outcome, only_outcome, annotated))
    assert not _accepted(charge_card, narrower)
    assert not _accepted(charge_card, maybe_nothing)


def test_generic_types_are_compared_with_their_arguments() -> None:
    def lists(value: list[int]) -> dict[str, Any]:
        raise NotImplementedError

    def bare(value: list) -> dict:  # type: ignore[type-arg]
        raise NotImplementedError

    def texts(value: list[str]) -> dict[str, int]:
        raise NotImplementedError

    contract = task("sum", list[int], dict[str, int])
    assert _accepted(contract, lists)
    assert _accepted(contract, bare)
    assert not _accepted(contract, texts)


def test_a_named_task_takes_its_types_from_the_annotations() -> None:
    worker = Worker()

    @worker.task("pack")
    def pack(line: Line) -> Parcel | Outcome:
        return Parcel(number=line.sku)

    contract = worker.handlers["pack"].contract
    assert (contract.input, contract.output) == (Line, Parcel)
    assert contract.load_input({"sku": "s"}) == Line(sku="s")


def test_a_decorated_function_can_still_be_called() -> None:
    @Worker().task(charge_card)
    def charge(ctx: Ctx, c: Charge) -> Receipt:
        ctx.progress_now(1, 2)
        return Receipt(payment_id=f"{ctx.task_id}-{c.cents}")

    assert charge(Ctx.for_test(), Charge(cents=3)) == Receipt(payment_id="test.1-3")


def test_methods_and_callable_objects_are_handlers_too() -> None:
    class Till:
        async def charge(self, ctx: Ctx, c: Charge) -> Receipt:
            raise NotImplementedError

        async def __call__(self, c: Charge) -> Receipt:
            raise NotImplementedError

    worker = Worker()
    worker.add(charge_card, Till().charge)
    worker.add(task("till", Charge, Receipt), Till())
    method, called = worker.handlers["payments.charge"], worker.handlers["till"]
    assert (method.takes_ctx, method.is_async) == (True, True)
    assert (called.takes_ctx, called.is_async) == (False, True)


@pytest.mark.parametrize("function", [lambda: 1, lambda a, b, c: 1, lambda *, a: 1])
def test_a_function_that_cannot_be_called_as_a_handler_is_refused(function: Any) -> None:
    with pytest.raises(TypeError, match=re.escape("must take (ctx, value) or (value)")):
        Worker().add("x", function)


def test_an_annotation_that_names_nothing_is_an_error_for_a_named_task() -> None:
    def lost(value: "Nowhere") -> int:  # type: ignore[name-defined]  # noqa: F821
        return 1

    with pytest.raises(TypeError, match="cannot read the annotations of lost: name 'Nowhere'"):
        Worker().add("x", lost)


def test_a_task_has_one_handler() -> None:
    worker = Worker()
    worker.add("x", lambda value: value)
    with pytest.raises(ValueError, match="'x' has a handler already"):
        worker.add("x", lambda value: value)


def test_a_worker_can_include_the_tasks_of_another() -> None:
    one, other = Worker(), Worker()
    other.add("x", lambda value: value)
    one.include(other)
    assert list(one.handlers) == ["x"]
