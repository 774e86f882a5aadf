"""Blueprints of the system tests. The task types come with the input, so that tests do not meet each other."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from muster import Blueprint, Decision, Escalate, Job, Next, TaskError, failed, finished
from muster_worker import Needs

one = Blueprint("one", description="One task.")


@one.start
async def one_task(job: Job) -> Next:
    return job.run(
        job.input["type"],
        job.input.get("params", {}),
        ok=finished,
        timeout=job.input.get("timeout"),
        retries=job.input.get("retries"),
        priority=job.input.get("priority", 0),
        **job.input.get("limits", {}),
    )


three = Blueprint("three", description="Three tasks, one after another.")


@three.start
async def first(job: Job) -> Next:
    return job.run(job.input["type"], {"step": 1}, ok=second)


@three.state
async def second(job: Job, result: dict[str, Any]) -> Next:
    return job.run(job.input["type"], {"step": result["step"] + 1}, ok=third)


@three.state
async def third(job: Job, result: dict[str, Any]) -> Next:
    return job.run(job.input["type"], {"step": result["step"] + 1}, ok=finished)


fan = Blueprint("fan", description="Many tasks at once.")


@fan.start
async def spread(job: Job) -> Next:
    return job.map(job.input["type"], list(range(job.input["count"])), ok=gather, timeout=job.input.get("timeout"))


@fan.state
async def gather(job: Job, results: list[Any]) -> Next:
    return job.done({"results": results})


careful = Blueprint("careful", description="Declares a way for everything.")


@careful.start
async def try_it(job: Job) -> Next:
    return job.run(
        job.input["type"],
        {},
        ok=finished,
        error=after_error,
        cancelled=after_cancel,
        on={"needs_review": review},
        retries=job.input.get("retries", 0),
        timeout=job.input.get("timeout"),
    )


@careful.state
async def after_error(job: Job, error: TaskError) -> Next:
    return job.done({"handled": error.code, "message": error.message})


@careful.state
async def after_cancel(job: Job) -> Next:
    return job.done({"cleaned_up": True})


@careful.state
async def review(job: Job, result: Any) -> Next:
    return job.ask("Is this right?", approved=finished, rejected=failed)


choosy = Blueprint("choosy", description="A task that needs something of its worker.")


@choosy.start
async def choose_worker(job: Job) -> Next:
    return job.run(job.input["type"], {}, ok=finished, needs=Needs(**job.input["needs"]))


tidy = Blueprint("tidy", description="Cleans up by another task when it is cancelled.")


@tidy.start
async def make_a_mess(job: Job) -> Next:
    return job.run(job.input["type"], {}, ok=finished, cancelled=clean_up)


@tidy.state
async def clean_up(job: Job) -> Next:
    return job.run(job.input["after"], {}, ok=finished)


ask = Blueprint("ask", description="A question.")


@ask.start
async def question(job: Job) -> Next:
    return job.ask("Go on?", approved=answered, rejected=failed)


@ask.state
async def answered(job: Job, answer: Decision) -> Next:
    return job.done({"decision": answer.decision, "by": answer.by})


panel = Blueprint("panel", description="A question to named people.")


@panel.start
async def to_the_panel(job: Job) -> Next:
    return job.ask(
        "Go on?",
        approved=panel_answered,
        rejected=failed,
        approvers=job.input["approvers"],
        quorum=job.input["quorum"],
        within="1h",
        escalate=Escalate(after=job.input.get("after", "10m"), to=["chief"]),
    )


@panel.state
async def panel_answered(job: Job, answer: Decision) -> Next:
    return job.done({"by": sorted(given.by for given in answer.answers)})


auction = Blueprint("auction", description="A question, a task and a signal, whichever is first.")


@auction.start
async def bid(job: Job) -> Next:
    return job.race(
        job.ask("Sell now?", approved=sold, rejected=failed),
        job.run(job.input["type"], {}, ok=bought),
        job.wait_for("stop", ok=finished),
    )


@auction.state
async def sold(job: Job, answer: Decision) -> Next:
    return job.done({"sold_by": answer.by})


@auction.state
async def bought(job: Job, result: Any) -> Next:
    return job.done({"bought": result})


hurry = Blueprint("hurry", description="A question with a deadline.")


@hurry.start
async def soon(job: Job) -> Next:
    return job.ask("Go on?", approved=finished, within=job.input["within"], late=too_late)


@hurry.state
async def too_late(job: Job, answer: Decision) -> Next:
    return job.done({"decision": answer.decision})


gate = Blueprint("gate", description="A task, then a question: the entry of the question can be watched.")


@gate.start
async def before_gate(job: Job) -> Next:
    return job.run(job.input["type"], {}, ok=at_gate)


@gate.state
async def at_gate(job: Job, result: Any) -> Next:
    return job.ask("Pass?", approved=finished, rejected=failed)


nap = Blueprint("nap", description="Sleeps, then ends.")


@nap.start
async def lie_down(job: Job) -> Next:
    return job.sleep(job.input["seconds"], then=awake)


@nap.state
async def awake(job: Job) -> Next:
    return job.done({"awake": True})


# Blueprints that are wrong at run time.

raises = Blueprint("raises", description="Raises.")


@raises.start
async def raise_it(job: Job) -> Next:
    if job.input.get("never"):
        return job.done()
    raise LookupError("the price list is gone")


nonsense = Blueprint("nonsense", description="Returns what is no decision.")


@nonsense.start
async def return_it(job: Job) -> Next:
    if job.input.get("never"):
        return job.done()
    return {"status": "done"}  # type: ignore[return-value]


hangs = Blueprint("hangs", description="Awaits what never comes.")


@hangs.start
async def await_it(job: Job) -> Next:
    await asyncio.Event().wait()
    return job.done()


sleeps = Blueprint("sleeps", description="Blocks the event loop in a call.")


@sleeps.start
async def sleep_it(job: Job) -> Next:
    time.sleep(60)  # noqa: ASYNC251  the mistake that is tested
    return job.done()


spins = Blueprint("spins", description="Blocks the event loop in a loop.")


@spins.start
async def spin_it(job: Job) -> Next:
    while not job.input.get("never"):
        pass
    return job.done()


stuck = Blueprint("stuck", description="A plain function that does not return.")


@stuck.start
def stick(job: Job) -> Next:
    time.sleep(30)
    return job.done()


hangs_after = Blueprint("hangs_after", description="Its second state waits for a file beside the server's log.")


@hangs_after.start
async def before(job: Job) -> Next:
    return job.run(job.input["type"], {}, ok=after)


@hangs_after.state
async def after(job: Job, result: Any) -> Next:
    while not Path(os.environ["MUSTER_CLIENTS_FILE"]).with_name("hangs_after.go").exists():
        await asyncio.sleep(0.02)
    return job.done({"went_on": True})


plain = Blueprint("plain", description="A plain function that does return.")


@plain.start
def plainly(job: Job) -> Next:
    return job.done({"n": 1})


endless = Blueprint("endless", description="Goes round and round.")


@endless.start
async def ping(job: Job) -> Next:
    return job.go(pong)


@endless.state
async def pong(job: Job) -> Next:
    return job.done() if job.input.get("never") else job.go(ping)


hoards = Blueprint("hoards", description="Keeps more than a job may.")


@hoards.start
async def hoard(job: Job) -> Next:
    job.data["pile"] = "x" * 3_000_000
    return job.ask("Keep it?", approved=finished)


family = Blueprint("family", description="Starts another job and answers for it.")


@family.start
async def start_child(job: Job) -> Next:
    return job.child(
        job.input["blueprint"],
        job.input.get("input", {}),
        ok=child_is_done,
        error=child_is_broken if job.input.get("mends") else None,
        cancelled=tidy_up if job.input.get("tidies") else None,
        spread=bool(job.input.get("spread")),
    )


@family.state
async def child_is_done(job: Job, result: Any) -> Next:
    return job.done({"child": result})


@family.state
async def child_is_broken(job: Job, error: TaskError) -> Next:
    return job.done({"code": error.code, "message": error.message})


@family.state
async def tidy_up(job: Job) -> Next:
    return job.done({"tidied": True})


bottomless = Blueprint("bottomless", description="Starts itself.")


@bottomless.start
async def once_more(job: Job) -> Next:
    if job.input.get("enough"):
        return job.done()
    return job.child("bottomless", {}, ok=finished)


patient = Blueprint("patient", description="Waits for two signals of one name.")


@patient.start
async def wait_for_one(job: Job) -> Next:
    return job.wait_for(
        "go", ok=wait_for_two, within=job.input.get("within"), late=not_told if job.input.get("within") else None
    )


@patient.state
async def wait_for_two(job: Job, told: dict[str, Any]) -> Next:
    job.data["told"] = told
    return job.wait_for("go", ok=heard)


@patient.state
async def heard(job: Job, told: dict[str, Any]) -> Next:
    return job.done({"told": [job.data["told"], told]})


@patient.state
async def not_told(job: Job) -> Next:
    return job.done({"told": []})
