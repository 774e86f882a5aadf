"""The two blueprints that an outside test of the HTTP surface needs."""

from muster import Blueprint, Job, Next, failed, finished

simple_flow = Blueprint("simple_flow", description="One task with the client's own data.")


@simple_flow.start
async def start(job: Job) -> Next:
    return job.go(work)


@simple_flow.state
async def work(job: Job) -> Next:
    return job.run("conformance_task", job.input, ok=finished)


approval_flow = Blueprint("approval_flow", description="Waits for a person at once.")


@approval_flow.start
async def review(job: Job) -> Next:
    return job.ask("Let this job pass?", approved=finished, rejected=failed)
