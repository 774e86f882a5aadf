"""The next version of `parcels.py`: `hand_over` is called `collect`, recipients get a text, vans are smaller."""

from muster import Blueprint, Job, Next
from parcels_contracts import (
    LETTER_GRAMS,
    Collected,
    Delivered,
    Label,
    Stop,
    VanParcel,
    drive,
    print_label,
    text_recipient,
)

parcels = Blueprint("parcels", version=2, input=VanParcel, description="Print a label, wait for a van, tell, deliver.")


@parcels.start
async def book(job: Job[VanParcel]) -> Next:
    if job.input.grams <= LETTER_GRAMS:
        return job.run(print_label, job.input, ok=posted)
    return job.run(print_label, job.input, ok=collect)


@parcels.state
async def posted(job: Job[VanParcel], label: Label) -> Next:
    return job.done({"tracking": label.tracking, "by": "post"})


@parcels.state
async def collect(job: Job[VanParcel], label: Label) -> Next:
    job.data["tracking"] = label.tracking
    return job.wait_for("collected", ok=deliver)


@parcels.state
async def deliver(job: Job[VanParcel], collected: Collected) -> Next:
    job.data["by"] = collected.by
    return job.run(text_recipient, Stop(tracking=job.data["tracking"], city=job.input.city), ok=on_its_way)


@parcels.state
async def on_its_way(job: Job[VanParcel]) -> Next:
    job.data["recipient_told"] = True
    return job.run(drive, Stop(tracking=job.data["tracking"], city=job.input.city), ok=delivered)


@parcels.state
async def delivered(job: Job[VanParcel], proof: Delivered) -> Next:
    return job.done({**job.data, "signed_by": proof.signed_by})
