"""What the search index and its workers agree on."""

from muster_worker.contracts import task
from pydantic import BaseModel


class Document(BaseModel):
    shop: str
    number: int
    text: str = ""


class Shop(BaseModel):
    name: str
    documents: int


class Indexed(BaseModel):
    words: int


index_document = task("search.index", Document, Indexed, timeout="30s")
