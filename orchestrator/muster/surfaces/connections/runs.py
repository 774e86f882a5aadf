"""Running connections: one and wait, one in the background, all that are enabled."""

from aiohttp import web

from muster.api.call import Call, json_answer
from muster.errors import ErrorCode, MusterError
from muster.surfaces.connections.outcome import report_of, result_of, why_unexpected
from muster.surfaces.connections.parameters import flag
from muster.surfaces.output import collected_output


async def run(call: Call) -> web.Response:
    """Run a connection and answer when it has ended, well or badly. It goes on where the caller leaves."""
    name = call.path["name"]
    with_report = flag("include_report", call.query("include_report"))
    wait_ms = int(call.edge.settings.sync_wait_seconds * 1000)
    submitted = await call.engine.connections.run(call.tenant, name, wait_ms=wait_ms)
    record = submitted.record or await call.engine.job(call.tenant, submitted.job_id)
    if why := why_unexpected(record):
        raise MusterError(
            ErrorCode.RUN_FAILED,
            f"The run of {name!r} came to no result: {why}.",
            hint="GET /task_status/{run_id} shows how it stands.",
            extra={"run_id": record.id},
        )
    report = None
    if with_report:
        report = report_of(record, (await collected_output(call.engine, call.tenant, record.id)).stdout)
    return json_answer(result_of(record, report))


async def run_async(call: Call) -> web.Response:
    """Start a run and answer at once."""
    name = call.path["name"]
    submitted = await call.engine.connections.run(call.tenant, name)
    return json_answer({"message": f"Started sync for {name}", "task_id": submitted.job_id, "connection": name})


async def run_selected(call: Call) -> web.Response:
    """Start one run after the other of all enabled connections, and answer at once."""
    names, submitted = await call.engine.connections.run_enabled(call.tenant)
    if submitted is None:
        return json_answer({"message": "No connection is enabled", "task_id": None, "connections": []})
    count = f"{len(names)} connection{'' if len(names) == 1 else 's'}"
    message = f"Started batch sync for {count}"
    return json_answer({"message": message, "task_id": submitted.job_id, "connections": list(names)})
