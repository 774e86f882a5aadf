"""`muster approve` and `muster reject`."""

import getpass
from typing import Annotated

from cyclopts import Parameter

from muster.cli.connection import HERE, Server, connect
from muster.cli.job import JobName
from muster.cli.job_ids import resolve_job
from muster.cli.output import Format, print_json

Comment = Annotated[str, Parameter(name=["--comment", "-m"], help="Goes into the job's history.")]
By = Annotated[str, Parameter(help="Who decides; the user's name by default.")]
DecisionWord = Annotated[str, Parameter(help="Another of the decisions that the job offers.")]


async def approve(
    job: JobName,
    /,
    *,
    decision: DecisionWord = "approved",
    comment: Comment = "",
    by: By = "",
    output: Format = "table",
    server: Server = HERE,
) -> None:
    """Answer a waiting job with `approved`, or another of its decisions."""
    await _decide(job, decision, comment, by, output, server)


async def reject(
    job: JobName, /, *, comment: Comment = "", by: By = "", output: Format = "table", server: Server = HERE
) -> None:
    """Answer a waiting job with `rejected`."""
    await _decide(job, "rejected", comment, by, output, server)


async def _decide(job: str, decision: str, comment: str, by: str, output: Format, server: Server) -> None:
    async with connect(server) as client:
        job_id = await resolve_job(client, job)
        await client.decide(job_id, decision, note=comment, by=by or _user())
    if output == "json":
        print_json({"job_id": job_id, "decision": decision})
    else:
        print(f"{job_id}  {decision}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return ""
