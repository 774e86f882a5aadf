"""Blueprints as data that race, undo, ask with forms and promise a result: with virtual time, faults and crashes."""

from typing import Any

import pytest
from muster import Job, Next, failed, finished
from muster.blueprint import Blueprint, InputInvalid
from muster.blueprint.draw import dot
from muster.blueprint.testing import job_for
from muster.core.events import TASK_DROPPED
from muster.core.matching import Choice
from muster.errors import MusterError
from muster.testing import TestJob, TestMuster, hangs, later
from muster_worker import Permanent, Retry

END: dict[str, Any] = {"done": "${argument}"}


def spec(start: dict[str, Any], /, **states: dict[str, Any]) -> dict[str, Any]:
    return {"name": "made", "start": "start", "states": {"start": start, **states}}


def made(start: dict[str, Any], /, **states: dict[str, Any]) -> Blueprint[Any, Any]:
    return Blueprint.from_dict(spec(start, **states))


# Race


HURRY = made(
    {
        "race": [
            {"run": "quote", "params": {"shop": "${input.shop}"}, "ok": "bought", "error": "nobody"},
            {"child": "below", "input": {"n": 1}, "ok": "grown"},
            {"wait_for": "stop", "ok": "stopped"},
            {"ask": "Buy at ${input.shop}?", "choices": {"no": "refused"}, "form": {"required": ["why"]}},
            {"sleep": "${input.patience}", "then": "late"},
        ],
        "cancelled": "gone",
    },
    bought={"done": {"bought": "${argument.cents}"}},
    nobody={"done": {"nobody": "${argument.code}"}},
    grown={"done": {"grown": "${argument.n}"}},
    stopped={"sleep": "1s", "then": "told", "argument": {"stopped": "${argument.why}"}},
    told=END,
    refused={"done": {"refused": "${argument.form.why}"}},
    late={"done": "late"},
    gone={"done": "gone"},
)
BELOW = Blueprint.from_dict(
    {"name": "below", "start": "wait", "states": {"wait": {"wait_for": "go", "ok": "end"}, "end": END}}
)


async def begun(muster: TestMuster, quote: object = hangs) -> TestJob:
    muster.add(BELOW)
    muster.on("quote", quote)
    return await muster.start(HURRY, {"shop": "corner", "patience": "5m"})


async def test_in_a_race_the_first_to_end_decides_and_the_others_are_given_up(muster: TestMuster) -> None:
    job = await begun(muster, later("1m", {"cents": 3}))
    assert job.waiting_for is not None
    assert job.waiting_for.message == "Buy at corner?"
    await job.ends()
    assert job.result == {"bought": 3}
    assert muster.calls("quote") == [{"shop": "corner"}]
    assert [child.status for child in job.children] == ["cancelled"]


async def test_in_a_race_a_task_that_fails_for_good_has_ended_too(muster: TestMuster) -> None:
    job = await (await begun(muster, Permanent("shut"))).ends()
    assert job.result == {"nobody": "PERMANENT_ERROR"}


async def test_in_a_race_a_signal_drops_the_task(muster: TestMuster) -> None:
    job = await begun(muster)
    await job.signal("stop", {"why": "rain"})
    assert (await job.ends()).result == {"stopped": "rain"}
    assert TASK_DROPPED in [event.event_type for event in job.history()]


async def test_in_a_race_a_child_may_win(muster: TestMuster) -> None:
    job = await begun(muster)
    await job.children[0].signal("go", {"n": 8})
    assert (await job.ends()).result == {"grown": 8}


async def test_in_a_race_a_person_may_win_with_a_form(muster: TestMuster) -> None:
    job = await begun(muster)
    with pytest.raises(MusterError, match="form"):
        await job.decide("no", form={})
    await job.decide("no", form={"why": "dear"})
    assert (await job.ends()).result == {"refused": "dear"}


async def test_a_race_ends_when_its_time_is_over(muster: TestMuster) -> None:
    job = await begun(muster)
    await muster.advance("4m 59s")
    assert not job.is_over
    await muster.advance("1s")
    assert job.result == "late"


async def test_a_race_that_is_cancelled_goes_where_it_says(muster: TestMuster) -> None:
    job = await begun(muster)
    await job.cancel()
    assert (await job.ends()).result == "gone"


