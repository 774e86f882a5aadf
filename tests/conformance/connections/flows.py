"""Blueprints that connections of the tests run."""

from muster import Blueprint, Job, Next

counted = Blueprint("counted")
declined = Blueprint("declined")
stuck = Blueprint("stuck")


@counted.start
async def count(job: Job) -> Next:
    return job.done({"rows_inserted": job.input["rows"], "progress_counts": {"cards": 2}})


@declined.start
async def decline(job: Job) -> Next:
    return job.fail("the source is closed on Sundays")


@stuck.start
async def give_up(job: Job) -> Next:
    return job.quarantine("nobody knows what to do")
