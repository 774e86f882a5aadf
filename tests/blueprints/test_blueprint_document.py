"""The JSON Schema for editors says what is read: no more, and no less than one document can show."""

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from muster.blueprint import Blueprint
from muster.blueprint.data.document import document_schema
from muster.blueprint.data.files import read_file
from muster.blueprint.data.outline import VERBS
from muster.blueprint.data.yaml_text import read_yaml

from tests.blueprints.test_blueprint_data_waiting import HURRY, SALE, STOCK
from tests.docs.blocks import ROOT, blocks

SCHEMA = document_schema()
EXAMPLES = [*(ROOT / "blueprints").glob("*.yaml")]
END = "finished"
SLEEP = {"sleep": "5m", "then": END}
RUN = {"run": "t", "ok": END}


def faults(document: object) -> list[str]:
    return [error.message for error in Draft7Validator(SCHEMA).iter_errors(document)]


def of(state: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"name": "made", "start": "start", "states": {"start": state}, **members}


def test_it_is_a_schema() -> None:
    Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_the_examples_fit(file: Path) -> None:
    assert faults(read_file(file).value) == []


def test_the_blueprints_of_the_guide_and_of_other_tests_fit() -> None:
    for text in blocks("docs/guides/blueprints-as-data.md", "yaml"):
        assert faults(read_yaml(text).value) == []
    for blueprint in (HURRY, SALE, STOCK):
        assert faults(getattr(blueprint, "to_dict")()) == []  # noqa: B009 - of those that are data


def test_every_decision_is_there_with_every_member() -> None:
    drawn = {one["title"]: one for one in SCHEMA["definitions"]["state"]["oneOf"]}
    assert drawn.keys() == VERBS.keys()
    for name, verb in VERBS.items():
        assert drawn[name]["properties"].keys() == {name, "set", *verb.members}


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"states": {}},
        of({"done": 1}, stats={}),
        of({"done": 1}, schedule="0 9 * * *"),
        of({"done": 1}, schedule={"every": "1h", "tz": "UTC"}),
        of({"done": 1, "fail": "x"}),
        of({"run": "t"}),
        of({**RUN, "tiemout": "5s"}),
        of({**RUN, "retries": -1}),
        of({**RUN, "priority": 99}),
        of({**RUN, "choose": "nicest"}),
        of({**RUN, "needs": {"lables": {}}}),
        of({**RUN, "undo": {"retries": 3}}),
        of({"map": "t", "over": {}, "ok": END}),
        of({"map": "t", "over": [], "ok": END, "join": "most"}),
        of({"race": [SLEEP]}),
        of({"race": [SLEEP, {"done": 1}]}),
        of({"race": [SLEEP, {**RUN, "undo": "u"}]}),
        of({"race": [SLEEP, {"ask": "?", "choices": {"a": END}, "cancelled": END}]}),
        of({"race": [SLEEP, {**RUN, "set": {}}]}),
        of({"choose": [{"choose": [{"done": 1}]}]}),
        of({"ask": "?", "choices": {}}),
        of({"ask": "?", "choices": {"a": END}, "form": "text"}),
        of({"ask": "?", "choices": {"a": END}, "escalate": {"to": ["ann"]}}),
    ],
)
def test_what_is_refused_for_its_form_does_not_fit(document: object) -> None:
    assert faults(document)


@pytest.mark.parametrize(
    "state",
    [
        {**RUN, "choose": "cheapest", "retries": "${input.n}", "needs": "${input.needs}", "undo": "u"},
        {"choose": [{"when": "${input.a}", "done": 1}, {**RUN, "choose": {"policy": "fastest"}}]},
        {"race": [SLEEP, {**RUN, "cancelled": END, "prefer": {"worker": "same"}}], "cancelled": END, "set": {"a": 1}},
        {"together": [{"run": "t", "key": "a", "max_cost": 0.5}], "ok": END, "at_once": 1, "join": "settled:1"},
    ],
)
def test_what_is_read_fits(state: dict[str, Any]) -> None:
    assert faults(of(state)) == []


@pytest.mark.parametrize(
    "schedule",
    [{"cron": "0 9 * * *", "tz": "Europe/Berlin", "input": {}, "late": "1h"}, {"every": "15m", "catch_up": 3}],
)
def test_a_schedule_that_is_read_fits(schedule: dict[str, Any]) -> None:
    document = of({"done": 1}, schedule=schedule)
    assert Blueprint.from_dict(document).schedule is not None
    assert faults(document) == []
