"""The commands that operate on jobs: `muster job pause`, `resume`."""

from typing import Annotated

from cyclopts import Parameter

from muster.cli.connection import HERE, Server, connect
from muster.cli.job import JobName, as_json
from muster.cli.job_ids import resolve_job
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
