"""Blueprints as data: what a spec means, and everything that can be wrong with one."""

from pathlib import Path
from typing import Any

import pytest
from muster.blueprint import Blueprint, BlueprintError, InputInvalid, Registry
from muster.blueprint.data.expressions import EXPRESSION_CHARACTERS_MAX
from muster.blueprint.data.yaml_text import YamlRefused, read_yaml
from muster.testing import TestMuster
from muster_worker import Failed, Permanent, Retry

END: dict[str, Any] = {"done": "${argument}"}


def spec(start: dict[str, Any], **states: dict[str, Any]) -> dict[str, Any]:
    return {"name": "made", "start": "start", "states": {"start": start, **states}}


async def result_of(kit: TestMuster, start: dict[str, Any], data: object = None, **states: dict[str, Any]) -> Any:
    job = await kit.run(Blueprint.from_dict(spec(start, **states)), data)
    assert job.status == "finished", job.error
    return job.result


def problems(made: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(BlueprintError) as caught:
        Blueprint.from_dict(made)
    return {problem.pointer: problem.message for problem in caught.value.problems}


# What an expression is


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("plain", "plain"),
        ("${input.n}", 3),
        ("${input.list}", ["a", "b"]),
        ("n is ${input.n}, list is ${input.list}", 'n is 3, list is ["a","b"]'),
        ("${input.missing}", None),
        ("$${input.n}", "${input.n}"),
        ("5$ and ${input.n}", "5$ and 3"),
        ("${input.{a: n, b: list[0]}}", {"a": 3, "b": "a"}),
        ("${join('}', input.list)}", "a}b"),
        ({"deep": ["${input.n}", {"er": "${input.list[-1]}"}]}, {"deep": [3, {"er": "b"}]}),
        (7, 7),
        ("${job.blueprint}", "made"),
        ("${sum([input.n, `1`])}", 4),
    ],
)
async def test_what_is_in_braces_is_computed_and_all_else_stands_for_itself(
    muster: TestMuster, written: object, value: object
) -> None:
    assert await result_of(muster, {"done": written}, {"n": 3, "list": ["a", "b"]}) == value


async def test_what_is_set_is_seen_by_the_decision_and_by_later_states(muster: TestMuster) -> None:
    start = {"set": {"a": "${input.n}", "b": "${data.a}"}, "go": "next", "argument": {"of": "${data.a}"}}
    made = await result_of(muster, start, {"n": 1}, next={"done": ["${data}", "${argument.of}"]})
    assert made == [{"a": 1, "b": None}, 1]


async def test_data_begins_as_the_spec_says(muster: TestMuster) -> None:
    job = await muster.run(Blueprint.from_dict({**spec({"done": "${data.tries}"}), "data": {"tries": 5}}))
    assert job.result == 5


# Every decision


async def test_the_first_branch_whose_condition_holds_is_taken(muster: TestMuster) -> None:
    start = {
        "choose": [
            {"when": "${input.n > `10`}", "done": "many"},
            {"when": "${input.name}", "set": {"seen": True}, "go": "named"},
            {"done": "other"},
        ]
    }
    named = {"done": "${data.seen}"}
    made = Blueprint.from_dict(spec(start, named=named))
    results = [(await muster.run(made, data)).result for data in ({"n": 11}, {"n": 1, "name": "x"}, {"name": ""})]
    assert results == ["many", True, "other"]


async def test_a_task_may_lead_where_its_outcome_says(muster: TestMuster) -> None:
    start = {
        "run": "work", "params": {"n": "${input.n}"}, "ok": "end", "error": "bad", "on": {"skipped": "skip"},
        "timeout": "${input.time}", "retries": 0, "priority": 3,
    }  # fmt: skip
    states = {"end": END, "bad": {"done": "${argument.code}"}, "skip": {"done": "skipped"}}
    made = Blueprint.from_dict(spec(start, **states))
    muster.on("work", [{"r": 1}, Permanent("no"), Failed("no", code="X_ERROR")])
    data = {"n": 4, "time": "5s"}
    assert (await muster.run(made, data)).result == {"r": 1}
    assert (await muster.run(made, data)).result == "PERMANENT_ERROR"
    assert muster.calls("work")[0] == {"n": 4}


async def test_tasks_may_run_together_and_results_come_in_order(muster: TestMuster) -> None:
    muster.on("a", lambda params: {"a": params["x"]})
    muster.on("b", {"b": 2})
    start = {"together": [{"run": "a", "params": {"x": "${input.x}"}, "timeout": "9s"}, {"run": "b"}], "ok": "end"}
    assert await result_of(muster, start, {"x": 1}, end=END) == [{"a": 1}, {"b": 2}]


