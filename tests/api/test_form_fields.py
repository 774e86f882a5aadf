"""Forms of pages: drawn from a model's JSON Schema, and read back into what the model takes."""

from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from muster.api.form_fields import fields_of, read, rendered
from muster.blueprint.asking import schema_of
from muster.engine.forms import faults_of
from pydantic import BaseModel, Field


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


class Part(BaseModel):
    sku: str


class Everything(BaseModel):
    name: str
    about: Annotated[str, Field(max_length=5000)] = "x"
    count: Annotated[int, Field(ge=1, le=9)]
    share: float = 0.5
    price: Decimal
    agreed: bool
    size: Size
    way: Literal["air", "sea", 3] = "air"
    day: date | None = None
    at: datetime | None = None
    clock: time | None = None
    parts: list[Part] = []
    part: Part | None = None


FIELDS = fields_of(schema_of(Everything))
SENT = {
    "f.name": ["Ann"], "f.about": ["one\r\ntwo"], "f.count": ["3"], "f.share": ["0.25"], "f.price": ["12.30"],
    "f.agreed": ["true"], "f.size": ['"l"'], "f.way": ["3"], "f.day": ["2030-01-31"], "f.at": ["2030-01-31T10:00"],
    "f.clock": ["10:30"], "f.parts": ['[{"sku": "a"}]'], "f.part": [""],
}  # fmt: skip


def test_each_kind_of_member_has_a_field_of_its_own() -> None:
    assert {field.name: (field.kind, field.input_type) for field in FIELDS} == {
        "name": ("text", "text"), "about": ("area", ""), "count": ("whole", "number"), "share": ("number", "number"),
        "price": ("decimal", "number"), "agreed": ("truth", ""), "size": ("choice", ""), "way": ("choice", ""),
        "day": ("text", "date"), "at": ("text", "datetime-local"), "clock": ("text", "time"), "parts": ("json", ""),
        "part": ("json", ""),
    }  # fmt: skip
    assert [field.name for field in FIELDS if field.required] == ["name", "count", "price", "agreed", "size"]


def test_what_a_browser_sends_is_what_the_model_takes() -> None:
    form = read(FIELDS, SENT)
    assert faults_of(schema_of(Everything), form) == []
    model = Everything.model_validate(form)
    assert (model.count, model.price, model.agreed, model.size, model.way) == (3, Decimal("12.30"), True, Size.LARGE, 3)
    assert (model.day, model.parts, model.part, model.about) == (date(2030, 1, 31), [Part(sku="a")], None, "one\ntwo")


def test_a_checkbox_that_is_not_sent_is_false_and_empty_fields_are_left_out() -> None:
    assert read(FIELDS, {"f.name": [" "]}) == {"agreed": False}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("count", "10", "greater than the maximum"),
        ("count", "x", "not of type 'integer'"),
        ("size", '"m"', "not one of"),
        ("parts", "{", "not of type 'array'"),
        ("name", "", "is missing"),
    ],
)
def test_what_does_not_fit_is_told_with_a_pointer_to_its_field(name: str, text: str, said: str) -> None:
    (fault,) = faults_of(schema_of(Everything), read(FIELDS, {**SENT, f"f.{name}": [text]}))
    assert fault["pointer"] == f"/{name}"
    assert said in fault["detail"]


def test_defaults_are_shown_and_what_was_sent_wins() -> None:
    page = rendered(FIELDS, None, {}, "g")
    assert 'value="0.5"' in page
    assert '<option value="&quot;air&quot;" selected>air</option>' in page
    assert 'min="1" max="9"' in page
    again = rendered(FIELDS, SENT, {"count": "too <few>"}, "g")
    assert 'value="3" id="g-2" name="f.count" aria-describedby="g-2-fault" aria-invalid="true"' in again
    assert "too &lt;few&gt;" in again


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"$ref": "#/$defs/a"}}},
        {"type": "object", "properties": {"a": True, "b": {}, "c": {"anyOf": []}}},
        {"type": "object"},
    ],
)
def test_a_schema_that_says_little_becomes_fields_of_json_or_none(schema: Any) -> None:
    assert {field.kind for field in fields_of(schema)} <= {"json"}


# Forms that were written as JSON Schema may say what no model says


@pytest.mark.parametrize(
    ("node", "kind"),
    [
        (True, "json"),
        ({"anyOf": [True, {"type": "string"}]}, "json"),
        ({"anyOf": [True]}, "json"),
        ({"type": ["string", "null"]}, "text"),
        ({"type": ["string", "integer"]}, "json"),
        ({"anyOf": [{"type": ["string", "null"]}, {"type": "integer"}]}, "json"),
        ({"$ref": "#/$defs/any"}, "json"),
        ({"$ref": "#/properties/other"}, "json"),
        ({"type": "integer", "enum": [1, 2]}, "choice"),
    ],
)
def test_any_json_schema_of_an_object_has_fields(node: Any, kind: str) -> None:
    schema: dict[str, Any] = {"properties": {"a": node}, "$defs": {"any": True}}
    (field,) = fields_of(schema)
    assert field.kind == kind
    assert 'name="f.a"' in rendered((field,), None, {}, "g")


def test_a_pattern_cannot_keep_a_server_busy() -> None:
    schema: Any = {"properties": {"a": {"pattern": "^(a+)+$"}}}
    (fault,) = faults_of(schema, {"a": "a" * 5_000 + "b"})  # by backtracking it would not end
    assert fault["pointer"] == "/a"


def test_a_pattern_that_only_python_knows_is_used_all_the_same() -> None:
    schema: Any = {"properties": {"a": {"pattern": "^(?=.*x)"}}}
    assert faults_of(schema, {"a": "axb"}) == []
    assert len(faults_of(schema, {"a": "ab"})) == 1


def test_a_form_that_leads_back_to_itself_is_a_fault_and_no_failure() -> None:
    schema: Any = {"allOf": [{"$ref": "#"}]}
    assert "cannot be applied" in faults_of(schema, {})[0]["detail"]
