"""What the thumbnails blueprint and its workers agree on."""

from muster_worker.contracts import task
from pydantic import BaseModel


class Picture(BaseModel):
    path: str
    width: int = 200


class Thumbnail(BaseModel):
    path: str


shrink = task("picture.shrink", Picture, Thumbnail, timeout="1m")