async def test_no_crash_changes_how_a_race_ends(muster: TestMuster) -> None:
    async def story(muster: TestMuster) -> None:
        await (await begun(muster, later("1m", {"cents": 3}))).ends()

    assert len([crashed async for crashed in muster.crashes(story)]) > 5


# Undo


SALE = made(
    {"run": "charge", "params": {"cents": 5}, "ok": "pack", "undo": {"run": "refund", "retries": 5}},
    pack={"map": "pack", "over": "${input.lines}", "ok": "keep", "undo": "unpack"},
    keep={"child": "stock", "ok": "deliver", "undo": "release"},
    deliver={"run": "deliver", "ok": "finished"},
)
STOCK = Blueprint.from_dict({**spec({"run": "reserve", "ok": "end"}, end=END), "name": "stock"})


def sells(muster: TestMuster) -> None:
    muster.add(STOCK)
    muster.on("charge", {"ref": "r1"})
    muster.on("pack", lambda line: {"box": line})
    muster.on("reserve", {"place": 7})
    muster.on("deliver", Permanent("no van"))
    muster.on("refund", [Retry("busy"), Retry("busy"), Retry("busy"), Retry("busy"), None])
    muster.on("unpack", None)
    muster.on("release", None)


async def test_where_a_job_fails_what_it_did_is_undone_newest_first(muster: TestMuster) -> None:
    sells(muster)
    job = await muster.run(SALE, {"lines": ["a", "b"]})
    assert (job.status, job.error) == ("quarantined", "no van")
    assert muster.calls("release") == [{"place": 7}]
    assert muster.calls("unpack") == [{"box": "b"}, {"box": "a"}]
    assert muster.calls("refund") == [{"ref": "r1"}] * 5  # more tries than a task has by itself: its own retries
    assert len([event for event in job.history() if event.event_type == "undo_started"]) == 4


async def test_a_job_that_is_cancelled_is_undone_too(muster: TestMuster) -> None:
    sells(muster)
    muster.on("deliver", hangs)
    job = await (await muster.start(SALE, {"lines": []})).reaches("deliver")
    await job.cancel()
    await job.ends()
    assert job.status == "cancelled"
    assert len(muster.calls("release")) == 1


async def test_no_crash_undoes_anything_twice(muster: TestMuster) -> None:
    sells(muster)

    async def story(muster: TestMuster) -> None:
        await muster.run(SALE, {"lines": ["a"]})

    assert len([crashed async for crashed in muster.crashes(story)]) > 10


# Forms and questions


FORM: dict[str, Any] = {
    "type": "object",
    "required": ["cents"],
    "properties": {"cents": {"type": "integer", "minimum": 1}, "why": {"type": "string", "pattern": "^[a-z ]+$"}},
    "additionalProperties": False,
}
PAY: dict[str, Any] = {"ask": "Pay?", "choices": {"yes": "end", "no": "refused"}}


async def test_a_form_is_filled_in_for_every_choice(muster: TestMuster) -> None:
    job = await muster.start(made({**PAY, "form": FORM}, end={"done": "${argument.form.cents}"}, refused=END))
    for wrong in ({}, {"cents": 0}, {"cents": 2, "why": "NO"}, {"cents": 2, "other": 1}):
        with pytest.raises(MusterError, match="form"):
            await job.decide("yes", form=wrong)
    await job.decide("yes", form={"cents": 2, "why": "the rent"})
    assert job.result == 2


async def test_a_form_may_be_for_one_choice_alone(muster: TestMuster) -> None:
    blueprint = made({**PAY, "forms": {"no": FORM}}, end={"done": "paid"}, refused={"done": "${argument.form}"})
    job = await muster.start(blueprint)
    with pytest.raises(MusterError, match="form"):
        await job.decide("yes", form={"cents": 2})
    await job.decide("yes")
    assert job.result == "paid"
    job = await muster.start(blueprint)
    await job.decide("no", form={"cents": 3})
    assert job.result == {"cents": 3}


async def test_choices_may_need_different_numbers_of_people_and_more_are_asked_later(muster: TestMuster) -> None:
    question = {
        **PAY, "approvers": "${input.people}", "quorum": {"yes": 2, "no": 1}, "within": "3d", "late": "late",
        "escalate": [{"after": "1d"}, {"after": "2d", "to": ["${input.boss}"]}],
    }  # fmt: skip
    job = await muster.start(
        made(question, end={"done": "paid"}, refused=END, late={"done": "late"}),
        {"people": ["ann", "bob"], "boss": "cleo"},
    )
    await job.decide("yes", by="ann")
    await muster.advance("2d")
    assert not job.is_over
    await job.decide("yes", by="cleo")
    assert job.result == "paid"


