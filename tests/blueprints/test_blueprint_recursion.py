"""Blueprints that start one another: what is refused when it is loaded, and what is recursion."""

from pathlib import Path
from typing import Any

import pytest
from muster.blueprint import Blueprint, BlueprintError, Job, Next, TaskError, finished
from muster.blueprint.registry import Registry
from muster.engine.versions import invalid


def loaded(*blueprints: Blueprint[Any, Any]) -> Registry:
    registry = Registry()
    for blueprint in blueprints:
        registry.add(blueprint)
    return registry


def of_data(name: str, **states: dict[str, Any]) -> Blueprint[Any, Any]:
    return Blueprint.from_dict({"name": name, "start": "begin", "states": states})


def refusal(*blueprints: Blueprint[Any, Any]) -> str:
    with pytest.raises(BlueprintError) as caught:
        loaded(*blueprints)
    return str(caught.value)


def test_a_blueprint_that_can_only_start_itself_is_refused_when_it_is_loaded() -> None:
    again = Blueprint("again")

    @again.start
    async def begin(job: Job) -> Next:
        job.data["n"] = 1
        return job.sleep("1s", then=once_more)

    @again.state
    async def once_more(job: Job) -> Next:
        child = job.child(again, {}, ok=finished)
        job.data["child"] = child.id
        return child

    said = refusal(again)
    assert "no job of it can end without starting another, without end: again -> again" in said
    assert "let some state end the job" in said


def test_a_circle_of_several_is_refused_with_the_last_of_them_and_told_whole() -> None:
    first = of_data("first", begin={"child": "second", "ok": "finished"})
    second = of_data("second", begin={"sleep": "1s", "then": "next"}, next={"child": "third", "ok": "finished"})
    third = Blueprint("third")

    @third.start
    async def begin(job: Job) -> Next:
        if job.input.get("left"):
            return job.child("first", {}, ok=finished)
        return job.child("second", {}, ok=finished)

    assert loaded(first, second).names() == ("first", "second")
    said = refusal(first, second, third)
    assert "third -> first -> second -> third" in said or "third -> second -> third" in said


def test_a_file_with_a_circle_is_refused_for_each_of_its_blueprints(tmp_path: Path) -> None:
    source = """
from muster import Blueprint, Job, Next, finished
one, two = Blueprint("one"), Blueprint("two")

@one.start
async def begin(job: Job) -> Next:
    return job.child(two, {}, ok=finished, spread=True)

@two.start
async def begin_two(job: Job) -> Next:
    return job.child(one, {}, ok=finished)
"""
    (tmp_path / "circle.py").write_text(source)
    with pytest.raises(BlueprintError) as caught:
        Registry().load(tmp_path)
    assert [(problem.blueprint, problem.message.rpartition(": ")[2]) for problem in caught.value.problems] == [
        ("one", "one -> two -> one"),
        ("two", "two -> one -> two"),
    ]


def test_a_blueprint_that_is_data_is_held_against_those_in_service() -> None:
    registry = loaded(of_data("below", begin={"child": "above", "ok": "finished"}))
    above = of_data("above", begin={"child": "below", "ok": "finished"})
    (problem,) = registry.endless([above], [above])
    assert invalid("above", [problem]).code == "blueprint_invalid"
    assert "above -> below -> above" in problem.message
    kept = of_data("above", begin={"choose": [{"when": "${input.n}", "done": 1}, {"child": "below", "ok": "finished"}]})
    assert registry.endless([kept], [kept]) == []


WAYS_OUT: dict[str, dict[str, dict[str, Any]]] = {
    "a condition": {"begin": {"choose": [{"when": "${input.n}", "done": 1}, {"child": "me", "ok": "finished"}]}},
    "a task that may fail": {
        "begin": {"run": "look", "ok": "next"}, "next": {"child": "me", "ok": "finished"},
    },
    "an error edge of the child": {"begin": {"child": "me", "ok": "finished", "error": "finished"}},
    "an error edge of a task": {
        "begin": {"run": "look", "ok": "next", "error": "failed"}, "next": {"child": "me", "ok": "finished"},
    },
    "a question": {
        "begin": {"ask": "Go on?", "choices": {"yes": "next", "no": "finished"}},
        "next": {"child": "me", "ok": "finished"},
    },
    "time that is up": {
        "begin": {"wait_for": "more", "ok": "next", "within": "1h"}, "next": {"child": "me", "ok": "finished"},
    },
    "another child that may fail": {
        "begin": {"child": "other", "ok": "next"}, "next": {"child": "me", "ok": "finished"},
    },
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS_OUT)
def test_recursion_with_a_way_out_is_loaded(way: str) -> None:
    assert loaded(of_data("me", **WAYS_OUT[way])).names() == ("me",)


NO_WAYS_OUT: dict[str, dict[str, dict[str, Any]]] = {
    "after a task whose failure leads there too": {
        "begin": {"run": "look", "ok": "next", "error": "next"}, "next": {"child": "me", "ok": "finished"},
    },
    "after any answer": {
        "begin": {"ask": "Go on?", "choices": {"yes": "next", "no": "next"}}, "next": {"child": "me", "ok": "finished"},
    },
    "after a wait without an end": {
        "begin": {"wait_for": "more", "ok": "next"}, "next": {"child": "me", "ok": "finished"},
    },
}  # fmt: skip


@pytest.mark.parametrize("way", NO_WAYS_OUT)
def test_recursion_without_a_way_out_is_refused(way: str) -> None:
    assert "without end: me -> me" in refusal(of_data("me", **NO_WAYS_OUT[way]))


def test_what_the_code_does_not_show_is_left_to_the_depth_limit() -> None:
    named = Blueprint("named")

    @named.start
    async def begin(job: Job) -> Next:
        return job.child(job.input["name"], {}, ok=finished)

    raising = Blueprint("raising")

    @raising.start
    async def begin_raising(job: Job) -> Next:
        if job.input.get("n", 0) > 3:
            raise ValueError("enough")
        return job.child("raising", {"n": job.input.get("n", 0) + 1}, ok=finished)

    helped = Blueprint("helped")

    def below(job: Job) -> Next:
        return job.child("helped", {}, ok=finished)

    @helped.start
    async def begin_helped(job: Job) -> Next:
        return below(job)

    mended = Blueprint("mended")

    @mended.start
    async def begin_mended(job: Job) -> Next:
        return job.child("mended", {}, ok=finished, error=stop)

    @mended.state
    async def stop(job: Job, error: TaskError) -> Next:
        return job.done(error.code)

    assert loaded(named, raising, helped, mended).names() == ("helped", "mended", "named", "raising")
