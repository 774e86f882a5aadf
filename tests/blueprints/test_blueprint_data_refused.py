"""What is wrong with a race, an undo, a form, a result or what is said of a task is told at once, with its place."""

from typing import Any

import pytest
from muster.blueprint import Blueprint, BlueprintError
from muster.core.limits import RACE_CHILDREN_MAX, RACE_MAX

END = "finished"
SLEEP = {"sleep": "5m", "then": END}
STOP = {"wait_for": "stop", "ok": END}
RUN = {"run": "t", "ok": END}
MAP = {"map": "t", "over": "${input.list}", "ok": END}
ASK = {"ask": "?", "choices": {"yes": END, "no": END}}
CHILD = {"child": "below", "ok": END}


def told(start: dict[str, Any], **members: Any) -> dict[str, tuple[str, str]]:
    """Message and hint by pointer."""
    with pytest.raises(BlueprintError) as caught:
        Blueprint.from_dict({"name": "made", "start": "start", "states": {"start": start}, **members})
    return {problem.pointer: (problem.message, problem.hint) for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("racers", "place", "said"),
    [
        ([], "", f"0 branches; it takes 2 to {RACE_MAX}"),
        ([SLEEP], "", "1 branches"),
        ([STOP] * (RACE_MAX + 1), "", f"{RACE_MAX + 1} branches"),
        ({"a": RUN}, "", "a list of decisions"),
        ([SLEEP, "stop"], "/1", "not 'stop'"),
        ([SLEEP, {}], "/1", "not none"),
        ([SLEEP, MAP], "/1", "not map"),
        ([SLEEP, {"done": 1}], "/1", "not done"),
        ([SLEEP, {**RUN, **STOP}], "/1", "not run and wait_for"),
        ([SLEEP, {"wait_fro": "stop", "ok": END}], "/1/wait_fro", "not known"),
        ([SLEEP, {"wait_for": "stop"}], "/1", "wait_for needs `ok`"),
        ([SLEEP, {**STOP, "ok": "nowhere"}], "/1/ok", "no state 'nowhere'"),
        ([SLEEP, {**RUN, "set": {"a": 1}}], "/1/set", "not known"),
        ([SLEEP, {**RUN, "when": "${input}"}], "/1/when", "not known"),
        ([SLEEP, {**RUN, "undo": "t"}], "/1/undo", "has no undo in a race"),
        ([SLEEP, {**CHILD, "undo": "t"}], "/1/undo", "has no undo in a race"),
        ([SLEEP, {**STOP, "within": "1h"}], "/1/within", "has no within in a race"),
        ([SLEEP, {**STOP, "within": "1h", "late": END}], "/1/late", "has no late in a race"),
        ([SLEEP, {**ASK, "within": "1h"}], "/1/within", "has no within in a race"),
        ([SLEEP, {**ASK, "cancelled": END}], "/1/cancelled", "has no cancelled in a race"),
        ([SLEEP, {**STOP, "uploads": ["f"], "within": "1h"}], "/1/uploads", "has no uploads in a race"),
        ([SLEEP, SLEEP], "/1", "at most 1 of sleep"),
        ([ASK, SLEEP, ASK], "/2", "at most 1 of ask"),
        ([CHILD] * (RACE_CHILDREN_MAX + 1), "/10", "at most 10 of child"),
        ([STOP, SLEEP, STOP], "/2/wait_for", "already"),
        ([SLEEP, {"run": "t", "ok": END, "timeout": "soon"}], "/1/timeout", "a duration"),
        ([SLEEP, {"run": "t", "ok": END, "params": "${inputs}"}], "/1/params", "no 'inputs'"),
    ],
)
def test_a_race_that_cannot_be_is_told_with_the_branch(racers: Any, place: str, said: str) -> None:
    assert said in told({"race": racers})[f"/states/start/race{place}"][0]


