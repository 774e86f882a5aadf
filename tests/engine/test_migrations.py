"""Running jobs and new versions of their blueprint: who goes on with what."""

from dataclasses import replace
from typing import Any

import pytest
from muster.blueprint import Blueprint, Job, Next
from muster.blueprint.comparing import Side, compare, side_of
from muster.core.blueprint_head import BlueprintHead, Rollout, SavedVersion, begun_with, looked_at, with_version
from muster.core.graph import FINISHED, Edge, Graph
from muster.core.ids import UnixMs
from muster.engine.migrations import Order, Page
from muster.errors import MusterError
from muster.testing import TestMuster, hangs
from pydantic import BaseModel

OLD: dict[str, Any] = {
    "name": "flow",
    "start": "work",
    "states": {
        "work": {"run": "old.task", "ok": "ask"},
        "ask": {"ask": "Ship?", "choices": {"yes": "ship", "no": "failed"}, "within": "9d", "late": "failed"},
        "ship": {"done": "shipped by the old"},
    },
}


def changed(**states: Any) -> dict[str, Any]:
    merged = {name: state for name, state in {**OLD["states"], **states}.items() if state is not None}
    return {**OLD, "version": 2, "states": merged}


async def move(kit: TestMuster, to: str = "2", *, dry: bool = False, **names: str) -> Page:
    return await kit.migrate("flow", to, names=names, dry_run=dry)


async def asking(kit: TestMuster, new: dict[str, Any]) -> Any:
    """A job of the old version that waits for a person, on a server that has the new one too."""
    kit.add(Blueprint.from_dict(OLD))
    kit.on("old.task", {"n": 1})
    job = await kit.start("flow")
    assert job.state == "ask"
    kit.add(Blueprint.from_dict(new))
    return job


async def test_a_waiting_job_goes_on_with_the_new_version_and_the_move_is_in_its_history(muster: TestMuster) -> None:
    job = await asking(muster, changed(ship={"done": "shipped by the new"}))
    assert (await move(muster, dry=True)).moved == {"ask": 1}
    assert job.record.blueprint_version.startswith("1:")
    page = await move(muster)
    assert (page.moved, page.refused, page.next) == ({"ask": 1}, [], None)
    assert job.record.blueprint_version.startswith("2:")
    await job.decide("yes")
    assert job.result == "shipped by the new"
    (event,) = [event for event in job.history() if event.event_type == "migrated"]
    assert event.details["to"] == job.record.blueprint_version


async def test_states_may_be_called_something_else_in_the_new_version(muster: TestMuster) -> None:
    new = changed(ask=None, ship=None, send={"done": "sent"}, question={**OLD["states"]["ask"]})
    new["states"]["question"] |= {"choices": {"yes": "send", "no": "failed"}}
    new["states"]["work"] = {**new["states"]["work"], "ok": "question"}
    job = await asking(muster, new)
    assert (await move(muster)).refused[0].code == "state_missing"
    assert (await move(muster, ask="question", ship="send")).moved == {"ask": 1}
    assert job.state == "question"
    await job.decide("yes")
    assert job.result == "sent"


@pytest.mark.parametrize(
    ("new", "code"),
    [
        (changed(ask=None, work={"run": "old.task", "ok": "ship"}), "state_missing"),
        (changed(ask={**OLD["states"]["ask"], "choices": {"yes": "ship", "no": "finished"}, "late": "ship"}),
         "edge_missing"),
        ({**changed(), "input": {"type": "object", "required": ["id"]}}, "input_misfit"),
    ],
)  # fmt: skip
async def test_a_job_that_cannot_go_on_stays_and_the_reason_is_told(
    muster: TestMuster, new: dict[str, Any], code: str
) -> None:
    job = await asking(muster, new)
    for dry in (True, False):
        page = await move(muster, dry=dry)
        assert dict(page.stayed) == {"ask": {code: 1}}
        assert (page.refused[0].job, page.refused[0].code) == (job.id, code)
    assert job.record.blueprint_version.startswith("1:")
    await job.decide("yes")
    assert job.result == "shipped by the old"


