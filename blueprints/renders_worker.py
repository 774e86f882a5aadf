"""A worker for the renders blueprint: `python blueprints/renders_worker.py`, on a machine with a GPU.

Elsewhere: `MUSTER_WORKER_LABELS= muster worker run renders_worker:thumbnails`, which makes thumbnails only.
"""

from muster_worker import Worker
from renders_contracts import Frames, Scene, Thumbnail, render, thumbnail

thumbnails = Worker()
worker = Worker(labels={"gpu": "a100"}, resources={"memory": "64GB", "vram": "40GB"}, cost_per_second=0.001)


@worker.task(render)
def do_render(scene: Scene) -> Frames:
    return Frames(path=f"/frames/{scene.film}/{scene.number}", seconds=4.0)


@thumbnails.task(thumbnail)
def make_thumbnail(frames: Frames) -> Thumbnail:
    return Thumbnail(path=f"{frames.path}/thumbnail.png")


worker.include(thumbnails)

if __name__ == "__main__":
    worker.run()
