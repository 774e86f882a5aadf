"""A blueprint with the name of a built-in one."""

from muster import Blueprint, Job, Next

another = Blueprint("command")


@another.start
async def start(job: Job) -> Next:
    return job.done()
