"""A wrong value at any place of a document is refused with pointers, or its states decide: nothing else is raised."""

import copy
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import pytest
from jsonschema import Draft7Validator
from muster.blueprint import Blueprint, BlueprintError
from muster.blueprint.data.document import document_schema
from muster.blueprint.facts import JobFacts

SCHEMA = Draft7Validator(document_schema())
FACTS = JobFacts("018f0000-0000-7000-8000-000000000001", "t", "whole", input={"a": 3}, results={})
WHOLE: Final[dict[str, Any]] = {
    "name": "whole",
    "start": "work",
    "input": {"properties": {"a": {}}},
    "output": {"type": "object", "properties": {"a": {"type": "string"}}},
    "deadline": "2h",
    "retention": "3d",
    "files": "${input.a}",
    "schedule": {"every": "15m", "input": {"a": 1}, "overlap": "queue", "late": "1h"},
    "states": {
        "work": {
            "run": "t", "needs": {"labels": {"a": "b"}, "memory": "8GB", "cpu": 2, "models": ["x"]}, "key": "k",
            "prefer": {"labels": {"z": "a"}, "wait": "10s"}, "choose": {"policy": "fastest", "overflow_after": "3s"},
            "retry": {"retries": 2, "on": {"BUSY": "at_once"}}, "undo": {"run": "u", "retries": 2}, "ok": "ask",
        },
        "ask": {
            "ask": "?", "choices": {"x": "wait", "y": "finished"}, "approvers": ["a", "b"], "quorum": {"x": 2},
            "escalate": [{"after": "1d", "to": ["z"]}], "within": "3d", "late": "finished",
            "form": {"properties": {"a": {"type": "string", "pattern": "^a"}}},
            "forms": {"x": {"$defs": {"q": {"type": "integer"}}, "properties": {"n": {"$ref": "#/$defs/q"}}}},
        },
        "wait": {"wait_for": "s", "uploads": ["f"], "within": "1h", "ok": "either"},
        "either": {
            "choose": [
                {"when": "${input.a}", "together": [{"run": "t", "key": "a"}], "join": "settled:1", "ok": "finished"},
                {"child": "k", "tags": ["a"], "input": {"a": "${input}"}, "ok": "race"},
            ]
        },
        "race": {"race": [{"sleep": "1h", "then": "finished"}, {"wait_for": "s", "ok": "finished"}]},
    },
}  # fmt: skip
WRONG: Final[list[Any]] = [None, True, -1, "x", "${input.a}", [[1]], {"run": "t"}]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every member and item inside, as what holds it and its key."""
    if isinstance(value, dict | list):
        for key, inside in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield value, key
            yield from places(inside)


def read(document: Any) -> Blueprint[Any, Any] | None:
    """None where its problems are told."""
    try:
        return Blueprint.from_dict(document)
    except BlueprintError:
        return None


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
async def test_a_wrong_value_anywhere_is_told_or_its_states_decide(wrong: Any) -> None:
    for number, _ in enumerate(places(WHOLE)):
        document = copy.deepcopy(WHOLE)
        holder, key = next(islice(places(document), number, None))
        holder[key] = wrong
        blueprint = read(document)
        if blueprint is None:
            continue
        assert list(SCHEMA.iter_errors(document)) == [], (number, key)
        for state in blueprint.states:
            await blueprint.enter(state, FACTS, {"form": {"a": 1}})
