"""What the crawler and its workers agree on."""

from muster_worker.contracts import task
from pydantic import BaseModel


class Urls(BaseModel):
    urls: list[str]


class Page(BaseModel):
    url: str


class Words(BaseModel):
    count: int


fetch_page = task("crawl.fetch", Page, Words, timeout="30s")