async def test_a_job_that_waits_for_a_task_of_the_old_version_stays(muster: TestMuster) -> None:
    muster.add(Blueprint.from_dict(OLD))
    muster.on("old.task", hangs)
    await muster.start("flow")
    muster.add(Blueprint.from_dict(changed(work={"run": "new.task", "ok": "ask"})))
    assert dict((await move(muster)).stayed) == {"work": {"task_changed": 1}}
    muster.add(Blueprint.from_dict({**changed(), "version": 3}))
    assert (await move(muster, "3")).moved == {"work": 1}


async def test_of_code_the_data_must_fit_the_new_type(muster: TestMuster) -> None:
    class Kept(BaseModel):
        count: int = 0

    def made(version: int, data: type[Any] | None) -> Any:
        flow: Blueprint[Any, Any] = Blueprint("flow", version=version, data=data)

        @flow.start
        async def begin(job: Job[Any, Any]) -> Next:
            if version == 1:
                job.data["count"] = "many"
            return job.wait_for("go", ok=end)

        @flow.state
        async def end(job: Job[Any, Any]) -> Next:
            return job.done(version)

        return flow

    job = await muster.start(made(1, None))
    muster.add(made(2, Kept), made(3, None))
    assert (await move(muster)).refused[0].code == "data_misfit"
    assert (await move(muster, "3")).moved == {"begin": 1}
    await job.signal("go")
    assert job.result == 3


async def test_many_jobs_are_moved_a_page_at_a_time(muster: TestMuster) -> None:
    muster.add(Blueprint.from_dict(OLD))
    muster.on("old.task", hangs)
    for _ in range(7):
        await muster.start("flow")
    muster.add(Blueprint.from_dict(changed(ship={"done": 2})))
    cursor, moved = None, []
    while True:
        order = Order("2", is_dry=False, limit=3)
        page = await muster.machine.ask(lambda engine, at=cursor, order=order: engine.migrate("flow", order, at))  # type: ignore[misc]
        moved.append(page.moved.total())
        if (cursor := page.next) is None:
            break
    assert sum(moved) == 7
    assert max(moved) == 3


async def test_what_cannot_be_asked_for_is_told(muster: TestMuster) -> None:
    await asking(muster, changed(ship={"done": 2}))
    for order, cursor in ((Order("9"), None), (Order("2", names={"ask": "nowhere"}), None), (Order("2"), "x")):
        with pytest.raises(MusterError):
            await muster.machine.ask(lambda engine, o=order, c=cursor: engine.migrate("flow", o, c))  # type: ignore[misc]


RACE: dict[str, Any] = {
    "name": "flow",
    "start": "race",
    "states": {
        "race": {
            "race": [
                {"run": "old.task", "ok": "done"},
                {"wait_for": "stop", "ok": "stopped"},
                {"sleep": "2m", "then": "late"},
            ]
        },
        "done": {"done": "done"},
        "stopped": {"done": "stopped"},
        "late": {"done": "late"},
    },
}  # fmt: skip


async def racing(kit: TestMuster, new: dict[str, Any]) -> Any:
    """A job of the old version in a race, on a server that has the new one too."""
    kit.add(Blueprint.from_dict(RACE))
    kit.on("old.task", hangs)
    job = await kit.start("flow")
    kit.add(Blueprint.from_dict({**RACE, "version": 2, "states": new}))
    return job


@pytest.mark.parametrize(
    ("place", "branch", "code"),
    [
        (0, {"run": "new.task", "ok": "done"}, "task_changed"),
        (1, {"wait_for": "stop", "ok": "done"}, "edge_missing"),
        (2, {"sleep": "2m", "then": "done"}, "edge_missing"),
    ],
)
async def test_a_job_in_a_race_stays_where_a_branch_cannot_go_on(
    muster: TestMuster, place: int, branch: dict[str, Any], code: str
) -> None:
    branches = list(RACE["states"]["race"]["race"])
    branches[place] = branch
    gone = {0: None, 1: "stopped", 2: "late"}[place]
    new = {**RACE["states"], "race": {"race": branches}}
    new["done"] = {"choose": [{"when": "${input.a}", "go": gone}, {"done": 1}]} if gone else new["done"]
    await racing(muster, new)
    assert dict((await move(muster)).stayed) == {"race": {code: 1}}


