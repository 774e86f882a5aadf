"""Labels from a partner whose API fails in every way: each has its rule in partner_contracts.py."""

from muster import Blueprint, Job, Next, TaskError, finished
from partner_contracts import NO_SUCH_ADDRESS, Shipment, print_label

partner = Blueprint("partner", input=Shipment, deadline="2d")


@partner.start
async def ask_for_a_label(job: Job[Shipment]) -> Next:
    return job.run(print_label, job.input, ok=finished, error=no_label)


@partner.state
async def no_label(job: Job[Shipment], error: TaskError) -> Next:
    if error.code == NO_SUCH_ADDRESS:
        return job.fail(f"nobody lives at {job.input.street!r}")
    return job.quarantine(f"the partner gave no label: {error.message}", code=error.code)
