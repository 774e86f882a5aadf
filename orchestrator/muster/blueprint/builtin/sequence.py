"""The blueprint `sequence`: jobs, one after another."""

from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from muster.blueprint.answers import TaskError
from muster.blueprint.definition import Blueprint
from muster.blueprint.job import Job
from muster.core.decisions import Decision as Next

MEMBERS_MAX: Final = 1_000
"""All of a sequence is in one job's input."""
REASON_CHARACTERS_MAX: Final = 500
"""Kept of a failed member's reason; the whole of it is in the member's own job."""


class Member(BaseModel):
    """A job of the sequence."""

    model_config = ConfigDict(frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=200)]
    blueprint: Annotated[str, Field(min_length=1, max_length=64)]
    input: dict[str, Any] = {}
    tags: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(max_length=8)] = ()


class Members(BaseModel):
    """What to run, in this order."""

    model_config = ConfigDict(frozen=True)

    members: Annotated[tuple[Member, ...], Field(min_length=1, max_length=MEMBERS_MAX)]

    @model_validator(mode="after")
    def _has_distinct_names(self) -> Self:
        if len({member.name for member in self.members}) != len(self.members):
            raise ValueError("two members have the same name")
        return self


class Progress(BaseModel):
    """How far the sequence is. `completed` are all members that have ended, however they did."""

    current: str | None = None
    completed: list[str] = []
    children: dict[str, str] = {}
    """Job of each member that was started."""
    failed: dict[str, str] = {}
    """Why a member did not finish."""


sequence = Blueprint("sequence", input=Members, data=Progress, description="Runs jobs one after another.")


@sequence.start
async def start(job: Job[Members, Progress]) -> Next:
    return next_member(job)


@sequence.state
async def member_finished(job: Job[Members, Progress]) -> Next:
    return next_member(job)


@sequence.state
async def member_failed(job: Job[Members, Progress], error: TaskError) -> Next:
    progress, name = job.data, job.data.current or ""
    progress.failed[name] = f"{error.code}: {error.message}"[:REASON_CHARACTERS_MAX]
    if not error.attempt:
        del progress.children[name]  # it could not be started: there is no such job
    return next_member(job)


def next_member(job: Job[Members, Progress]) -> Next:
    progress = job.data
    if progress.current is not None:
        progress.completed.append(progress.current)
    progress.current = None
    left = job.input.members[len(progress.completed) :]
    if not left:
        return job.done(progress)
    member = left[0]
    child = job.child(member.blueprint, member.input, ok=member_finished, error=member_failed, tags=member.tags)
    progress.current = member.name
    progress.children[member.name] = child.id
    return child
