"""Entering a state: what goes in, what comes out, and what is refused."""

import asyncio
import threading
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from muster import Blueprint, Decision, Job, Next, TaskError, failed, finished
from muster.blueprint.facts import JobFacts
from muster.blueprint.problems import BlueprintError, InputInvalid
from muster.blueprint.state import State
from muster.blueprint.testing import job_for
from muster.core.decisions import Ask, Child, Done, Fail, Fan, Go, Quarantine, Run, Sleep, TaskSpec
from muster.core.ids import JobId, is_job_id, partition_of
from muster.core.json import JsonObject
from muster_worker.contracts import task
from pydantic import BaseModel


class Line(BaseModel):
    sku: str
    due: date = date(2030, 1, 1)


class Order(BaseModel):
    id: str
    lines: list[Line] = []


class Kept(BaseModel):
    seen: list[str] = []


class Receipt(BaseModel):
    ref: str


charge = task("charge", Order, Receipt, timeout="30s", retries=2)
pack = task("pack", Line, str)

orders = Blueprint("orders", input=Order, data=Kept)
loose = Blueprint("loose")


@orders.start
async def check(job: Job[Order, Kept]) -> Next:
    job.data.seen.append("check")
    return job.run(charge, job.input, ok=packing, error=broken, timeout="5s", priority=3)


@orders.state
async def packing(job: Job[Order, Kept], receipt: Receipt) -> Next:
    return job.map(pack, job.input.lines, ok=shipped)


@orders.state
async def shipped(job: Job[Order, Kept], parcels: list[str]) -> Next:
    return job.together(charge.call(job.input), pack.call(job.input.lines[0]), ok=both)


@orders.state
async def both(job: Job[Order, Kept], results: tuple[Receipt, str]) -> Next:
    receipt, text = results
    return job.done({"ref": receipt, "text": text})


@orders.state
async def broken(job: Job[Order, Kept], error: TaskError) -> Next:
    return job.ask(f"{error.code} on {error.worker}", again=asked, stop=failed, within="2d", late=asked)


@orders.state
async def asked(job: Job[Order, Kept], answer: Decision) -> Next:
    return job.sleep("2h", then=packing, argument=Receipt(ref=answer.decision))


def facts(blueprint: str = "orders", **members: Any) -> JobFacts:
    content: dict[str, Any] = {"input": {"id": "7", "lines": [{"sku": "a"}, {"sku": "b"}]}, **members}
    return JobFacts("job", "acme", blueprint, **content)


async def test_a_run_carries_json_and_the_names_of_states() -> None:
    entered = await orders.enter("check", facts(input={"id": "7"}), None)
    params = {"id": "7", "lines": []}
    assert entered.decision == Run(TaskSpec("charge", params, 5000, 2, 3), {"success": "packing", "failure": "broken"})
    assert entered.data == {"seen": ["check"]}


async def test_a_result_becomes_the_type_that_the_next_state_takes() -> None:
    entered = await orders.enter("packing", facts(), {"ref": "r"})
    lines = ({"sku": "a", "due": "2030-01-01"}, {"sku": "b", "due": "2030-01-01"})
    assert entered.decision == Fan(tuple(TaskSpec("pack", line) for line in lines), {"success": "shipped"})


async def test_different_tasks_together_come_back_as_a_tuple() -> None:
    fan = (await orders.enter("shipped", facts(), ["x"])).decision
    assert isinstance(fan, Fan)
    assert [spec.type for spec in fan.tasks] == ["charge", "pack"]
    done = (await orders.enter("both", facts(), [{"ref": "r"}, "x"])).decision
    assert done == Done({"ref": {"ref": "r"}, "text": "x"})


async def test_a_tasks_error_and_a_persons_answer_are_typed() -> None:
    error: JsonObject = {"code": "PERMANENT_ERROR", "message": "no", "worker": "w1", "attempt": 2, "task": 0}
    asking = (await orders.enter("broken", facts(), error)).decision
    edges = {"again": "asked", "stop": "failed", "late": "asked"}
    assert asking == Ask("PERMANENT_ERROR on w1", edges, within_ms=172_800_000)
    slept = (await orders.enter("asked", facts(), {"decision": "late"})).decision
    assert slept == Sleep(7_200_000, "packing", {"ref": "late"})


async def test_what_a_job_keeps_comes_back_in_the_next_state() -> None:
    stored = {"seen": ["before"]}
    entered = await orders.enter("check", facts(data=stored), None)
    assert entered.data == {"seen": ["before", "check"]}
    assert stored == {"seen": ["before"]}


