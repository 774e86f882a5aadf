"""The command `muster why`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from muster.cli.connection import HERE, Server, connect
from muster.cli.job import JobName
from muster.cli.job_ids import resolve_job
from muster.cli.output import Format, hint, print_json

if TYPE_CHECKING:
    from muster_worker.reasons import Reason


async def why(job: JobName, /, *, output: Format = "table", server: Server = HERE) -> None:
    """Say why a job is not running now: what must change first comes first."""
    async with connect(server) as client:
        job_id = await resolve_job(client, job)
        explained = await client.why(job_id)
    if output == "json":
        print_json(explained.model_dump(mode="json"))
        return
    print(f"{explained.blueprint_name}  {explained.job_id}  {explained.status}  in {explained.current_state}")
    _print_reasons(explained.reasons, "  ")
    if (command := _way_out(explained.reasons)) is not None:
        hint(f"try: {command}")


def _print_reasons(reasons: "Sequence[Reason]", margin: str) -> None:
    for reason in reasons:
        print(f"{margin}{reason.code}: {reason.text}")
        _print_reasons(reason.reasons, margin + "  ")


def _way_out(reasons: "Sequence[Reason]") -> str | None:
    """What the person at the keyboard can do, of the first reason that says so."""
    for reason in reasons:
        command = reason.details.get("command") or _way_out(reason.reasons)
        if command is not None:
            return str(command)
    return None
