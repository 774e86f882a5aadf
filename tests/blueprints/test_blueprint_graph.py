"""The graph is read from the code, exactly, without running it."""

import ast
import types
from collections.abc import Callable
from typing import Any

from muster import Blueprint, Decision, Job, Next, TaskError, failed, finished
from muster.blueprint import draw
from muster.blueprint.definition import AnyBlueprint
from muster.blueprint.graphs import graph_from_json, graph_hash, graph_json
from muster.blueprint.registry import Registry
from muster.core.graph import Edge, Graph
from muster_worker.contracts import task
from pydantic import BaseModel


class Receipt(BaseModel):
    ref: str


charge = task("charge", dict, Receipt)
pack = task("pack", dict, str)


def edges(blueprint: AnyBlueprint) -> set[tuple[str, str, str]]:
    return {(edge.source, edge.label, edge.target) for edge in blueprint.graph.edges}


def test_the_documented_example_has_exactly_its_edges() -> None:
    registry = Registry()
    registry.load("blueprints/orders.py")
    orders = registry.get("orders")
    assert orders is not None
    assert edges(orders) == {
        ("check", "success", "packing"),
        ("check", "failure", "ask_a_person"),
        ("check", "fail", "failed"),
        ("packing", "success", "shipped"),
        ("ask_a_person", "approved", "on_invoice"),
        ("ask_a_person", "rejected", "cancelled"),
        ("ask_a_person", "late", "cancelled"),
        ("on_invoice", "go", "packing"),
        ("cancelled", "fail", "failed"),
        ("shipped", "done", "finished"),
    }
    assert orders.graph.start == "check"
    assert orders.graph.states == ("check", "packing", "ask_a_person", "on_invoice", "cancelled", "shipped")


def test_the_conformance_blueprints_are_those_of_the_documents() -> None:
    registry = Registry()
    registry.load("blueprints/conformance.py")
    simple, approval = registry.get("simple_flow"), registry.get("approval_flow")
    assert simple is not None
    assert approval is not None
    assert edges(simple) == {("start", "go", "work"), ("work", "success", "finished")}
    assert edges(approval) == {("review", "approved", "finished"), ("review", "rejected", "failed")}
    assert (simple.api_version, simple.endpoint) == ("v1", "jobs/simple_flow")


several = Blueprint("several")


@several.start
async def begin(job: Job) -> Next:
    if job.input.get("sleepy"):
        return job.sleep("2h", then=closing)
    return job.run(
        charge, {}, ok=closing, error=on_error, cancelled=on_cancel, on={"duplicate": closing, "odd": finished}
    )


@several.state
async def on_error(job: Job, error: TaskError) -> Next:
    return job.quarantine(error.message)


@several.state
async def on_cancel(job: Job) -> Next:
    return job.together(charge.call({}), pack.call({}), ok=closing, error=on_error)


@several.state
async def closing(job: Job) -> Next:
    return job.done()


def test_every_word_that_leads_to_a_state_is_a_label() -> None:
    assert edges(several) == {
        ("begin", "then", "closing"),
        ("begin", "success", "closing"),
        ("begin", "failure", "on_error"),
        ("begin", "cancelled", "on_cancel"),
        ("begin", "duplicate", "closing"),
        ("begin", "odd", "finished"),
        ("on_cancel", "success", "closing"),
        ("on_cancel", "failure", "on_error"),
        ("closing", "done", "finished"),
    }


def test_the_edges_of_a_child_carry_the_name_of_its_blueprint_where_the_code_shows_it() -> None:
    def write(b: AnyBlueprint) -> None:
        @b.start
        async def first(job: Job) -> Next:
            if job.input.get("again"):
                return job.child(several, {}, ok=finished, error=second)
            return job.child("report", {}, ok=second)

        @b.state
        async def second(job: Job) -> Next:
            started = job.child(job.input["name"], {}, ok=finished, cancelled=failed, tags=["a"])
            job.data["id"] = started.id
            return (
                started
                if job.input.get("alone")
                else job.race(job.child(several, {}, ok=first), job.sleep(1, then=first))
            )

    assert built(write) == {
        ("first", "several: success", "finished"),
        ("first", "several: failure", "second"),
        ("first", "report: success", "second"),
        ("second", "child: success", "finished"),
        ("second", "child: cancelled", "failed"),
        ("second", "several: success", "first"),
        ("second", "timer: then", "first"),
    }


def built(write: Callable[[AnyBlueprint], Any]) -> set[tuple[str, str, str]]:
    blueprint = Blueprint("built")
    write(blueprint)
    return edges(blueprint)


def test_states_inside_a_function_are_seen_through_its_closure() -> None:
    def write(b: AnyBlueprint) -> None:
        @b.start
        async def first(job: Job) -> Next:
            return job.go(second)

        @b.state
        async def second(job: Job) -> Next:
            return job.ask("?", ok=first, error=finished)

    assert built(write) == {("first", "go", "second"), ("second", "ok", "first"), ("second", "error", "finished")}


