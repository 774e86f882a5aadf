"""What the demo blueprint and its workers agree on."""

from muster_worker.contracts import task
from pydantic import BaseModel, Field


class Text(BaseModel):
    text: str = Field(min_length=1, description="What to count the words of.")


class Chunk(BaseModel):
    number: int
    text: str


class Counts(BaseModel):
    words: dict[str, int]


class Word(BaseModel):
    word: str
    count: int


class Report(BaseModel):
    total_words: int = 0
    distinct_words: int = 0
    top: list[Word] = []
    chunks: int = 0


count_words = task("demo.count_words", Chunk, Counts, timeout="1m")
