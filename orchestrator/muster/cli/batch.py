"""The commands `muster batch …`."""

import asyncio
import sys
from contextlib import aclosing
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


STREAMED_ABOVE = 1000
"""A file with more lines is sent as a stream."""
WATCH_EVERY_S = 1.0


@app.command
async def start(
    file: Annotated[str, Parameter(help="One JSON object a line: blueprint, initial_data, tags. `-`: standard input.")],
    /,
    *,
    id: Annotated[  # noqa: A002 -- the word people type
        str | None, Parameter(help="Names the batch; the same id with the same jobs starts none of them twice.")
    ] = None,
    stream: Annotated[
        bool,
        Parameter(negative="", help="Line by line: valid ones are taken, the others told. So above 1000 lines."),
    ] = False,
    blueprint: Annotated[str | None, Parameter(help="Of lines that name none; a stream only.")] = None,
    webhook: Annotated[str | None, Parameter(help="Told once, when the last job is over; a stream only.")] = None,
    output: Format = "table",
    server: Server = HERE,
) -> int:
    """Start the jobs of a file and print the batch's id: up to 1000 all or none, more as a stream."""
    if stream or blueprint or webhook:
        return await _load(file, id, blueprint, webhook, output, server)
    jobs = read_members(file)
    if len(jobs) > STREAMED_ABOVE:
        return await _load(jobs, id, None, None, output, server)
    async with connect(server) as client:
        started = await client.start_batch(jobs, batch_id=id)
    if output == "json":
        print_json(started.model_dump(mode="json"))
    else:
        print(started.batch_id)
        hint(f"{len(started.jobs)} jobs; try: muster batch status {started.batch_id}")
    return Exit.DONE


async def _load(
    jobs: str | list[dict[str, Any]],
    batch_id: str | None,
    blueprint: str | None,
    webhook: str | None,
    output: Format,
    server: Server,
) -> int:
    given: Any = read_members(jobs) if jobs == "-" else jobs
    async with connect(server) as client:
        loaded = await client.load_batch(given, batch_id=batch_id, blueprint=blueprint, webhook_url=webhook)
    if output == "json":
        print_json(loaded.model_dump(mode="json"))
        return Exit.FAILED if loaded.refused else Exit.DONE
    print(loaded.batch_id)
    for error in loaded.errors[:20]:
        hint(f"line {error.line}: {error.code}: {error.detail}")
    hint(f"{loaded.accepted} jobs made, {loaded.already_there} there before, {loaded.refused} lines refused")
    hint(f"try: muster batch watch {loaded.batch_id}")
    return Exit.FAILED if loaded.refused else Exit.DONE


@app.command
async def watch(batch: BatchName, /, *, server: Server = HERE) -> int:
    """Show how far a batch is, until its last job is over; fails where one of them did not finish."""
    told = ""
    async with connect(server) as client:
        while True:
            found = await client.batch(batch)
            counted = ", ".join(f"{count} {status}" for status, count in sorted(found.counts.items()))
            if counted != told:
                print(f"{found.total} jobs: {counted}", flush=True)
                told = counted
            if found.is_over:
                return Exit.DONE if set(found.counts) <= {"finished"} else Exit.FAILED
            await asyncio.sleep(WATCH_EVERY_S)


@app.command
async def results(
    batch: BatchName,
    /,
    *,
    failed: Annotated[bool, Parameter(negative="", help="Only those that failed or were put aside.")] = False,
    status: Annotated[str | None, Parameter(help="Only of these statuses, separated by commas.")] = None,
    server: Server = HERE,
) -> None:
    """Print the results of a streamed batch, one JSON object a line, in the order of its lines."""
    words = ["failed", "quarantined"] if failed else [] if status is None else status.split(",")
    async with connect(server) as client:
        async with aclosing(client.batch_results(batch, status=words)) as found:
            async for result in found:
                sys.stdout.buffer.write(orjson.dumps(result.model_dump(mode="json")) + b"\n")
        sys.stdout.flush()


@app.command
async def status(batch: BatchName, /, *, output: Format = "table", server: Server = HERE) -> None:
    """Show where the jobs of a batch stand."""
    async with connect(server) as client:
        found = await client.batch(batch)
    if output == "json":
        print_json(found.model_dump(mode="json"))
        return
    if found.jobs:  # a stream has counts only
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