def test_a_state_kept_in_a_variable_is_labelled_where_the_variable_is_used() -> None:
    def write(b: AnyBlueprint) -> None:
        @b.start
        async def first(job: Job) -> Next:
            target = finished if job.input else second
            choices = {"yes": finished, "no": second}
            if job.input:
                return job.ask("?", **choices)  # type: ignore[call-overload, no-any-return]
            decision = job.run("x", {}, ok=target, error=failed)
            job.data["n"] = 1
            return decision

        @b.state
        async def second(job: Job) -> Next:
            return job.done()

    assert built(write) == {
        ("first", "yes", "finished"),
        ("first", "no", "second"),
        ("first", "success", "finished"),
        ("first", "success", "second"),
        ("first", "failure", "failed"),
        ("second", "done", "finished"),
    }


def test_lambdas_comprehensions_modules_and_helpers_are_looked_into() -> None:
    shelf = types.SimpleNamespace()

    def write(b: AnyBlueprint) -> None:
        def by_helper(work: Job) -> Next:
            return work.run("x", {}, ok=third)

        @b.start
        async def first(job: Job) -> Next:
            pick = lambda: second  # noqa: E731
            if job.input:
                return by_helper(job)
            return job.ask("?", a=pick(), **{str(n): state for n, state in enumerate([third])})  # type: ignore[call-overload, no-untyped-call, no-any-return]

        @b.state
        async def second(job: Job) -> Next:
            return job.go(shelf.third)

        @b.state
        async def third(job: Job) -> Next:
            return job.fail("no")

        shelf.third = third

    found = built(write)
    assert {(source, target) for source, _, target in found} == {
        ("first", "second"),
        ("first", "third"),
        ("second", "third"),
        ("third", "failed"),
    }
    assert ("first", "success", "third") in found
    assert ("second", "go", "third") in found


def test_a_parameter_that_is_called_like_a_state_is_no_transition() -> None:
    def write(b: AnyBlueprint) -> None:
        @b.start
        async def first(job: Job, second: Any = None) -> Next:
            return job.done(second)

        @b.state
        async def second(job: Job) -> Next:
            return job.done()

    assert built(write) == {("first", "done", "finished"), ("second", "done", "finished")}


def test_a_declared_list_replaces_what_the_code_shows_and_keeps_its_words() -> None:
    def write(b: AnyBlueprint) -> None:
        @b.start(to=["second", finished])
        async def first(job: Job) -> Next:
            if job.input:
                return job.fail("no")
            return job.run("x", {}, ok=second, error=third)

        @b.state(to={"again": "first", "out": finished})
        async def second(job: Job) -> Next:
            return job.go(b.states[job.input["where"]])

        @b.state
        async def third(job: Job) -> Next:
            return job.done()

    assert built(write) == {
        ("first", "success", "second"),
        ("first", "go", "finished"),
        ("first", "fail", "failed"),
        ("second", "again", "first"),
        ("second", "out", "finished"),
        ("third", "done", "finished"),
    }


def test_without_source_the_compiled_names_still_give_the_targets() -> None:
    text = """
b = Blueprint("typed_in")
@b.start
async def first(job):
    return job.run("x", {}, ok=second)
@b.state
async def second(job):
    return job.done()
"""
    space: dict[str, Any] = {"Blueprint": Blueprint}
    exec(compile(ast.parse(text), "<typed in>", "exec"), space)
    assert edges(space["b"]) == {("first", "go", "second"), ("second", "done", "finished")}


def test_the_graph_survives_json_and_its_hash_names_the_version() -> None:
    graph = several.graph
    assert graph_from_json(graph_json(graph)) == graph
    bare = Graph(graph.name, "1", graph.start, graph.states, graph.edges)
    assert several.version == f"1:{graph_hash(bare)[:8]}"


def test_another_edge_gives_another_version() -> None:
    def one(b: AnyBlueprint) -> None:
        @b.start
        async def first(job: Job) -> Next:
            return job.done()

    def other(b: AnyBlueprint) -> None:
        @b.start
        async def first(job: Job) -> Next:
            return job.fail("no")

    a, b, c = (Blueprint("same") for _ in range(3))
    one(a)
    other(b)
    one(c)
    assert a.version == c.version != b.version


def test_dot_marks_start_and_end_and_quotes_every_word() -> None:
    awkward = Graph("a.b", "1", "s", ("s",), (Edge("s", 'say "hi" \\ <b>', "finished"),))
    text = draw.dot(awkward)
    assert text.startswith('digraph "a.b" {')
    assert '"s" [peripheries=2' in text
    assert '"finished" [shape=doublecircle]' in text
    assert '"s" -> "finished" [label="say \\"hi\\" \\\\ <b>"];' in text


def test_mermaid_gives_nodes_ids_of_its_own_so_that_no_name_is_a_keyword() -> None:
    text = draw.mermaid(Graph("a", "1", "end", ("end",), (Edge("end", 'say "hi" <b>', "finished"),)))
    assert text == ('flowchart LR\n  s0(["end"])\n  s1((("finished")))\n  s0 -->|"say #quot;hi#quot; &lt;b&gt;"| s1\n')


def test_a_person_is_asked_in_the_words_of_the_blueprint() -> None:
    def write(b: AnyBlueprint) -> None:
        @b.start
        async def first(job: Job) -> Next:
            return job.ask("?", approve=second, within="1d", late=finished)

        @b.state
        async def second(job: Job, answer: Decision) -> Next:
            return job.done(answer.by)

    assert built(write) == {
        ("first", "approve", "second"),
        ("first", "late", "finished"),
        ("second", "done", "finished"),
    }
