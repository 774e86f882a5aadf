"""The blueprint `command`: one program, run by a worker that allows it."""

from typing import Final

from muster_worker.command.contract import COMMAND_FAILED, STARTING_S, CommandParams, CommandResult, command_task

from muster.blueprint.answers import TaskError
from muster.blueprint.definition import Blueprint
from muster.blueprint.job import Job
from muster.core.decisions import Decision as Next
from muster.core.decisions import Fail

PAUSE_S_MAX: Final = 60
"""Between two attempts; the first pause is one second, and each is twice the one before."""
INPUTS_WITHIN: Final = "1h"
"""A signed URL for an upload is good for as long."""


def uploads_of(given: CommandParams) -> list[str]:
    return [one.file_id for one in given.inputs if one.file_id is not None]


command = Blueprint(
    "command",
    input=CommandParams,
    description="Runs a program on a worker started with --commands.",
    files=uploads_of,
)


@command.start
async def start(job: Job[CommandParams]) -> Next:
    uploads = uploads_of(job.input)
    if uploads:  # a worker that fetched them now would not find those still to be sent
        return job.wait_for("inputs", ok=run, within=INPUTS_WITHIN, late=incomplete, uploads=uploads)
    return handed_out(job)


@command.state
async def run(job: Job[CommandParams]) -> Next:
    return handed_out(job)


@command.state
async def incomplete(job: Job[CommandParams]) -> Next:
    return job.fail("inputs did not arrive within 1 h")


def handed_out(job: Job[CommandParams]) -> Next:
    # The worker ends the command when its time is up; the task's own timeout is for a worker that does not.
    timeout_s = job.input.timeout_seconds + STARTING_S
    return job.run(command_task, job.input, ok=ended, error=broken, timeout=timeout_s, retries=0)


@command.state
async def ended(job: Job[CommandParams], result: CommandResult) -> Next:
    return job.done(result)


@command.state(to=["failed", "run"])
async def broken(job: Job[CommandParams], error: TaskError) -> Next:
    failures = int(job.data.get("failures", 0)) + 1
    if error.code != COMMAND_FAILED or failures >= job.input.attempts:
        return Fail(error.message, error.code)
    job.data["failures"] = failures
    return job.sleep(min(2 ** (failures - 1), PAUSE_S_MAX), then=run)
