from dataclasses import FrozenInstanceError, dataclass
from typing import Any

import pytest
from muster_worker import TaskContract, task
from pydantic import BaseModel, ValidationError


class Charge(BaseModel):
    order_id: str
    cents: int


class Receipt(BaseModel):
    payment_id: str


@dataclass
class Point:
    x: int
    y: int


charge_card = task("payments.charge", Charge, Receipt, timeout="30s", retries=5)


def test_a_contract_carries_name_types_timeout_and_retries() -> None:
    assert (charge_card.name, charge_card.input, charge_card.output) == ("payments.charge", Charge, Receipt)
    assert (charge_card.timeout_ms, charge_card.retries) == (30_000, 5)


def test_what_is_not_said_is_left_to_the_server() -> None:
    contract = task("x")
    assert (contract.timeout_ms, contract.retries, contract.input, contract.output) == (None, None, Any, Any)


def test_a_contract_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        charge_card.name = "other"  # type: ignore[misc]


def test_equal_contracts_are_equal_and_can_be_keys() -> None:
    again = task("payments.charge", Charge, Receipt, timeout="30s", retries=5)
    assert {charge_card: 1}[again] == 1


def test_values_survive_the_way_there_and_back() -> None:
    charge = Charge(order_id="o", cents=3)
    assert charge_card.dump_input(charge) == {"order_id": "o", "cents": 3}
    assert charge_card.load_input({"order_id": "o", "cents": 3}) == charge
    assert charge_card.load_output(charge_card.dump_output(Receipt(payment_id="p"))) == Receipt(payment_id="p")


def test_dicts_lists_and_dataclasses_are_types_too() -> None:
    contract = task("geo", list[Point], dict[str, int])
    assert contract.dump_input([Point(1, 2)]) == [{"x": 1, "y": 2}]
    assert contract.load_input([{"x": 1, "y": 2}]) == [Point(1, 2)]
    assert task("maybe", int | None, None).load_input(None) is None


def test_a_value_of_another_type_is_refused_on_the_way_out_as_well() -> None:
    with pytest.raises(ValidationError):
        charge_card.dump_input(Receipt(payment_id="p"))  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        charge_card.load_input({"order_id": "o"})


def test_without_types_json_passes_as_it_is() -> None:
    contract = task("any")
    assert contract.load_input([1, {"a": None}]) == [1, {"a": None}]
    assert contract.dump_output({"at": Point(1, 2)}) == {"at": {"x": 1, "y": 2}}


def test_a_call_pairs_a_contract_with_one_input() -> None:
    call = charge_card.call(Charge(order_id="o", cents=3))
    assert call.contract is charge_card
    assert call.dump_input() == {"order_id": "o", "cents": 3}


def test_a_contract_can_be_made_with_its_types_spelled_out() -> None:
    assert TaskContract[int, int]("x", int, int) == task("x", int, int)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": ""}, "1 to 256 characters"),
        ({"name": "x" * 257}, "1 to 256 characters"),
        ({"name": "x", "retries": -1}, "retries must be 0 or more"),
        ({"name": "x", "timeout": 0}, "timeout must be more than 0"),
        ({"name": "x", "timeout": "soon"}, "not a duration"),
    ],
)
def test_a_contract_that_cannot_be_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task(**arguments)