async def test_a_fan_has_a_join_and_a_task_a_policy(muster: TestMuster) -> None:
    muster.on("pack", lambda n: Permanent("broken") if n == 2 else [Retry("busy"), n][1])
    policy = {"retries": 1, "first": "1s", "on": {"BUSY": "never"}}
    start: dict[str, Any] = {
        "map": "pack", "over": "${input.n}", "join": "settled:1", "ok": "end", "retry": policy, "heartbeat": "20s",
        "schedule_to_start": "1h", "schedule_to_close": "2h",
    }  # fmt: skip
    made = await result_of(muster, start, {"n": [1, 2]}, end={"done": "${argument[].code || argument}"})
    assert made == ["PERMANENT_ERROR"]


@pytest.mark.parametrize(
    ("params", "made"),
    [
        ({}, [1, 2]),
        ({"params": {"line": "${item}", "of": "${input.id}"}}, [{"line": 1, "of": "x"}, {"line": 2, "of": "x"}]),
    ],
)
async def test_a_map_gives_each_task_its_item(muster: TestMuster, params: dict[str, Any], made: list[Any]) -> None:
    muster.on("pack", lambda params: params)
    start: dict[str, Any] = {"map": "pack", "over": "${input.lines}", "ok": "end", **params}
    assert await result_of(muster, start, {"lines": [1, 2], "id": "x"}, end=END) == made


async def test_a_job_sleeps_waits_and_asks(muster: TestMuster) -> None:
    states: dict[str, Any] = {
        "wait": {"wait_for": "paid", "ok": "ask", "within": "1d", "late": "end"},
        "ask": {
            "ask": "Ship ${argument.n}?",
            "choices": {"yes": "end", "no": "finished"},
            "within": "2d",
            "late": "end",
        },
        "end": END,
    }
    made = Blueprint.from_dict(spec({"sleep": "${input.pause}", "then": "wait"}, **states))
    job = await muster.start(made, {"pause": "2h"})
    await muster.advance("2h")
    await job.signal("paid", {"n": 3})
    assert job.waiting_for is not None
    assert (job.waiting_for.message, job.waiting_for.decisions) == ("Ship 3?", ("no", "yes"))
    await job.decide("yes", by="ann")
    assert isinstance(job.result, dict)
    assert (job.result["decision"], job.result["by"], job.result["note"]) == ("yes", "ann", "")


async def test_several_people_may_have_to_agree(muster: TestMuster) -> None:
    start = {
        "ask": "Ship?", "choices": {"yes": "end", "no": "failed"}, "approvers": "${input.people}", "quorum": 2,
    }  # fmt: skip
    job = await muster.start(Blueprint.from_dict(spec(start, end=END)), {"people": ["ann", "bob", "cleo"]})
    await job.decide("yes", by="ann")
    assert job.state == "start"
    await job.decide("yes", by="cleo")
    assert job.status == "finished"


async def test_a_job_may_start_another(muster: TestMuster) -> None:
    muster.add(Blueprint.from_dict({**spec({"done": "${input.n}"}), "name": "below"}))
    start = {"child": "below", "input": {"n": "${input.n}"}, "ok": "end", "tags": ["made"], "spread": True}
    assert await result_of(muster, start, {"n": 8}, end=END) == 8


# Expressions that fail


@pytest.mark.parametrize(
    ("state", "pointer", "value"),
    [
        ({"done": "${length(input.n)}"}, "/states/start/done", "3"),
        ({"map": "t", "over": "${input.n}", "ok": "finished"}, "/states/start/over", "3"),
        ({"sleep": "${input.n2}", "then": "finished"}, "/states/start/sleep", "null"),
        ({"fail": "${input.list}"}, "/states/start/fail", '["a"]'),
        ({"set": {"x": {"y": "${input.n > input.s && abs(input.s)}"}}, "done": 1}, "/states/start/set/x/y", None),
        ({"child": "x", "input": "${input.n}", "ok": "finished"}, "/states/start/input", "3"),
    ],
)
async def test_a_job_whose_expression_fails_is_put_aside_and_says_which_and_on_what(
    muster: TestMuster, state: dict[str, Any], pointer: str, value: str | None
) -> None:
    job = await muster.run(Blueprint.from_dict(spec(state)), {"n": 3, "list": ["a"], "s": "x"})
    assert job.status == "quarantined"
    assert job.error_details is not None
    assert (job.error_details["code"], job.error_details["pointer"]) == ("expression_failed", pointer)
    assert "input." in str(job.error_details["expression"])
    assert value is None or job.error_details["value"] == value


