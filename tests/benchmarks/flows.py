"""Blueprints of the benchmarks: no-op steps, a thousand-wide map, a task that keeps a file, tasks that print."""

from typing import Any

from muster import Blueprint, Job, Next, finished

one_step = Blueprint("one_step")


@one_step.start
async def only(job: Job[dict[str, Any]]) -> Next:
    return job.run("bench.noop", job.input, ok=finished)


three_steps = Blueprint("three_steps")


@three_steps.start
async def first(job: Job[dict[str, Any]]) -> Next:
    return job.run("bench.noop", job.input, ok=second)


@three_steps.state
async def second(job: Job[dict[str, Any]], result: dict[str, Any]) -> Next:
    return job.run("bench.noop", result, ok=third)


@three_steps.state
async def third(job: Job[dict[str, Any]], result: dict[str, Any]) -> Next:
    return job.run("bench.noop", result, ok=finished)


keep = Blueprint("keep")


@keep.start
async def keeping(job: Job[dict[str, Any]]) -> Next:
    return job.run("bench.keep", job.input, ok=kept, timeout="1h")


@keep.state
async def kept(job: Job[dict[str, Any]], result: dict[str, Any]) -> Next:
    return job.done(result)


wide = Blueprint("wide")


@wide.start
async def fan(job: Job[dict[str, Any]]) -> Next:
    return job.map("bench.noop", [{"n": n} for n in range(int(job.input["width"]))], ok=joined)


@wide.state
async def joined(job: Job[dict[str, Any]], results: list[dict[str, Any]]) -> Next:
    return job.done({"count": len(results)})


prints = Blueprint("prints")


@prints.start
async def printing(job: Job[dict[str, Any]]) -> Next:
    asked = {name: job.input[name] for name in ("lines", "per_s", "gate")}
    tasks = [{"who": str(number), **asked} for number in range(int(job.input["tasks"]))]
    return job.map("bench.print", tasks, ok=printed, timeout="1h")


@prints.state
async def printed(job: Job[dict[str, Any]], results: list[dict[str, Any]]) -> Next:
    return job.done({"seconds": [result["seconds"] for result in results]})
