"""The commands `muster pipeline …`: connections, which are saved jobs with a name."""

from datetime import datetime
from typing import Annotated, Any

from cyclopts import App, Parameter

from muster.cli.connection import HERE, Server, connect
from muster.cli.exits import Exit
from muster.cli.job import Timeout, read_input, report_end
from muster.cli.job_ids import remember_job
from muster.cli.output import Format, age, hint, print_json, print_table
from muster.cli.watch import watch_job

app = App(name="pipeline", help="Saved connections: list them, run them, see how they are.", help_format="plaintext")

Name = Annotated[str, Parameter(help="A connection's name.")]


@app.command(name=("ls", "list"))
async def ls(*, output: Format = "table", server: Server = HERE) -> None:
    """List connections: the server's, then one's own."""
    async with connect(server) as client:
        found = await client.connections()
    if output == "json":
        print_json({"items": found})
        return
    print_table(["NAME", "TYPE", "ENABLED", "SCHEDULE", "NEXT", "LAST", "ENDED"], [_row(one) for one in found])


@app.command
async def status(name: Name, /, *, output: Format = "table", server: Server = HERE) -> None:
    """Show one connection: what it runs, when, and how it went last."""
    async with connect(server) as client:
        found = await client.connection(name)
    if output == "json":
        print_json(found)
        return
    last, slot = found["last_run"] or {}, found["last_slot"] or {}
    source = "the server's file" if found["source"] == "file" else "saved by API"
    print(f"{found['name']}  {found['type']}  {source}{'' if found['enabled'] else ', disabled'}")
    if found["schedule"]:
        print(f"  schedule  {found['schedule']} {found['timezone']}, next {found['next_run_at'] or 'never'}")
    if slot:
        print(f"  last slot {slot['at']} {slot['outcome']} {slot['detail']}")
    if last:
        print(f"  last run  {last['job_id']} {last['status']} {last['finished_at']} {last['error'] or ''}".rstrip())


@app.command
async def run(
    name: Name,
    /,
    *,
    watch: Annotated[bool, Parameter(name=["--watch", "-w"], negative="", help="Show it until it is final.")] = False,
    timeout: Timeout = None,
    output: Format = "table",
    server: Server = HERE,
) -> int:
    """Start a run and print the id of its job; with --watch, its result."""
    async with connect(server) as client:
        job_id = await client.run_connection(name)
        remember_job(job_id)
        if watch:
            hint(f"job {job_id}")
            return report_end(await watch_job(client, job_id, timeout_s=timeout), output)
    if output == "json":
        print_json({"job_id": job_id})
    else:
        print(job_id)
        hint("try: muster job watch @last")
    return Exit.DONE


@app.command
async def save(
    name: Name,
    /,
    *,
    definition: Annotated[
        str, Parameter(name=["--definition", "-d"], help="A JSON object, `@file`, or `-` for standard input.")
    ],
    output: Format = "table",
    server: Server = HERE,
) -> None:
    """Save a connection, in place of the one of that name if there is one."""
    given = read_input(definition)
    async with connect(server) as client:
        saved = await client.save_connection(name, given)
    if output == "json":
        print_json(saved)
    else:
        print(saved["name"])


@app.command
async def rm(name: Name, /, *, server: Server = HERE) -> None:
    """Forget a connection. Its runs stay."""
    async with connect(server) as client:
        await client.delete_connection(name)
    hint(f"{name} is gone")


def _row(one: dict[str, Any]) -> list[object]:
    last = one["last_run"] or {}
    return [
        one["name"],
        one["type"],
        "yes" if one["enabled"] else "no",
        one["schedule"] or "-",
        one["next_run_at"] or "-",
        last.get("status", "-"),
        age(_moment(last.get("finished_at"))),
    ]


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
