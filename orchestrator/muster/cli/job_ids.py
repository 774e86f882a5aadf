"""How a person names a job: its id, the beginning of it if no other begins so, or `@last`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from muster.cli.exits import CommandFailed, Exit
from muster.core.ids import is_job_id

if TYPE_CHECKING:
    from muster_worker.client import Client

LAST: Final = "@last"
PREFIX_MIN: Final = 4
LOOKED_AT_MAX: Final = 200
"""A beginning is looked up among the newest jobs."""


async def resolve_job(client: "Client", text: str) -> str:
    """The whole id of the job that *text* names."""
    if text == LAST:
        return last_job()
    if is_job_id(text.lower()) or len(text) < PREFIX_MIN:
        return text.lower()
    page = await client.jobs(limit=LOOKED_AT_MAX)
    matches = [job.id for job in page.items if job.id.startswith(text.lower())]
    if len(matches) > 1:
        raise CommandFailed(
            f"{len(matches)} jobs begin with {text!r}: {', '.join(matches[:5])}",
            way_out="give more of the id",
            code=Exit.NOT_FOUND,
        )
    return matches[0] if matches else text.lower()


def remember_job(job_id: str) -> None:
    """Note *job_id* as the last one of this shell; a home that cannot be written to is no reason to fail."""
    try:
        _note().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _note().write_text(job_id)
    except OSError:
        return


def last_job() -> str:
    try:
        return _note().read_text().strip()
    except OSError:
        raise CommandFailed(
            "this shell has not started a job yet", way_out="muster job start NAME", code=Exit.NOT_FOUND
        ) from None


def _note() -> Path:
    """One note per shell: all commands typed in one have the same session."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "muster" / f"last-job-{os.getsid(0)}"