async def test_data_of_the_wrong_type_is_refused_where_it_was_written() -> None:
    b = Blueprint("b", data=Kept)

    @b.start
    async def first(job: Job[dict[str, Any], Kept]) -> Next:
        job.data.seen = 7  # type: ignore[assignment]
        return job.done()

    with pytest.raises(Exception, match="Expected `list"):
        await b.enter("first", facts("b"), None)


@pytest.mark.parametrize(
    ("state", "argument", "words"),
    [
        ("packing", {"rf": "x"}, "state 'packing' cannot take what came: /ref: Field required"),
        ("packing", {"rf": "x"}, "its argument is Receipt"),
        ("nowhere", None, "there is no state 'nowhere'"),
        ("finished", None, "there is no state 'finished'"),
    ],
)
async def test_what_cannot_be_entered_is_told(state: str, argument: Any, words: str) -> None:
    with pytest.raises(BlueprintError) as caught:
        await orders.enter(state, facts(), argument)
    assert words in str(caught.value)


async def test_dicts_will_do_without_any_model() -> None:
    b = Blueprint("b")

    @b.start
    async def first(job: Job) -> Next:
        job.data["n"] = job.input["n"] + 1
        return job.run("count", {"n": job.input["n"]}, ok=second)

    @b.state
    def second(job: Job, result: Any) -> Next:
        return job.done({"n": job.data["n"], "result": result, "before": dict(job.results)})

    entered = await b.enter("first", facts("b", input={"n": 1}), None)
    assert entered.decision == Run(TaskSpec("count", {"n": 1}), {"success": "second"})
    ended = await b.enter("second", facts("b", data=entered.data, results={"x": 1}), {"sum": 2})
    assert ended.decision == Done({"n": 2, "result": {"sum": 2}, "before": {"x": 1}})
    assert ended.data == {"n": 2}


async def test_plain_functions_run_in_a_thread_and_async_ones_on_the_loop() -> None:
    b = Blueprint("b")
    where: list[threading.Thread] = []

    @b.start
    def plain(job: Job) -> Next:
        where.append(threading.current_thread())
        return job.go(other)

    @b.state
    async def other(job: Job) -> Next:
        await asyncio.sleep(0)
        where.append(threading.current_thread())
        return job.done()

    assert (b.is_sync("plain"), b.is_sync("other")) == (True, False)
    assert (await b.enter("plain", facts("b"), None)).decision == Go("other")
    await b.enter("other", facts("b"), None)
    assert where[0] is not threading.main_thread()
    assert where[1] is threading.main_thread()


async def nothing(job: Job) -> Any:
    return None


async def a_state(job: Job) -> Any:
    return finished


async def a_word(job: Job) -> Any:
    return "finished"


def not_awaited(job: Job) -> Any:
    return nothing(job)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (nothing, "state 'nothing' returned nothing"),
        (a_state, "state 'a_state' returned the state 'finished'\n           write return job.go(finished)"),
        (a_word, "state 'a_word' returned 'finished', which is no decision"),
        (not_awaited, "state 'not_awaited' returned something not awaited"),
    ],
)
async def test_what_is_no_decision_is_refused(function: Any, words: str) -> None:
    b = Blueprint("b")
    b.start(function)
    with pytest.raises(BlueprintError) as caught:
        await b.enter(function.__name__, facts("b"), None)
    assert words in str(caught.value)


async def test_a_transition_that_the_code_does_not_show_is_refused() -> None:
    b = Blueprint("b")

    @b.start
    async def first(job: Job) -> Next:
        return job.go(b.states[job.input["where"]])

    @b.state
    async def second(job: Job) -> Next:
        return job.done()

    with pytest.raises(BlueprintError) as caught:
        await b.enter("first", facts("b", input={"where": "second"}), None)
    assert "state 'first' went to 'second', which its code does not show; declared: none" in str(caught.value)
    assert "write @b.state(to=['second'])" in str(caught.value)


async def test_a_declared_transition_is_allowed() -> None:
    b = Blueprint("b")

    @b.start(to=["second"])
    async def first(job: Job) -> Next:
        return job.go(b.states[job.input["where"]])

    @b.state
    async def second(job: Job) -> Next:
        return job.done()

    entered = await b.enter("first", facts("b", input={"where": "second"}), None)
    assert entered.decision == Go("second")


async def test_a_state_of_another_blueprint_is_refused() -> None:
    b = Blueprint("b")

    @b.start
    async def first(job: Job) -> Next:
        return job.go(check)

    with pytest.raises(ValueError, match="state 'check' belongs to blueprint 'orders', not to 'b'"):
        await b.enter("first", facts("b"), None)


async def test_ends_are_always_allowed() -> None:
    b = Blueprint("b")
    calls = {
        "done": lambda job: job.done(1),
        "fail": lambda job: job.fail("no"),
        "aside": lambda job: job.quarantine("?"),
    }

    @b.start(to=[finished])
    async def first(job: Job) -> Next:
        end: Next = calls[job.input["how"]](job)
        return end

    ends = [(await b.enter("first", facts("b", input={"how": how}), None)).decision for how in calls]
    assert ends == [Done(1), Fail("no"), Quarantine("?")]