async def test_who_is_asked_is_checked_on_the_job_where_expressions_say_it(muster: TestMuster) -> None:
    question = {**PAY, "approvers": ["ann"], "quorum": "${input.quorum}"}
    job = await muster.run(made(question, end=END, refused=END), {"quorum": 2})
    assert job.status == "quarantined"
    assert job.error_details is not None
    assert job.error_details["code"] == "expression_failed"
    assert "only 1 are ever asked" in (job.error or "")


# The result


async def test_a_result_that_the_blueprint_does_not_promise_puts_the_job_aside(muster: TestMuster) -> None:
    output = {"type": "object", "required": ["total"], "properties": {"total": {"type": "integer"}}}
    blueprint = Blueprint.from_dict({**spec({"done": {"total": "${input.total}"}}), "output": output})
    assert blueprint.output_schema() == output
    assert (await muster.run(blueprint, {"total": 3})).result == {"total": 3}
    job = await muster.run(blueprint, {"total": "three"})
    assert job.status == "quarantined"
    assert job.error_details is not None
    assert job.error_details["code"] == "invalid_output"
    assert job.error_details["errors"] == [{"pointer": "/total", "detail": "'three' is not of type 'integer'"}]


def test_without_a_schema_a_result_may_be_anything() -> None:
    blueprint = made({"done": "${input}"})
    assert blueprint.output_schema() == {}
    blueprint.validate_output([1])


# What may be said of tasks and jobs


async def test_a_fan_has_a_cap_and_its_tasks_have_keys(muster: TestMuster) -> None:
    muster.on("crawl", lambda page: page["url"])
    start: dict[str, Any] = {
        "map": "crawl", "over": "${input.pages}", "params": {"url": "${item.url}"}, "key": "site:${item.site}",
        "at_once": "${input.cap}", "ok": "end",
    }  # fmt: skip
    pages = [{"url": f"/{n}", "site": n % 2} for n in range(4)]
    job = await muster.start(made(start, end=END), {"pages": pages, "cap": 1})
    facts = await decided(made(start, end=END), {"pages": pages, "cap": 1})
    assert [(task.key, task.at_once) for task in facts.tasks] == [("site:0", 1), ("site:1", 1)] * 2
    assert (await job.ends()).result == ["/0", "/1", "/2", "/3"]


async def test_a_task_says_which_workers_may_do_it(muster: TestMuster) -> None:
    options = {
        "needs": {"labels": {"region": "${input.region}"}, "memory": "8GB"}, "max_cost": 0.5,
        "prefer": {"worker": "same", "wait": "20s"}, "choose": {"policy": "cheapest", "overflow_after": "3s"},
        "key": "customer-${input.customer}",
    }  # fmt: skip
    data = {"region": "eu", "customer": 4}
    run = (await decided(made({"run": "render", **options, "ok": "finished"}), data)).task
    both = await decided(
        made({"together": [{"run": "render", **options}, {"run": "render", "choose": "fastest"}], "ok": "finished"}),
        data,
    )
    assert run.placement is not None
    assert [rule[0] for rule in run.placement.rules] == ["cost", "label:region", "memory"]
    assert run.placement.prefer_ms == 20_000
    assert run.placement.choice == Choice("cheapest", 3_000)
    assert run.key == "customer-4"
    assert both.tasks[0] == run
    assert (both.tasks[1].placement.choice, both.tasks[1].key) == (Choice("fastest", 0), "")
    assert muster.started == ()


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"needs": "${input.needs}"}, "/states/start/needs"),
        ({"prefer": {"worker": "${input.n}"}}, "/states/start/prefer"),
        ({"choose": "${input.how}"}, "/states/start/choose"),
        ({"max_cost": "${input.cost}"}, "/states/start/max_cost"),
        ({"key": "${input.star}"}, "/states/start/key"),
        ({"priority": "${input.n}"}, "/states/start/priority"),
        ({"retries": "${input.cost}"}, "/states/start/retries"),
    ],
)
async def test_what_expressions_say_of_a_task_is_checked_on_the_job(
    muster: TestMuster, options: dict[str, Any], pointer: str
) -> None:
    data = {"needs": {"lables": {}}, "n": 99, "how": "nicest", "cost": -1, "star": "a*"}
    job = await muster.run(made({"run": "t", "ok": "finished", **options}), data)
    assert job.status == "quarantined"
    assert job.error_details is not None
    assert (job.error_details["code"], job.error_details["pointer"]) == ("expression_failed", pointer)


