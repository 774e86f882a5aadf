"""Today: a letter goes by post, a parcel is handed over to a driver and delivered. Next: `parcels_next.py`."""

from muster import Blueprint, Job, Next
from parcels_contracts import LETTER_GRAMS, Collected, Delivered, Label, Parcel, Stop, drive, print_label

parcels = Blueprint("parcels", version=1, input=Parcel, description="Print a label, wait for a driver, deliver.")


@parcels.start
async def book(job: Job[Parcel]) -> Next:
    if job.input.grams <= LETTER_GRAMS:
        return job.run(print_label, job.input, ok=posted)
    return job.run(print_label, job.input, ok=hand_over)


@parcels.state
async def posted(job: Job[Parcel], label: Label) -> Next:
    return job.done({"tracking": label.tracking, "by": "post"})


@parcels.state
async def hand_over(job: Job[Parcel], label: Label) -> Next:
    job.data["tracking"] = label.tracking
    return job.wait_for("collected", ok=deliver)


@parcels.state
async def deliver(job: Job[Parcel], collected: Collected) -> Next:
    job.data["by"] = collected.by
    return job.run(drive, Stop(tracking=job.data["tracking"], city=job.input.city), ok=delivered)


@parcels.state
async def delivered(job: Job[Parcel], proof: Delivered) -> Next:
    return job.done({**job.data, "signed_by": proof.signed_by})
