"""`muster approve`, `muster reject`, and `muster approval`: questions of jobs to people."""

import getpass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import orjson
from cyclopts import App, Parameter

from muster.cli.connection import HERE, Server, connect
from muster.cli.exits import CommandFailed, Exit
from muster.cli.job import JobName
from muster.cli.job_ids import resolve_job
from muster.cli.output import Format, age, compact, print_json, print_table

if TYPE_CHECKING:
    from muster_worker.approvals import OpenQuestion

app = App(name="approval", help="Questions of jobs to people: list them, hand a say on.", help_format="plaintext")

Comment = Annotated[str, Parameter(name=["--comment", "-m"], help="Goes into the job's history.")]
By = Annotated[str, Parameter(help="Who decides; the user's name by default.")]
Form = Annotated[str, Parameter(help="What the question's form asks for, as JSON: '{\"cents\": 500}'.")]
Whose = Annotated[str, Parameter(name="--approver", help="Whose say it is, where the question names approvers.")]
DecisionWord = Annotated[str, Parameter(help="Another of the decisions that the job offers.")]


async def approve(
    job: JobName,
    /,
    *,
    decision: DecisionWord = "approved",
    comment: Comment = "",
    by: By = "",
    approver: Whose = "",
    form: Form = "",
    output: Format = "table",
    server: Server = HERE,
) -> None:
    """Answer a waiting job with `approved`, or another of its decisions."""
    await _decide(job, decision, comment, by, approver, form, output, server)


async def reject(
    job: JobName,
    /,
    *,
    comment: Comment = "",
    by: By = "",
    approver: Whose = "",
    form: Form = "",
    output: Format = "table",
    server: Server = HERE,
) -> None:
    """Answer a waiting job with `rejected`."""
    await _decide(job, "rejected", comment, by, approver, form, output, server)


@app.command(name="ls")
async def list_approvals(
    *,
    approver: Annotated[str, Parameter(help="Only those that wait for this approver's answer.")] = "",
    limit: Annotated[int, Parameter(help="How many at most.")] = 50,
    output: Format = "table",
    server: Server = HERE,
) -> None:
    """List questions that wait for people, newest first."""
    found: list[OpenQuestion] = []
    cursor: str | None = None
    async with connect(server) as client:
        while len(found) < limit:
            page = await client.approvals(approver=approver or None, limit=min(limit - len(found), 200), cursor=cursor)
            found += page.items
            cursor = page.next
            if cursor is None:
                break
    if output == "json":
        print_json([question.model_dump(mode="json") for question in found])
        return
    print_table(
        ("JOB", "QUESTION", "DECISIONS", "WAITS FOR", "SINCE", "LEFT"),
        (
            (
                question.job_id,
                compact(question.message, width=50),
                ",".join(question.decisions),
                ",".join(question.missing) or "anybody",
                age(question.asked_at),
                _left(question.deadline_at),
            )
            for question in found
        ),
    )


@app.command
async def delegate(
    job: JobName,
    approver: Annotated[str, Parameter(help="Whose say it is.")],
    to: Annotated[str, Parameter(help="Who has it from now on.")],
    /,
    *,
    comment: Comment = "",
    output: Format = "table",
    server: Server = HERE,
) -> None:
    """Hand an approver's say to somebody who has none."""
    async with connect(server) as client:
        job_id = await resolve_job(client, job)
        await client.delegate(job_id, approver, to, note=comment)
    if output == "json":
        print_json({"job_id": job_id, "approver": approver, "to": to})
    else:
        print(f"{job_id}  {approver} -> {to}")


async def _decide(
    job: str, decision: str, comment: str, by: str, approver: str, form: str, output: Format, server: Server
) -> None:
    written = _form(form)
    async with connect(server) as client:
        job_id = await resolve_job(client, job)
        standing = await client.decide(
            job_id, decision, note=comment, by=by or approver or _user(), form=written, approver=approver
        )
    if output == "json":
        told = standing.model_dump(mode="json", include={"decided", "answers", "missing"}, exclude_none=True)
        print_json({"job_id": job_id, "decision": decision, **told})
    else:
        missing = f"  waits for {', '.join(standing.missing)}" if standing.missing and not standing.decided else ""
        print(f"{job_id}  {decision}{missing}")


def _form(text: str) -> Any:
    if not text:
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as bad:
        raise CommandFailed(
            f"--form is not JSON: {bad}", way_out='--form \'{"name": "value"}\'', code=Exit.USAGE
        ) from None


def _left(deadline: datetime | None) -> str:
    if deadline is None:
        return "-"
    now = datetime.now(UTC)
    return age(now - (deadline - now)) if deadline > now else "over"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return ""
