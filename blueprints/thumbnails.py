"""A blueprint for batches: one picture a job, thousands of them in one file of lines.

muster batch start pictures.ndjson --blueprint thumbnails --webhook https://example.org/done
"""

from muster import Blueprint, Job, Next
from thumbnails_contracts import Picture, Thumbnail, shrink

thumbnails = Blueprint("thumbnails", input=Picture, description="Make a small picture of a large one.")


@thumbnails.start
async def begin(job: Job[Picture]) -> Next:
    if job.input.width < 1:
        return job.fail("a picture needs a width")
    return job.run(shrink, job.input, ok=small)


@thumbnails.state
async def small(job: Job[Picture], thumbnail: Thumbnail) -> Next:
    return job.done({"path": thumbnail.path})
