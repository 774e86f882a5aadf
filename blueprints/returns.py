"""Goods that come back: a blueprint whose jobs are held, mended and started again (docs/guides/operations.md)."""

from dataclasses import dataclass

from muster.blueprint import Blueprint, Job, Next, TaskError, finished


@dataclass
class Parcel:
    order: str
    grams: int


@dataclass
class Weighed:
    grams: int


returns = Blueprint("returns", input=Parcel, retention="30d")
"""Kept for a month: people ask."""

MOST_GRAMS = 30_000


@returns.start
def receive(job: Job[Parcel]) -> Next:
    return job.run("returns.weigh", {"order": job.input.order}, ok=check, error=broken_scale)


@returns.state
def check(job: Job[Parcel], weighed: Weighed) -> Next:
    """Somebody who looks at it retries from here, with what the parcel really weighs."""
    if weighed.grams > MOST_GRAMS:
        return job.quarantine(f"a parcel of {weighed.grams} g: is the scale right?")
    return job.run("returns.refund", {"order": job.input.order, "grams": weighed.grams}, ok=finished)


@returns.state
def broken_scale(job: Job[Parcel], error: TaskError) -> Next:
    return job.fail(f"nobody could weigh it: {error.message}")
