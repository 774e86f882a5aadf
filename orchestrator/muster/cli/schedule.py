"""The commands `muster schedule …`: connections that run by themselves."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from muster.cli.connection import HERE, Server, connect
from muster.cli.exits import CommandFailed, Exit
from muster.cli.output import Format, hint, print_json, print_table

app = App(name="schedule", help="Schedules: when they run, pause and resume them, backfill.", help_format="plaintext")

Name = Annotated[str, Parameter(help="The connection's name.")]


@app.command(name=("ls", "list"))
async def ls(*, output: Format = "table", server: Server = HERE) -> None:
    """List all schedules."""
    async with connect(server) as client:
        found = await client.schedules()
    if output == "json":
        print_json({"items": found})
        return
    rows = [(one["name"], _timing(one), one["overlap"], _state(one), one["next_run_at"] or "-") for one in found]
    print_table(["NAME", "SCHEDULE", "OVERLAP", "STATE", "NEXT"], rows)


@app.command
async def show(name: Name, /, *, output: Format = "table", server: Server = HERE) -> None:
    """Show a schedule, and what became of its last slots."""
    async with connect(server) as client:
        found = await client.schedule(name)
    if output == "json":
        print_json(found)
        return
    print(f"{found['name']}  {_timing(found)}  {_state(found)}, next {found['next_run_at'] or 'never'}")
    if fill := found["backfill"]:
        print(f"  backfill {fill['state']}: {_progress(fill)}")
    late = [(f"{slot['late_seconds']:.1f} s" if slot["late_seconds"] else "-") for slot in found["recent"]]
    rows = [
        (slot["at"], slot["outcome"], after, slot["detail"]) for slot, after in zip(found["recent"], late, strict=True)
    ]
    print_table(["SLOT", "OUTCOME", "LATE", "DETAIL"], rows)


@app.command(name="next")
async def coming(
    name: Name,
    /,
    *,
    count: Annotated[int, Parameter(help="How many, 100 at most.")] = 10,
    output: Format = "table",
    server: Server = HERE,
) -> None:
    """Print the next times at which it would run."""
    async with connect(server) as client:
        found = await client.next_slots(name, count)
    if output == "json":
        print_json({"items": [_utc(slot) for slot in found]})
        return
    for slot in found:
        print(_utc(slot))


@app.command
async def pause(
    name: Name,
    /,
    *,
    reason: Annotated[str, Parameter(help="Shown to whoever looks.")] = "",
    server: Server = HERE,
) -> None:
    """Run no slot until it is resumed; those of that time are not made up for."""
    async with connect(server) as client:
        await client.pause_schedule(name, reason)
    hint(f"{name} is paused; try: muster schedule resume {name}")


@app.command
async def resume(name: Name, /, *, server: Server = HERE) -> None:
    """Let a paused schedule go on, with its next slot."""
    async with connect(server) as client:
        found = await client.resume_schedule(name)
    hint(f"{name} runs next at {found['next_run_at'] or 'no time'}")


@app.command
async def run(name: Name, /, *, output: Format = "table", server: Server = HERE) -> int:
    """Start a run now, as `muster pipeline run`; the schedule goes on as before."""
    from muster.cli.pipeline import run as run_pipeline

    return await run_pipeline(name, output=output, server=server)


@app.command
async def backfill(
    name: Name,
    start: Annotated[
        str | None, Parameter(help="First moment, as 2026-03-01 or 2026-03-01T06:00+01:00; else UTC.")
    ] = None,
    until: Annotated[str | None, Parameter(help="Last moment, included; now if not given.")] = None,
    /,
    *,
    overlap: Annotated[
        Literal["allow", "queue"], Parameter(help="All slots at once, or one after the other.")
    ] = "allow",
    dry_run: Annotated[bool, Parameter(negative="", help="Show the slots and run none.")] = False,
    cancel: Annotated[bool, Parameter(negative="", help="Stop the one that is under way.")] = False,
    output: Format = "table",
    server: Server = HERE,
) -> None:
    """Run the slots of a time that has passed, each once at most."""
    if cancel == (start is not None):
        raise CommandFailed("give the first moment, or --cancel", way_out="muster schedule backfill NAME 2026-03-01")
    async with connect(server) as client:
        if start is None:
            answer = {"backfill": await client.cancel_backfill(name)}
        else:
            moments = _moment(start), datetime.now(UTC) if until is None else _moment(until)
            answer = await client.backfill(name, *moments, overlap=overlap, dry_run=dry_run)
    if output == "json":
        print_json(answer)
        return
    for slot in answer.get("slots", []) if dry_run else []:
        print(slot)
    if fill := answer["backfill"]:
        print(f"backfill {fill['state']}: {_progress(fill)}")
        hint(f"try: muster schedule show {name}")
    else:
        hint(f"{answer['total']} slots; none was run")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandFailed(
            f"{text!r} is not a moment", way_out="write 2026-03-01 or 2026-03-01T06:00+01:00", code=Exit.USAGE
        ) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _timing(one: dict[str, Any]) -> str:
    return f"every {one['every']}" if one["every"] else f"{one['schedule']} {one['timezone']}"


def _state(one: dict[str, Any]) -> str:
    if not one["enabled"]:
        return "disabled"
    if one["paused"]:
        return f"paused: {one['paused']['reason']}" if one["paused"]["reason"] else "paused"
    return "on"


def _utc(slot: datetime) -> str:
    """As the API writes it, so that what one command prints can be searched for in what another does."""
    return slot.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _progress(fill: dict[str, Any]) -> str:
    refused = f", {fill['refused']} refused ({fill['detail']})" if fill["refused"] else ""
    return f"{fill['made']} made, {fill['already_there']} there already{refused}, of {fill['total']}"
