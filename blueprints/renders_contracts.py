"""What the renders blueprint and its workers agree on: rendering needs a GPU, a thumbnail can be made anywhere."""

from muster_worker.contracts import task
from muster_worker.needs import Choose, Needs
from pydantic import BaseModel


class Scene(BaseModel):
    film: str
    number: int


class Frames(BaseModel):
    path: str
    seconds: float


class Thumbnail(BaseModel):
    path: str


render = task(
    "video.render",
    Scene,
    Frames,
    needs=Needs(labels={"gpu": ["a100", "h100"]}, vram="24GB"),
    choose=Choose("cheapest", overflow_after="30s"),
    timeout="1h",
)
thumbnail = task("video.thumbnail", Frames, Thumbnail)
