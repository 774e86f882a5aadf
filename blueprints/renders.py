"""Scenes are rendered on the cheapest GPU worker that is free, thumbnails where the frames are, if that is soon."""

from muster import Blueprint, Job, Next
from muster_worker.needs import Prefer
from renders_contracts import Frames, Scene, Thumbnail, render, thumbnail

renders = Blueprint("renders", input=Scene)


@renders.start
async def begin(job: Job[Scene]) -> Next:
    return job.run(render, job.input, ok=rendered)


@renders.state
async def rendered(job: Job[Scene], frames: Frames) -> Next:
    """The worker that rendered has the frames on its disk; another has to fetch them."""
    return job.run(thumbnail, frames, ok=done, prefer=Prefer(worker="same", wait="5s"))


@renders.state
async def done(job: Job[Scene], made: Thumbnail) -> Next:
    return job.done({"thumbnail": made.path})