@pytest.mark.parametrize(
    "bomb",
    [
        "@" + "|[@,@][]" * 40,
        "@" + "|[@,@]" * 40 + "|to_string(@)",
        "join(to_string(input.list[*].[@,@,@,@]), input.list[*].to_string(@)) | [" + "@," * 200 + "@]",
    ],
)
async def test_an_expression_that_makes_much_of_little_is_stopped(muster: TestMuster, bomb: str) -> None:
    made = Blueprint.from_dict(spec({"done": "${input|" + bomb + "}" if bomb[0] == "@" else "${" + bomb + "}"}))
    job = await muster.run(made, {"list": [str(n) * 50 for n in range(500)]})
    assert job.status == "quarantined"
    assert "costs more" in (job.error or "")


# What is wrong is told before any job runs


@pytest.mark.parametrize(
    ("state", "pointer", "said"),
    [
        ({"done": "${input.}"}, "/states/start/done", "column 9"),
        ({"done": "x ${length(input"}, "/states/start/done", "not closed"),
        ({"done": "${lenght(input)}"}, "/states/start/done", "no function lenght()"),
        ({"done": "${length(input, data)}"}, "/states/start/done", "takes 1 arguments, not 2"),
        ({"done": "${inputs.n}"}, "/states/start/done", "no 'inputs'"),
        ({"done": "${item}"}, "/states/start/done", "no 'item'"),
        ({"done": "${" + "a" * (EXPRESSION_CHARACTERS_MAX + 1) + "}"}, "/states/start/done", "at most 1000"),
        ({"done": "${" + "(" * 400 + "input" + ")" * 400 + "}"}, "/states/start/done", None),
        ({"done": "${input" + "|@" * 200 + "}"}, "/states/start/done", "nested deeper"),
        ({"go": "elsewhere"}, "/states/start/go", "no state 'elsewhere'"),
        ({"run": "t"}, "/states/start", "run needs `ok`"),
        ({"run": "t", "ok": "finished", "tiemout": "5s"}, "/states/start/tiemout", "not known"),
        ({"run": "t", "ok": "finished", "timeout": "soon"}, "/states/start/timeout", "a duration"),
        ({"run": "t", "ok": "finished", "retries": True}, "/states/start/retries", "a whole number"),
        ({"run": "${input.t}", "ok": "finished"}, "/states/start/run", "without expressions"),
        ({"map": "t", "over": {"a": 1}, "ok": "finished"}, "/states/start/over", "a list"),
        ({"map": "t", "over": [1], "ok": "finished", "join": "most"}, "/states/start/join", "no join"),
        ({"run": "t", "ok": "finished", "retry": {"tries": 3}}, "/states/start/retry", "no 'tries'"),
        ({"run": "t", "ok": "finished", "retry": 3}, "/states/start/retry", "is an object"),
        ({"together": [], "ok": "finished"}, "/states/start/together", "a list of tasks"),
        ({"together": [{"params": 1}], "ok": "finished"}, "/states/start/together/0", "with `run`"),
        ({"ask": "?", "choices": {}}, "/states/start/choices", "words and states"),
        ({"ask": "?", "choices": {"a": "finished"}, "late": "failed"}, "/states/start/late", "needs within"),
        ({"ask": "?", "choices": {"a": "finished"}, "approvers": ["ann"], "quorum": 2}, "/states/start/quorum", "2"),
        ({"wait_for": "a b", "ok": "finished"}, "/states/start/wait_for", "a signal is called"),
        ({"choose": [{"when": "yes", "done": 1}, {"done": 2}]}, "/states/start/choose/0/when", "always the same"),
        ({"choose": [{"done": 1}, {"done": 2}]}, "/states/start/choose/0", "never reached"),
        ({"choose": [{"when": "${input}", "done": 1}]}, "/states/start/choose/0", "what if none is true"),
        ({"done": 1, "fail": "x"}, "/states/start", "2 decisions"),
        ({"set": {"a": 1}}, "/states/start", "no decision"),
        ({"sleep": -1, "then": "finished"}, "/states/start/sleep", "a duration"),
        ({"go": "start"}, "/states/start", "no way to an end"),
    ],
)
def test_a_mistake_is_told_with_its_pointer(state: dict[str, Any], pointer: str, said: str | None) -> None:
    if said is None:
        Blueprint.from_dict(spec(state))  # plain brackets are no depth of the expression
        return
    assert said in problems(spec(state))[pointer]


@pytest.mark.parametrize(
    ("part", "pointer", "said"),
    [
        ({"start": "nowhere"}, "/start", "is no state"),
        ({"start": None}, "/start", "no state is the start"),
        ({"states": {}}, "/states", "has states"),
        ({"name": "a b"}, "/name", "cannot be used"),
        ({"version": 0}, "/version", "from 1 on"),
        ({"stats": {}}, "/stats", "not known"),
        ({"endpoint": "workers"}, "/endpoint", "collides"),
        ({"input": {"type": "array"}}, "/input/type", "an object"),
        ({"input": {"properties": {"a": {"type": "txt"}}}}, "/input/properties/a/type", "not valid under"),
        ({"input": {"properties": {"a": {"$ref": "http://x/y"}}}}, "/input/properties/a/$ref", "inside the schema"),
        ({"input": {"properties": {"a": {"$ref": "#/$defs/b"}}}}, "/input/properties/a/$ref", "no '#/$defs/b'"),
        ({"input": {"properties": {"a": {"pattern": "(?=x)"}}}}, "/input/properties/a/pattern", "cannot be used"),
        ({"input": {"patternProperties": {}}}, "/input/patternProperties", "not supported"),
        ({"data": [1]}, "/data", "is an object"),
    ],
)
def test_a_mistake_around_the_states_is_told_too(part: dict[str, Any], pointer: str, said: str) -> None:
    assert said in problems({**spec({"done": 1}), **part})[pointer]


