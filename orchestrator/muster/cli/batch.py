"""The commands `muster batch …`."""

import sys
from pathlib import Path
from typing import Annotated, Any

import orjson
from cyclopts import App, Parameter

from muster.cli.connection import HERE, Server, connect
from muster.cli.cost import euros
from muster.cli.exits import CommandFailed, Exit
from muster.cli.output import Format, hint, print_json, print_table

app = App(name="batch", help="Start many jobs together, look at and cancel them.", help_format="plaintext")
BatchName = Annotated[str, Parameter(help="The batch's id.")]


@app.command
async def start(
    file: Annotated[str, Parameter(help="One JSON object a line: blueprint, initial_data, tags. `-`: standard input.")],
    /,
    *,
    id: Annotated[  # noqa: A002 -- the word people type
        str | None, Parameter(help="Names the batch; the same id with the same jobs starts none of them twice.")
    ] = None,
    output: Format = "table",
    server: Server = HERE,
) -> None:
    """Start the jobs of a file, all or none, and print the batch's id."""
    jobs = read_members(file)
    async with connect(server) as client:
        started = await client.start_batch(jobs, batch_id=id)
    if output == "json":
        print_json(started.model_dump(mode="json"))
    else:
        print(started.batch_id)
        hint(f"{len(started.jobs)} jobs; try: muster batch status {started.batch_id}")


@app.command
async def status(batch: BatchName, /, *, output: Format = "table", server: Server = HERE) -> None:
    """Show where the jobs of a batch stand."""
    async with connect(server) as client:
        found = await client.batch(batch)
    if output == "json":
        print_json(found.model_dump(mode="json"))
        return
    print_table(["JOB", "STATUS"], [(job.job_id, job.status) for job in found.jobs])
    counted = ", ".join(f"{count} {status}" for status, count in sorted(found.counts.items()))
    hint(f"{found.total} jobs: {counted}; {euros(found.cost_micros)} EUR")


@app.command
async def cancel(batch: BatchName, /, *, output: Format = "table", server: Server = HERE) -> None:
    """Cancel the jobs of a batch that are not over."""
    async with connect(server) as client:
        cancelling = await client.cancel_batch(batch)
    if output == "json":
        print_json({"batch_id": batch, "cancelling": cancelling})
    else:
        print(f"{batch}  cancelling {cancelling} jobs")


def read_members(file: str) -> list[dict[str, Any]]:
    """The objects of an NDJSON file; empty lines are passed over.

    Raises:
        CommandFailed: it cannot be read, or a line is no JSON object.
    """
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as wrong:
        raise CommandFailed(
            f"{file}: {wrong.strerror}", way_out="name a file that exists, or - for standard input", code=Exit.USAGE
        ) from None
    return [_member(file, number, line) for number, line in enumerate(data.splitlines(), 1) if line.strip()]


def _member(file: str, number: int, line: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise CommandFailed(
            f"{file}, line {number} is no JSON object",
            way_out="""one job a line: {"blueprint": "hello", "initial_data": {"name": "Ada"}}""",
            code=Exit.USAGE,
        )
    return value
