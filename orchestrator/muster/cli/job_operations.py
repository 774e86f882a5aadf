"""The commands that operate on jobs: `muster job pause`, `resume`, `retry`."""

from typing import Annotated, Any, Final, Literal

import orjson
from cyclopts import Parameter

from muster.cli.connection import HERE, Server, connect
from muster.cli.exits import CommandFailed, Exit
from muster.cli.job import JobName, as_json
from muster.cli.job_ids import remember_job, resolve_job
from muster.cli.output import Format, age, compact, hint, print_json, print_table

By = Annotated[str, Parameter(help="Who does it, for the history.")]
TOLD_EACH: Final = 1_000
"""Jobs after which a long run says how far it is."""
REFUSALS_SHOWN: Final = 20


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


async def bulk(
    action: Literal["cancel", "retry", "delete", "pause", "resume"],
    /,
    *,
    status: Annotated[str, Parameter(help="Only these statuses, separated by commas.")] = "",
    blueprint: Annotated[str | None, Parameter(help="Only jobs of this blueprint.")] = None,
    tag: Annotated[str | None, Parameter(help="Only jobs of this tag.")] = None,
    error: Annotated[str | None, Parameter(help="Only jobs with an error of this fingerprint.")] = None,
    since: Annotated[str | None, Parameter(help="Only jobs made since.")] = None,
    until: Annotated[str | None, Parameter(help="Only jobs made before.")] = None,
    dry_run: Annotated[bool, Parameter(negative="", help="Only say how many it would be.")] = False,
    most: Annotated[int | None, Parameter(name="--limit", help="Deal with so many at most.")] = None,
    by: By = "",
    output: Format = "table",
    server: Server = HERE,
) -> int:
    """Cancel, retry, delete, pause or resume all jobs that a filter finds, request by request.

    Without --status those that the verb is for. After a failure half way the same command goes on with the rest.
    """
    given = {"blueprint": blueprint, "tag": tag, "error": error, "created_since": since, "created_until": until}
    wanted: dict[str, Any] = {name: text for name, text in given.items() if text is not None}
    if statuses := [word.strip() for word in status.split(",") if word.strip()]:
        wanted["status"] = statuses
    matched, done, refused = 0, 0, list[dict[str, str]]()
    cursor: str | None = None
    async with connect(server) as client:
        try:
            async for part in client.bulk_all(action, dry_run=dry_run, most=most, by=by, **wanted):
                told, cursor = matched // TOLD_EACH, part.next
                matched, done = matched + part.matched, done + part.done
                refused += [one.model_dump() for one in part.errors]
                if cursor is not None and matched // TOLD_EACH > told:
                    hint(_so_far(action, done, matched, dry_run=dry_run) + " so far")
        except BaseException:
            if done:
                hint(f"{_so_far(action, done, matched, dry_run=dry_run)}; the same command goes on with the rest")
            raise
    if output == "json":
        print_json({"matched": matched, "done": done, "errors": refused, "next": cursor})
    else:
        print(f"{matched} jobs match" if dry_run else _so_far(action, done, matched, dry_run=dry_run))
        for one in refused[:REFUSALS_SHOWN]:
            hint(f"{one['job_id']}  {one['code']}: {one['detail']}")
        if len(refused) > REFUSALS_SHOWN:
            hint(f"and {len(refused) - REFUSALS_SHOWN} more; --output json has all of them")
    return Exit.FAILED if refused else Exit.DONE


def _so_far(action: str, done: int, matched: int, *, dry_run: bool) -> str:
    return f"{matched} jobs" if dry_run else f"{action}: {done} of {matched} jobs"


async def errors(*, output: Format = "table", server: Server = HERE) -> None:
    """Show what failed most in the last week: errors of one kind together."""
    async with connect(server) as client:
        groups = await client.errors()
    if output == "json":
        print_json({"items": [group.model_dump(mode="json") for group in groups]})
        return
    rows = [
        [g.fingerprint, g.count, g.blueprint_name, age(g.last_seen_at), g.job_id, compact(g.message or "", width=60)]
        for g in groups
    ]
    print_table(["FINGERPRINT", "JOBS", "BLUEPRINT", "AGE", "NEWEST", "ERROR"], rows)
