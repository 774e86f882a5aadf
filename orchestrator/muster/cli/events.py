"""The command `muster events`."""

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from muster.cli.connection import HERE, Server, connect
from muster.cli.job_ids import resolve_job
from muster.cli.output import Format

if TYPE_CHECKING:
    from muster_worker.client import LiveEvent


async def events(
    *,
    job: Annotated[
        str | None, Parameter(help="One job's id, the beginning of it, or `@last`; else all jobs, from now on.")
    ] = None,
    output: Format = "table",
    server: Server = HERE,
) -> None:
    """Show what happens to jobs, as it happens: a line for each event; with -o json a line of JSON."""
    async with connect(server) as client:
        job_id = None if job is None else await resolve_job(client, job)
        async for event in client.events(job_id):
            if output == "json":
                print(event.model_dump_json(exclude_none=True), flush=True)
            else:
                print(_line(event), file=sys.stdout, flush=True)


def _line(event: "LiveEvent") -> str:
    return f"{event.job_id}  {event.type:<8}  {_what(event)}".rstrip()


def _what(event: "LiveEvent") -> str:
    if event.line is not None:
        return f"{event.line.stream}: {event.line.text}"
    if event.step is not None:
        return f"{event.step.name}: {event.step.status}"
    if event.artifact is not None:
        return f"{event.artifact.name} ({event.artifact.size} bytes)"
    if event.job is not None:
        share = f" {event.job.progress:.0%}" if event.job.progress is not None else ""
        return f"{event.job.status}{share}  {event.job.error_message or ''}"
    return ""