async def test_a_job_in_a_race_goes_on_where_its_branches_are_called_something_else(muster: TestMuster) -> None:
    branches = [
        {"run": "old.task", "ok": "done"}, {"wait_for": "stop", "ok": "halted"}, {"sleep": "2m", "then": "overdue"}
    ]  # fmt: skip
    states = {
        "race": {"race": branches}, "done": {"done": 1}, "halted": {"done": "halted"}, "overdue": {"done": "overdue"}
    }  # fmt: skip
    job = await racing(muster, states)
    page = await move(muster, stopped="halted", late="overdue")
    assert (page.moved, dict(page.stayed)) == ({"race": 1}, {})
    await muster.advance("2m 1s")
    assert job.result == "overdue"


# What differs


def test_two_versions_are_compared_state_by_state() -> None:
    new = changed(ask=None, ship={"done": "new"}, work={"run": "old.task", "ok": "ship", "error": "ship"})
    new["input"] = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}
    found = compare(side_of(Blueprint.from_dict(OLD)), side_of(Blueprint.from_dict(new)))
    assert (found.added, found.removed, found.changed) == ((), ("ask",), ("work", "ship"))
    assert {(edge.source, edge.label) for edge in found.edges_added} == {("work", "success"), ("work", "failure")}
    assert found.input == ("+ id (required)",)
    assert {verdict.state: verdict.goes_on for verdict in found.verdicts} == {"work": False, "ask": False, "ship": True}
    assert not found.is_same
    same = compare(side_of(Blueprint.from_dict(OLD)), side_of(Blueprint.from_dict({**OLD, "version": 5})))
    assert same.is_same


def test_a_result_an_undo_and_a_deadline_that_are_others_are_told() -> None:
    new = {**OLD, "output": {"properties": {"total": {}}}, "deadline": "1h"}
    new["states"] = {**OLD["states"], "work": {**OLD["states"]["work"], "undo": "old.undo"}}
    found = compare(side_of(Blueprint.from_dict(OLD)), side_of(Blueprint.from_dict(new)))
    assert (found.output[0], found.members, found.changed) == ("+ total", ("deadline",), ("work",))
    assert not found.is_same


def test_of_code_an_undo_that_is_another_is_told() -> None:
    graph = Graph("a", "1", "pay", ("pay",), (Edge("pay", "success", FINISHED),), (("pay", "refund"),))
    found = compare(Side(graph, {}), Side(replace(graph, undos=()), {}))
    assert found.changed == ("pay",)


# Who begins with what, and how long versions stay


def test_a_rollout_takes_its_share_of_jobs_and_always_the_same_ones() -> None:
    small, large = Rollout("2:b", 10, "1:a"), Rollout("2:b", 50, "1:a")
    jobs = [f"job-{n}" for n in range(4000)]
    taken = {job for job in jobs if small.takes(job)}
    assert 320 < len(taken) < 480
    assert taken < {job for job in jobs if large.takes(job)}
    assert not any(Rollout("2:b", 0, "1:a").takes(job) for job in jobs)
    assert all(Rollout("2:b", 100, "1:a").takes(job) for job in jobs)


def test_a_version_goes_once_no_job_was_on_it_for_so_long() -> None:
    head = with_version(BlueprintHead(), "1:a", 1, UnixMs(0), "ann", 100)
    head = with_version(head, "2:b", 2, UnixMs(5), "ann", 100)
    live = {"1:a": 1, "2:b": 0}
    assert looked_at(head, live, UnixMs(10), 100) == head
    idle = looked_at(head, {"1:a": 0, "2:b": 0}, UnixMs(20), 100)
    assert idle.versions["1:a"] == SavedVersion(UnixMs(0), "ann", UnixMs(20))
    assert looked_at(idle, live, UnixMs(30), 100) == head
    assert set(looked_at(idle, {"1:a": 0, "2:b": 0}, UnixMs(119), 100).versions) == {"1:a", "2:b"}
    gone = looked_at(idle, {"1:a": 0, "2:b": 0}, UnixMs(120), 100)
    assert set(gone.versions) == {"2:b"}
    out = begun_with(gone, "")
    assert looked_at(looked_at(out, {"2:b": 0}, UnixMs(200), 100), {"2:b": 0}, UnixMs(300), 100).is_empty
