"""A worker for the thumbnails blueprint: `python blueprints/thumbnails_worker.py`."""

from muster_worker import Ctx, Worker
from thumbnails_contracts import Picture, Thumbnail, shrink

worker = Worker()


@worker.task(shrink, slots=4)
async def do_shrink(ctx: Ctx, picture: Picture) -> Thumbnail:
    """Stands for an image library."""
    ctx.log.info("shrinking %s to %d", picture.path, picture.width)
    return Thumbnail(path=f"{picture.path}.{picture.width}.webp")


if __name__ == "__main__":
    worker.run()
