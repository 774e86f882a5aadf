"""What the folders blueprint and its workers agree on."""

from muster_worker.contracts import task
from pydantic import BaseModel


class Folder(BaseModel):
    path: str
    """Relative to where the worker runs; nothing above that is listed."""


class Listing(BaseModel):
    bytes: int
    """Of the files in the folder itself."""
    folders: list[str] = []


class Size(BaseModel):
    bytes: int
    folders: int


list_folder = task("folders.list", Folder, Listing, retries=2)
