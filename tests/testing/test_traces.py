"""The W3C trace context of a request goes along to whatever is done for it."""

from typing import Any

import pytest
from muster import Blueprint, Job, Next, finished
from muster.engine.views import JobOrder
from muster.testing import TestMuster
from muster.testing.limits import TENANT
from muster_worker import Ctx

TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=1"}
above, below = Blueprint("above"), Blueprint("below")


@above.start
async def first(job: Job) -> Next:
    return job.run("first", {}, ok=go_below)


@above.state
async def go_below(job: Job) -> Next:
    return job.child("below", {}, ok=finished, spread=bool(job.input["spread"]))


@below.start
async def second(job: Job) -> Next:
    return job.run("second", {}, ok=finished)


@pytest.mark.parametrize("spread", [False, True])
async def test_the_trace_of_a_request_reaches_the_tasks_of_the_job_and_of_its_children(
    muster: TestMuster, *, spread: bool
) -> None:
    muster.add(above, below)
    seen: list[tuple[str, dict[str, str]]] = []

    def note(ctx: Ctx, _: dict[str, Any]) -> dict[str, Any]:
        seen.append((ctx.job_id, dict(ctx.tracing_context)))
        return {}

    for name in ("first", "second"):
        muster.on(name, note)
    order = JobOrder(TENANT, "above", {"spread": spread}, trace=TRACE)
    job = (await muster.machine.ask(lambda engine: engine.submit(order))).job_id
    await muster.machine.settle()
    (child,) = muster.jobs("below")
    await child.ends()
    assert seen == [(job, TRACE), (child.id, TRACE)]
