"""The command `muster job tree`: a job and those that it started, as far as its history names them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from muster.cli.connection import HERE, Server, connect
from muster.cli.job import JobName
from muster.cli.job_ids import resolve_job
from muster.cli.output import Format, compact, hint, print_json

if TYPE_CHECKING:
    from muster_worker.client import Client

JOBS_MAX: Final = 200
"""Each is two requests."""
UNKNOWN: Final = "unknown"
"""In place of a status: deleted, not begun yet, or kept no longer."""


@dataclass(slots=True)
class Branch:
    job_id: str
    blueprint: str = ""
    status: str = UNKNOWN
    state: str = ""
    error: str = ""
    children: "list[Branch]" = field(default_factory=list["Branch"])

    def as_json(self) -> dict[str, Any]:
        return {
            "job_id": self.job_id,
            "blueprint_name": self.blueprint,
            "status": self.status,
            "current_state": self.state,
            "error_message": self.error or None,
            "children": [child.as_json() for child in self.children],
        }


async def tree(job: JobName, /, *, output: Format = "table", server: Server = HERE) -> None:
    """Show a job and those that it started, and theirs, with how each stands. Needs history for those that are over."""
    async with connect(server) as client:
        top = Branch(await resolve_job(client, job))
        is_whole = await _grow(client, top)
    if output == "json":
        print_json(top.as_json())
        return
    for line in _lines(top, "", ""):
        print(line)
    if not is_whole:
        hint(f"only {JOBS_MAX} jobs were looked at; muster job tree JOB of one of the last shows what is below it")


async def _grow(client: "Client", top: Branch) -> bool:
    """Look at the jobs level by level. Whether all were looked at."""
    todo = [top]
    for place in range(JOBS_MAX):
        if place >= len(todo):
            return True
        todo += await _look(client, todo[place], is_top=place == 0)
    return len(todo) <= JOBS_MAX


async def _look(client: "Client", branch: Branch, *, is_top: bool) -> list[Branch]:
    from muster_worker.errors import NotFound

    try:
        state = await client.job(branch.job_id)
        events = await client.history(branch.job_id)
    except NotFound:
        if is_top:
            raise
        return []
    branch.blueprint, branch.status, branch.state = state.blueprint_name, state.status, state.current_state or ""
    branch.error = state.error_message or ""
    waits_for = "" if state.waiting_for is None else state.waiting_for.child_id or ""
    started = dict.fromkeys([*_started(events), *(job for job in waits_for.split(",") if job)])
    branch.children = [Branch(job) for job in started]
    return branch.children


def _started(events: list[dict[str, Any]]) -> Iterator[str]:
    for event in events:
        details = event.get("details") or {}
        if event.get("event_type") == "child_started":
            yield str(details["job"])
        elif event.get("event_type") == "race_started":
            yield from map(str, details.get("jobs", {}))


def _lines(branch: Branch, first: str, rest: str) -> Iterator[str]:
    error = f"  {compact(branch.error, width=60)}" if branch.error else ""
    where = f"  in {branch.state}" if branch.state and branch.status not in {"finished", UNKNOWN} else ""
    yield f"{first}{branch.blueprint or '?'}  {branch.job_id}  {branch.status}{where}{error}"
    for child in branch.children:
        is_last = child is branch.children[-1]
        yield from _lines(child, rest + ("└─ " if is_last else "├─ "), rest + ("   " if is_last else "│  "))
