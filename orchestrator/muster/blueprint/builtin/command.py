from typing import Final

from muster_worker.command.contract import COMMAND_FAILED, STARTING_S, CommandParams, CommandResult, command_task

from muster.blueprint.answers import TaskError
from muster.blueprint.definition import Blueprint
from muster.blueprint.job import Job
from muster.core.decisions import Decision as Next
from muster.core.decisions import Fail

PAUSE_S_MAX: Final = 60
"""Between two attempts; the first pause is one second, and each is twice the one before."""

command = Blueprint("command", input=CommandParams, description="Runs a program on a worker started with --commands.")


@command.start
async def start(job: Job[CommandParams]) -> Next:
    # The worker ends the command when its time is up; the task's own timeout is for a worker that does not.
    timeout_s = job.input.timeout_seconds + STARTING_S
    return job.run(command_task, job.input, ok=ended, error=broken, timeout=timeout_s, retries=0)


@command.state
async def ended(job: Job[CommandParams], result: CommandResult) -> Next:
    return job.done(result)


@command.state(to=["failed", "start"])
async def broken(job: Job[CommandParams], error: TaskError) -> Next:
    failures = int(job.data.get("failures", 0)) + 1
    if error.code != COMMAND_FAILED or failures >= job.input.attempts:
        return Fail(error.message, error.code)
    job.data["failures"] = failures
    return job.sleep(min(2 ** (failures - 1), PAUSE_S_MAX), then=start)