def test_input_is_checked_with_pointers() -> None:
    orders.validate_input({"id": "7", "lines": [{"sku": "a"}]})
    with pytest.raises(InputInvalid) as caught:
        orders.validate_input({"lines": [{"sku": "a"}, {"sku": 3}]})
    assert caught.value.errors == [
        {"pointer": "/id", "detail": "Field required"},
        {"pointer": "/lines/1/sku", "detail": "Input should be a valid string"},
    ]
    loose.validate_input({"anything": [1, 2]})


def test_the_input_has_a_json_schema() -> None:
    assert orders.input_schema()["required"] == ["id"]
    assert loose.input_schema()["type"] == "object"


@pytest.mark.parametrize(
    ("decide", "words"),
    [
        (lambda job: job.run("x", {}, ok=finished, priority=99), "priority 99 is not between -31 and 32"),
        (lambda job: job.run("x", {}, ok=finished, retries=-1), "retries must be 0 or more, not -1"),
        (lambda job: job.run("x", {}, ok=finished, timeout="soon"), "'soon' is not a duration"),
        (lambda job: job.run("x", {}, ok=finished, on={"failure": failed}), "is written as ok=, error= or cancelled="),
        (lambda job: job.map("x", range(10_001), ok=finished), "more than 10000 tasks at once"),
        (lambda job: job.ask("?"), "needs at least one choice"),
        (lambda job: job.ask("?", yes=finished, late=failed), r"job.ask\(late=...\) needs within="),
    ],
)
def test_a_decision_that_cannot_be_is_refused_at_once(decide: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        decide(job_for({}))


def test_a_target_must_be_a_state() -> None:
    with pytest.raises(TypeError, match="'finished' is not a state"):
        job_for({}).go("finished")  # type: ignore[call-overload]


def test_a_value_that_does_not_fit_its_contract_is_refused() -> None:
    with pytest.raises(ValueError, match="sku"):
        job_for({}).run(pack, {"sku": 3}, ok=finished)  # type: ignore[misc]


async def test_a_state_can_be_called_in_a_test_and_its_decision_compared() -> None:
    job = job_for(Order(id="1", lines=[Line(sku="a")]), data=Kept())
    decision = await packing.call(job, Receipt(ref="r"))
    assert decision == Fan((TaskSpec("pack", {"sku": "a", "due": "2030-01-01"}),), {"success": "shipped"})
    await check.call(job)
    assert job.data.seen == ["check"]


@dataclass
class Point:
    x: int


async def test_dataclasses_will_do_for_arguments_and_results() -> None:
    b = Blueprint("b", input=Point)

    @b.start
    async def first(job: Job[Point]) -> Next:
        return job.go(second, Point(job.input.x + 1))

    @b.state
    async def second(job: Job[Point], point: Point) -> Next:
        return job.done(point)

    assert (await b.enter("first", facts("b", input={"x": 1}), None)).decision == Go("second", {"x": 2})
    assert (await b.enter("second", facts("b"), {"x": 2})).decision == Done({"x": 2})


async def test_a_cancelled_wait_leads_to_a_state_that_takes_nothing() -> None:
    edges = {"yes": "finished", "cancelled": "failed"}
    assert job_for({}).ask("?", yes=finished, cancelled=failed) == Ask("?", edges)
    with pytest.raises(ValueError, match="at least one choice"):
        job_for({}).ask("?", cancelled=failed)


async def test_a_child_is_a_job_to_be_in_its_parents_partition_and_its_id_is_known_at_once() -> None:
    def write(b: Blueprint[Any, Any]) -> State[Any]:
        @b.start
        async def first(job: Job) -> Next:
            return job.child(orders_like, Order(id="o-1"), ok=finished, error=failed, tags=["a", "b"])

        return first

    orders_like: Blueprint[Any, Any] = Blueprint("orders_like")
    decided = await write(Blueprint("parent")).call(job_for({}))
    assert isinstance(decided, Child)
    edges = {"success": "finished", "failure": "failed"}
    assert decided == Child("orders_like", {"id": "o-1", "lines": []}, edges, JobId(""), ("a", "b"))
    assert is_job_id(decided.id)
    assert partition_of(decided.id) == partition_of(JobId(job_for({}).id))


@pytest.mark.parametrize("value", [None, 7, ["a"], "text"])
def test_the_input_of_a_child_is_an_object(value: object) -> None:
    with pytest.raises(TypeError, match="the input of a job is an object, not "):
        job_for({}).child("orders", value, ok=finished)
