"""The commands `muster limit …` and `muster queue …`, and those that pause and resume a blueprint."""

from shlex import quote
from typing import Annotated, Any, Final

from cyclopts import App, Parameter

from muster.cli.connection import HERE, Server, connect
from muster.cli.output import Format, hint, print_json, print_table

app = App(name="limit", help="How many tasks run at once, and start in a time.", help_format="plaintext")
queues = App(name="queue", help="Pause and resume task types.", help_format="plaintext")

_COLUMNS: Final = ("SCOPE", "NAME", "RUNNING", "MAX", "RATE", "OPENS", "WEIGHT", "SOURCE")

Scope = Annotated[str, Parameter(help="global, tenant, task, blueprint or key.")]
Name = Annotated[str, Parameter(help="What it is for; a key's may stand for a group, as in 'site:*'.")]
BlueprintName = Annotated[str, Parameter(help="A blueprint.")]
Task = Annotated[str, Parameter(help="A task type.")]


@app.command(name=("ls", "list"))
async def ls(*, output: Format = "table", server: Server = HERE) -> None:
    """List limits, and how they stand."""
    async with connect(server) as client:
        found = await client.limits()
    if output == "json":
        print_json({"items": found})
        return
    print_table(_COLUMNS, [_row(limit) for limit in found])


@app.command(name="set")
async def set_limit(
    scope: Scope,
    name: Name = "*",
    /,
    *,
    max: Annotated[int | None, Parameter(help="So many tasks run at once; 0 is a pause.")] = None,  # noqa: A002
    rate: Annotated[int | None, Parameter(help="So many tasks start in the time --per, evenly.")] = None,
    per: Annotated[str | None, Parameter(help="A duration such as 1s, 1m or 1h.")] = None,
    burst: Annotated[int | None, Parameter(help="So many of them may start together (1).")] = None,
    weight: Annotated[float | None, Parameter(help="A tenant's share: 2 is twice that of 1.")] = None,
    output: Format = "table",
    server: Server = HERE,
) -> None:
    """Set a limit, in place of what was set before. It holds at once, for what waits too."""
    async with connect(server) as client:
        limit = await client.set_limit(scope, name, max=max, rate=rate, per=per, burst=burst, weight=weight)
    if output == "json":
        print_json(limit)
        return
    print_table(_COLUMNS, [_row(limit)])


@app.command(name=("rm", "delete"))
async def remove(scope: Scope, name: Name = "*", /, *, server: Server = HERE) -> None:
    """Lift a limit, and its pause with it."""
    async with connect(server) as client:
        await client.delete_limit(scope, name)
    hint(f"{scope} {name} is not limited any more")


@queues.command
async def pause(task: Task, /, *, server: Server = HERE) -> None:
    """Hand out no more tasks of a type; those that run go on."""
    async with connect(server) as client:
        await client.pause_queue(task)
    hint(f"paused; muster queue resume {quote(task)} ends it")


@queues.command
async def resume(task: Task, /, *, server: Server = HERE) -> None:
    """Hand out tasks of a type again."""
    async with connect(server) as client:
        await client.resume_queue(task)
    hint(f"tasks {task} are handed out again")


async def pause_blueprint(name: BlueprintName, /, *, server: Server = HERE) -> None:
    """Hand out no more tasks of a blueprint's jobs; those that run go on, and jobs may be started."""
    async with connect(server) as client:
        await client.pause_blueprint(name)
    hint(f"paused; muster blueprint resume {quote(name)} ends it")


async def resume_blueprint(name: BlueprintName, /, *, server: Server = HERE) -> None:
    """Hand out tasks of a blueprint's jobs again."""
    async with connect(server) as client:
        await client.resume_blueprint(name)
    hint(f"tasks of {name} are handed out again")


def _row(limit: dict[str, Any]) -> list[object]:
    most = "paused" if limit["paused"] or limit["max"] == 0 else limit["max"]
    rate = "-" if limit["rate"] is None else f"{limit['rate']} per {limit['per_seconds']:g}s"
    shown = [limit["running"], most, rate, limit.get("opens_at"), limit["weight"], limit["source"]]
    return [limit["scope"], limit["name"], *("-" if value is None else value for value in shown)]