@pytest.mark.parametrize(
    ("state", "place", "said"),
    [
        ({**RUN, "undo": 3}, "/undo", "the name of a task, or an object"),
        ({**RUN, "undo": {"retries": 3}}, "/undo", "with `run`"),
        ({**RUN, "undo": ""}, "/undo", "undo is a name"),
        ({**RUN, "undo": "${input.undo}"}, "/undo", "without expressions"),
        ({**RUN, "undo": {"run": "t", "retires": 3}}, "/undo/retires", "not known"),
        ({**RUN, "undo": {"run": "t", "params": {}}}, "/undo/params", "not known"),
        ({**RUN, "undo": {"run": "t", "retries": -1}}, "/undo/retries", "0 or more"),
        ({**MAP, "undo": "t", "join": "any"}, "/undo", "does not go with join=any"),
        ({**MAP, "undo": "t", "join": "first:2"}, "/undo", "does not go with join=first:2"),
        ({"together": [{"run": "t", "undo": "u"}], "ok": END}, "/together/0/undo", "not known"),
        ({"together": [{"run": "t"}], "ok": END, "undo": "u"}, "/undo", "not known"),
    ],
)
def test_an_undo_that_cannot_be_is_told(state: dict[str, Any], place: str, said: str) -> None:
    assert said in told(state)[f"/states/start{place}"][0]


@pytest.mark.parametrize(
    ("members", "place", "said"),
    [
        ({"form": "text"}, "/form", "a form is said by a JSON Schema"),
        ({"form": {"type": "string"}}, "/form/type", "a form is an object"),
        ({"form": {"properties": {"a": {"type": "txt"}}}}, "/form/properties/a/type", "not valid under"),
        ({"form": {"properties": {"a": {"pattern": "(?=x)"}}}}, "/form/properties/a/pattern", "cannot be used"),
        ({"form": {"$ref": "http://x/y"}}, "/form/$ref", "inside the schema"),
        ({"form": {"allOf": [{"$ref": "#"}]}}, "/form", "without an end"),
        ({"form": {"description": "x" * 70_000}}, "/form", "larger than 65536"),
        ({"forms": []}, "/forms", "an object of choices"),
        ({"forms": {"yse": {}}}, "/forms/yse", "no choice 'yse'"),
        ({"forms": {"yes": {"type": "array"}}}, "/forms/yes/type", "a form is an object"),
        ({"approvers": []}, "/approvers", "lets nobody answer"),
        ({"approvers": ["ann", "ann"]}, "/approvers", "named twice"),
        ({"quorum": 2}, "/quorum", "needs approvers"),
        ({"quorum": "two", "approvers": ["ann"]}, "/quorum", "a whole number"),
        ({"quorum": {"yse": 1}}, "/quorum", "no such choice"),
        ({"escalate": {"aftre": "1d"}}, "/escalate/aftre", "not known"),
        ({"escalate": [{"after": "1d", "too": []}]}, "/escalate/0/too", "not known"),
        ({"escalate": {"to": ["ann"]}}, "/escalate", "an object such as"),
        ({"escalate": {"after": "1d", "to": ["ann"]}}, "/escalate", "anybody may answer already"),
        ({"escalate": {"after": "2d"}, "within": "1d", "late": END}, "/escalate", "before the deadline"),
        ({"choices": {"late": END}}, "/choices/late", "is no word for this"),
        ({"choices": {"form": END}}, "/choices/form", "is no word for this"),
    ],
)
def test_a_question_that_cannot_be_asked_is_told(members: dict[str, Any], place: str, said: str) -> None:
    assert said in told({**ASK, **members})[f"/states/start{place}"][0]


@pytest.mark.parametrize(
    ("state", "place", "said"),
    [
        ({**RUN, "needs": {"lables": {}}}, "/needs/lables", "not known"),
        ({**RUN, "needs": {"labels": {"gpu": "~x"}}}, "/needs", "no comparator"),
        ({**RUN, "needs": ["gpu"]}, "/needs", "an object such as"),
        ({**RUN, "prefer": {"wait": "1m"}}, "/prefer", "a worker or labels"),
        ({**RUN, "prefer": {"lables": {"a": "b"}}}, "/prefer/lables", "not known"),
        ({**RUN, "choose": "nicest"}, "/choose", "no way to choose"),
        ({**RUN, "choose": [{"done": 1}]}, "/choose", "a word such as cheapest"),
        ({**RUN, "max_cost": "dear"}, "/max_cost", "a number"),
        ({**RUN, "key": "a*"}, "/key", "a concurrency key"),
        ({**RUN, "priority": 99}, "/priority", "not between"),
        ({**RUN, "retries": -1}, "/retries", "0 or more"),
        ({**RUN, "on": {"success": END}}, "/on/success", "no word for this"),
        ({**RUN, "on": {"requeue": END}}, "/on/requeue", "no word for this"),
        ({**RUN, "timeout": 0}, "/timeout", "more than 0"),
        ({**RUN, "timeout": "400d"}, "/timeout", "at most a year"),
        ({**RUN, "timeout": "5s", "heartbeat": "20s"}, "/heartbeat", "longer than timeout"),
        ({**RUN, "undo": {"run": "u", "timeout": "5s", "heartbeat": "20s"}}, "/undo/heartbeat", "longer than timeout"),
        ({"together": [{"run": "t", "timeout": 0}], "ok": END}, "/together/0/timeout", "more than 0"),
        ({**MAP, "at_once": 0}, "/at_once", "1 or more"),
        ({**MAP, "over": [1, 2], "join": "first:3"}, "/join", "can never succeed"),
        ({"together": [{"run": "t"}], "join": "first:2", "ok": END}, "/join", "can never succeed"),
        ({**CHILD, "tags": [""]}, "/tags", "characters"),
        ({**STOP, "uploads": ["f"]}, "/uploads", "needs within"),
    ],
)
def test_what_cannot_be_said_of_a_task_is_told(state: dict[str, Any], place: str, said: str) -> None:
    assert said in told(state)[f"/states/start{place}"][0]


