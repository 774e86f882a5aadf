"""The commands that operate on jobs: `muster job pause`, `resume`, `retry`."""

from typing import Annotated, Any

import orjson
from cyclopts import Parameter

from muster.cli.connection import HERE, Server, connect
from muster.cli.exits import CommandFailed, Exit
from muster.cli.job import JobName, as_json
from muster.cli.job_ids import remember_job, resolve_job
from muster.cli.output import Format, print_json

By = Annotated[str, Parameter(help="Who does it, for the history.")]


async def pause(
    job: JobName,
    /,
    *,
    reason: Annotated[str, Parameter(name=["--reason", "-r"], help="Why; others are shown it.")] = "",
    by: By = "",
    output: Format = "table",
    server: Server = HERE,
) -> None:
    """Hold a job: nothing of it is decided or handed out until it is resumed."""
    async with connect(server) as client:
        state = await client.pause(await resolve_job(client, job), reason=reason, by=by)
    if output == "json":
        print_json(as_json(state))
    else:
        print(f"{state.id}  paused")


async def resume(job: JobName, /, *, by: By = "", output: Format = "table", server: Server = HERE) -> None:
    """Let go of a paused job."""
    async with connect(server) as client:
        state = await client.resume(await resolve_job(client, job), by=by)
    if output == "json":
        print_json(as_json(state))
    else:
        print(f"{state.id}  {state.status}")


async def retry(
    job: JobName,
    /,
    *,
    state: Annotated[str | None, Parameter(help="Where to start; the state entered last if not given.")] = None,
    argument: Annotated[
        str | None, Parameter(help="What the state is entered with, as JSON; else as recorded.")
    ] = None,
    data: Annotated[str | None, Parameter(help="The blueprint's own data, as JSON; else as recorded.")] = None,
    new: Annotated[bool, Parameter(negative="", help="As a new job, linked to this one.")] = False,
    newest: Annotated[bool, Parameter(negative="", help="On the newest version of the blueprint.")] = False,
    by: By = "",
    output: Format = "table",
    server: Server = HERE,
) -> None:
    """Start a job that is over again, in one of its states."""
    given = {"argument": argument, "data": data}
    edited = {name: read_json(f"--{name}", text) for name, text in given.items() if text is not None}
    async with connect(server) as client:
        job_id = await resolve_job(client, job)
        again = await client.retry(job_id, state=state, new=new, version="newest" if newest else "own", by=by, **edited)
    remember_job(again.id)
    if output == "json":
        print_json(as_json(again))
    else:
        print(f"{again.id}  {again.status}  in state {again.current_state}")


def read_json(option: str, text: str) -> Any:
    """Raises CommandFailed."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as wrong:
        way_out = f"""{option} '{{"sku": "A1"}}', or '"words"' for a text"""
        raise CommandFailed(f"{option} is not JSON: {wrong}", way_out=way_out, code=Exit.USAGE) from None
