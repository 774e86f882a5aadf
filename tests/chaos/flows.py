"""Blueprints that only the crash-point sweep needs, beside those of tests/system."""

from typing import Any

from muster import Blueprint, Job, Next, TaskError, finished

HOPS = 60
"""More than run inside one turn: the job is saved on the way."""

hops = Blueprint("hops", description="Many states without any task, then one task.")


@hops.start
async def hop(job: Job) -> Next:
    job.data["hops"] = job.data.get("hops", 0) + 1
    return job.go(hop) if job.data["hops"] < HOPS else job.go(land)


@hops.state
async def land(job: Job) -> Next:
    return job.run(job.input["type"], {"hops": job.data["hops"]}, ok=finished)


saga = Blueprint("saga", description="Two steps and a failure: what was done is undone, newest first.")


@saga.start
async def first_step(job: Job) -> Next:
    return job.run(job.input["type"], {"step": 1}, ok=more_steps, undo=job.input["type"])


@saga.state
async def more_steps(job: Job, result: Any) -> Next:
    return job.map(job.input["type"], [{"step": 2}, {"step": 3}], ok=regret, undo=job.input["type"])


@saga.state
async def regret(job: Job, results: list[Any]) -> Next:
    return job.fail("it was for nothing")


contest = Blueprint("contest", description="A task, a signal that never comes and a timer that is far: the task wins.")


@contest.start
async def compete(job: Job) -> Next:
    task = job.run(job.input["type"], {"won": True}, ok=finished)
    return job.race(task, job.wait_for("never", ok=finished), job.sleep("1h", then=finished))


brittle = Blueprint("brittle", description="Many tasks, of which one failure is enough.")


@brittle.start
async def scatter(job: Job) -> Next:
    return job.map(job.input["type"], list(range(job.input["count"])), ok=unscathed, error=broken)


@brittle.state
async def unscathed(job: Job, results: list[Any]) -> Next:
    return job.done({"results": results})


@brittle.state
async def broken(job: Job, error: TaskError) -> Next:
    return job.run(job.input["type"], {"repaired": error.code}, ok=finished)