@pytest.mark.parametrize(
    ("members", "place", "said"),
    [
        ({"output": []}, "/output", "the result of a job is said by a JSON Schema"),
        ({"output": {"type": "txt"}}, "/output/type", "not valid under"),
        ({"output": {"type": "integer"}}, "/states/start/done", "does not fit the output"),
        ({"output": {"properties": {"a": {"type": "string"}}}}, "/states/start/done/a", "does not fit the output"),
        ({"retention": "soon"}, "/retention", "soon"),
        ({"retention": "400d"}, "/retention", "at most a year"),
        ({"deadline": 0}, "/deadline", "more than 0"),
        ({"files": "photo"}, "/files", "a list of texts"),
        ({"files": [3]}, "/files", "a list of texts"),
        ({"files": "${data.photos}"}, "/files", "no 'data'"),
        ({"schedule": "0 9 * * *"}, "/schedule", "an object with either `cron` or `every`"),
        ({"schedule": {"cron": "0 9 * * *", "every": "1h"}}, "/schedule", "not cron and every"),
        ({"schedule": {"cron": "0 0 31 2 *"}}, "/schedule", "31 2"),
        ({"schedule": {"cron": 9}}, "/schedule", "string"),
        ({"schedule": {"cron": "0 9 * * *", "tz": "Europe/Berln"}}, "/schedule", "Europe/Berln"),
        ({"schedule": {"every": "15m", "overlp": "skip"}}, "/schedule/overlp", "not known"),
        ({"schedule": {"every": "15m", "tz": "UTC"}}, "/schedule/tz", "not known"),
        ({"schedule": {"every": "15m", "overlap": "never"}}, "/schedule", "overlap"),
        (
            {"schedule": {"every": "15m", "input": {"n": "x"}}, "input": {"properties": {"n": {"type": "integer"}}}},
            "/schedule/input/n",
            "does not fit the input",
        ),
    ],
)
def test_what_is_wrong_around_the_states_is_told(members: dict[str, Any], place: str, said: str) -> None:
    assert said in told({"done": {"a": 1}}, **members)[place][0]


def test_a_wrong_member_is_told_with_the_closest_one() -> None:
    found = told({"race": [{**STOP, "okay": END}, {"run": "t", "ok": END, "needs": {"lables": {}}}]})
    assert found["/states/start/race/0/okay"][1] == "did you mean 'ok'?"
    assert found["/states/start/race/1/needs/lables"][1] == "did you mean 'labels'?"


def test_all_of_it_is_told_at_once() -> None:
    states: dict[str, Any] = {
        "start": {"race": [{**RUN, "undo": "t"}, {**STOP, "within": "1h"}]},
        "ask": {**ASK, "form": {"type": "array"}, "escalate": {"aftre": "1d"}},
        "pay": {**RUN, "undo": 3, "needs": {"cpus": 2}},
    }
    with pytest.raises(BlueprintError) as caught:
        Blueprint.from_dict({"name": "made", "start": "start", "states": states, "output": {"type": "txt"}})
    assert {problem.pointer for problem in caught.value.problems} == {
        "/states/start/race/0/undo", "/states/start/race/1/within", "/states/ask/form/type",
        "/states/ask/escalate/aftre", "/states/pay/undo", "/states/pay/needs/cpus", "/output/type",
    }  # fmt: skip
