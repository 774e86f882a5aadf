"""How large a tree of folders is: a job for each folder, which starts another for each folder in it.

Recursion with a way out: a folder without folders ends it. The jobs below are spread over the whole cluster, and each
has ten minutes, or what is below it counts as nothing.
"""

from folders_contracts import Folder, Listing, Size, list_folder
from muster import Blueprint, Job, Next, TaskError
from pydantic import BaseModel


class Counted(BaseModel):
    bytes: int = 0
    folders: int = 1
    left: list[str] = []
    skipped: list[str] = []


folders = Blueprint("folders", input=Folder, data=Counted, description="Sum up a tree of folders, a job for each.")


@folders.start
async def look(job: Job[Folder, Counted]) -> Next:
    return job.run(list_folder, job.input, ok=listed)


@folders.state
async def listed(job: Job[Folder, Counted], listing: Listing) -> Next:
    job.data.bytes, job.data.left = listing.bytes, listing.folders
    return job.go(go_down)


@folders.state
async def go_down(job: Job[Folder, Counted]) -> Next:
    if not job.data.left:
        return job.done({"bytes": job.data.bytes, "folders": job.data.folders, "skipped": job.data.skipped})
    below = Folder(path=f"{job.input.path}/{job.data.left[0]}")
    return job.race(
        job.child(folders, below, ok=came_up, error=skip, spread=True),
        job.sleep("10m", then=too_slow),
    )


@folders.state
async def came_up(job: Job[Folder, Counted], size: Size) -> Next:
    job.data.bytes += size.bytes
    job.data.folders += size.folders
    job.data.left = job.data.left[1:]
    return job.go(go_down)


@folders.state
async def skip(job: Job[Folder, Counted], error: TaskError) -> Next:
    job.data.skipped = [*job.data.skipped, f"{job.data.left[0]}: {error.message}"]
    job.data.left = job.data.left[1:]
    return job.go(go_down)


@folders.state
async def too_slow(job: Job[Folder, Counted]) -> Next:
    job.data.skipped = [*job.data.skipped, f"{job.data.left[0]}: more than ten minutes"]
    job.data.left = job.data.left[1:]
    return job.go(go_down)