def test_all_problems_are_told_at_once() -> None:
    found = problems(spec({"go": "a"}, b={"done": "${x}"}, c={"sleep": "?", "then": "d"}))
    assert set(found) == {"/states/start/go", "/states/b/done", "/states/c/sleep", "/states/c/then"}


def test_states_that_are_never_reached_are_told() -> None:
    assert "never be reached" in problems(spec({"done": 1}, island={"done": 2}))["/states/island"]


# Input


def test_the_input_is_checked_against_its_schema_and_told_by_pointer() -> None:
    schema = {
        "required": ["lines"],
        "properties": {"lines": {"type": "array", "items": {"$ref": "#/$defs/line"}}},
        "$defs": {"line": {"type": "string", "pattern": "^(a+)+$"}},
    }
    made = Blueprint.from_dict({**spec({"done": 1}), "input": schema})
    made.validate_input({"lines": ["aa"]})
    with pytest.raises(InputInvalid) as caught:
        made.validate_input({"lines": ["aa", "a" * 50_000 + "b", 3]})  # by backtracking it would not end
    assert [error["pointer"] for error in caught.value.errors] == ["/lines/1", "/lines/2"]


# Files


def test_a_file_tells_its_problems_with_lines(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("name: bad\nstart: a\nstates:\n  a:\n    # a comment\n    go: b\n")
    with pytest.raises(BlueprintError) as caught:
        Registry().load(tmp_path / "bad.yaml")
    assert [(problem.line, problem.pointer) for problem in caught.value.problems] == [(6, "/states/a/go")]


def test_a_folder_may_hold_code_data_and_other_yaml(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("name: one\nstart: a\nstates: {a: {done: 1}}\n")
    (tmp_path / "compose.yml").write_text("services: {}\n")
    (tmp_path / "two.py").write_text(
        "from muster import Blueprint, Job, Next\ntwo = Blueprint('two')\n\n\n@two.start\n"
        "async def begin(job: Job) -> Next:\n    return job.done(2)\n"
    )
    registry = Registry()
    registry.load(tmp_path)
    assert registry.names() == ("one", "two")
    (tmp_path / "one.yaml").write_text("name: one\nstart: b\nstates: {b: {done: 1}}\n")
    registry.reload(tmp_path)
    assert len(registry.versions("one")) == 2


def test_two_versions_of_a_name_may_stand_beside_each_other(tmp_path: Path) -> None:
    for version in (1, 2):
        (tmp_path / f"v{version}.yaml").write_text(
            f"name: one\nversion: {version}\nstart: a\nstates: {{a: {{done: {version}}}}}\n"
        )
    registry = Registry()
    registry.load(tmp_path)
    newest = registry.get("one")
    assert newest is not None
    assert newest.version.startswith("2:")
    assert [version[:2] for version in registry.versions("one")] == ["1:", "2:"]


# YAML


def test_yaml_is_json_with_comments() -> None:
    text = "on: yes\nat: 2030-01-01\nn: [1, -2.5, 0x10, ~, true]\ns: '1'\nb: |\n  two\n  lines\na: &a {x: 1}\nc: *a\n"
    assert read_yaml(text).value == {
        "on": "yes", "at": "2030-01-01", "n": [1, -2.5, "0x10", None, True], "s": "1", "b": "two\nlines\n",
        "a": {"x": 1}, "c": {"x": 1},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\nb: *c\n", 2, "before its anchor"),
        ("a: &a\n  b: *a\n", 2, "inside of it"),
        ("a: 1\n---\nb: 2\n", 0, "2 documents"),
        ("a: 1\n<<: {}\n", 2, "merge keys"),
        ("? [a]\n: 1\n", 1, "a key is a text"),
        ("a: b: c\n", 1, "not YAML"),
        ("", 0, "0 documents"),
        ("- " * 70 + "x", 1, "deeper than 64"),
    ],
)
def test_yaml_that_is_not_read_says_where(text: str, line: int, said: str) -> None:
    with pytest.raises(YamlRefused) as caught:
        read_yaml(text)
    assert said in str(caught.value)
    assert caught.value.line == line
