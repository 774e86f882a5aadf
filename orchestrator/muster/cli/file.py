"""The commands `muster file …`."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from muster.cli.connection import HERE, Server, connect
from muster.cli.exits import CommandFailed, Exit
from muster.cli.job_ids import resolve_job
from muster.cli.output import Format, age, hint, print_json, print_table

app = App(name="file", help="Send, fetch and list files.", help_format="plaintext")


@app.command
async def put(
    path: Annotated[Path, Parameter(help="The file to send.")],
    /,
    *,
    name: Annotated[str | None, Parameter(help="What it is called there, else as here.")] = None,
    output: Format = "table",
    server: Server = HERE,
) -> None:
    """Upload a file and print its id, for the input of jobs."""
    _refuse_what_is_no_file(path)
    async with connect(server) as client:
        sent = await client.upload(path, name=name)
    if output == "json":
        print_json(sent.model_dump(mode="json"))
    else:
        print(sent.file_id)


@app.command
async def get(
    file: Annotated[str, Parameter(help="Id of an upload or artifact.")],
    path: Annotated[Path, Parameter(help="Where to put it.")],
    /,
    *,
    server: Server = HERE,
) -> None:
    """Download a file. It is whole when this ends, and not there before."""
    async with connect(server) as client:
        await client.download(file, path)
    hint(f"{path} is there")


@app.command
async def ls(
    job: Annotated[str, Parameter(help="A job's id, the beginning of it, or `@last`.")],
    /,
    *,
    output: Format = "table",
    server: Server = HERE,
) -> None:
    """List the artifacts of a job, oldest first."""
    async with connect(server) as client:
        found = await client.artifacts(await resolve_job(client, job))
    if output == "json":
        print_json({"items": [artifact.model_dump(mode="json") for artifact in found]})
        return
    rows = [(one.artifact_id, one.name, one.size, one.media_type, age(one.created_at)) for one in found]
    print_table(["ID", "NAME", "BYTES", "TYPE", "AGE"], rows)


def _refuse_what_is_no_file(path: Path) -> None:
    if not path.is_file():
        raise CommandFailed(f"{path} is not a file", way_out="muster file put PATH", code=Exit.USAGE)