async def test_a_job_is_over_at_the_deadline_of_its_blueprint(muster: TestMuster) -> None:
    waits = {"wait_for": "never", "ok": "finished"}
    blueprint = Blueprint.from_dict({**spec(waits), "deadline": "2h", "retention": "3d"})
    assert blueprint.retention_ms == 3 * 86_400_000
    job = await muster.start(blueprint)
    await muster.advance("2h 1m")
    assert job.status == "failed"


async def test_a_wait_takes_planned_uploads() -> None:
    start = {"wait_for": "sent", "uploads": "${input.files}", "within": "1h", "late": "failed", "ok": "finished"}
    assert (await decided(made(start), {"files": ["f1", "f2", "f1"]})).uploads == ("f1", "f2")


async def test_a_blueprint_runs_by_its_own_schedule(muster: TestMuster) -> None:
    schedule = {"every": "15m", "input": {"n": 3}, "overlap": "allow"}
    muster.add(Blueprint.from_dict({**spec({"done": "${input.n}"}), "schedule": schedule}))
    await muster.advance("31m")
    assert [job.result for job in muster.jobs("made")] == [3, 3]


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ("${input.photos}", ("a", "b")),
        (["${input.photo}", "${input.missing}"], ("a",)),
        ("${input.missing}", ()),
        (["fixed"], ("fixed",)),
    ],
)
def test_a_blueprint_says_which_files_its_input_names(files: object, named: tuple[str, ...]) -> None:
    blueprint = Blueprint.from_dict({**spec({"done": 1}), "files": files})
    assert blueprint.files_named({"photos": ["a", "b", "a"], "photo": "a"}) == named


@pytest.mark.parametrize("files", ["${input.photo}", "${length(input.number)}", ["${input.number}"]])
def test_files_that_cannot_be_told_are_a_fault_of_the_input(files: object) -> None:
    blueprint = Blueprint.from_dict({**spec({"done": 1}), "files": files})
    with pytest.raises(InputInvalid, match="its files cannot be told"):
        blueprint.files_named({"photo": "a", "number": 3})


async def decided(blueprint: Blueprint[Any, Any], data: dict[str, Any]) -> Any:
    """What the start decides, as the engine gets it."""
    return await blueprint.states["start"].call(job_for(data), None)


# The drawing


travel = Blueprint("travel")


@travel.start
async def pay(job: Job) -> Next:
    return job.run("charge", {}, ok=fly, error=failed, undo="refund")


@travel.state
async def fly(job: Job, receipt: object) -> Next:
    return job.race(
        job.run("wind", {}, ok=home, error=failed),
        job.child("train", {}, ok=home),
        job.wait_for("stay", ok=home),
        job.ask("Still?", no=failed),
        job.sleep("5m", then=home),
        cancelled=failed,
    )


@travel.state
async def home(job: Job, argument: object) -> Next:
    return job.child("taxi", {}, ok=finished, error=failed)


def test_data_is_drawn_as_the_same_in_python_is() -> None:
    racers: list[dict[str, Any]] = [
        {"run": "wind", "ok": "home", "error": "failed"},
        {"child": "train", "ok": "home"},
        {"wait_for": "stay", "ok": "home"},
        {"ask": "Still?", "choices": {"no": "failed"}},
        {"sleep": "5m", "then": "home"},
    ]
    states: dict[str, Any] = {
        "pay": {"run": "charge", "ok": "fly", "error": "failed", "undo": "refund"},
        "fly": {"race": racers, "cancelled": "failed"},
        "home": {"child": "taxi", "ok": "finished", "error": "failed"},
    }
    same = Blueprint.from_dict({"name": "travel", "start": "pay", "states": states})
    assert sorted(map(str, same.graph.edges)) == sorted(map(str, travel.graph.edges))
    assert same.graph.undos == travel.graph.undos == (("pay", "refund"),)
    assert sorted(dot(same.graph).splitlines()) == sorted(dot(travel.graph).splitlines())
