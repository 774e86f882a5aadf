"""The demo: a text is split, its words are counted by workers, a person looks at the report, and it is published."""

from collections import Counter

from demo_contracts import Chunk, Counts, Report, Text, Word, count_words
from muster import Blueprint, Decision, Job, Next, TaskError
from pydantic import BaseModel

CHUNK_WORDS = 200
CHUNKS_MAX = 1_000
TOP_WORDS = 10


class Kept(BaseModel):
    report: Report = Report()


demo = Blueprint("demo", input=Text, data=Kept, description="Counts words on workers, with a person's approval.")


@demo.start
async def split(job: Job[Text, Kept]) -> Next:
    chunks = chunks_of(job.input.text)
    if not chunks:
        return job.fail("the text has no words")
    return job.map(count_words, chunks, ok=join, error=broken)


@demo.state
async def join(job: Job[Text, Kept], counts: list[Counts]) -> Next:
    job.data.report = report_of(counts)
    return job.go(approve)


@demo.state
async def approve(job: Job[Text, Kept]) -> Next:
    report = job.data.report
    return job.ask(f"Publish the report on {report.total_words} words?", approved=publish, rejected=reject)


@demo.state
async def publish(job: Job[Text, Kept], answer: Decision) -> Next:
    return job.done({**job.data.report.model_dump(), "approved_by": answer.by})


@demo.state
async def reject(job: Job[Text, Kept], answer: Decision) -> Next:
    return job.fail(f"rejected by {answer.by or 'somebody'}: {answer.note or 'no reason given'}")


@demo.state
async def broken(job: Job[Text, Kept], error: TaskError) -> Next:
    return job.fail(f"counting failed on {error.worker or 'a worker'}: {error.message}")


def chunks_of(text: str) -> list[Chunk]:
    """At most CHUNKS_MAX pieces of whole words."""
    words = text.split()
    size = max(CHUNK_WORDS, -(-len(words) // CHUNKS_MAX))
    starts = range(0, len(words), size)
    return [Chunk(number=number, text=" ".join(words[at : at + size])) for number, at in enumerate(starts)]


def report_of(counts: list[Counts]) -> Report:
    total: Counter[str] = Counter()
    for part in counts:
        total.update(part.words)
    # By count, then by the alphabet: the same text gives the same report.
    ranked = sorted(total.items(), key=lambda item: (-item[1], item[0]))[:TOP_WORDS]
    top = [Word(word=word, count=count) for word, count in ranked]
    return Report(total_words=total.total(), distinct_words=len(total), top=top, chunks=len(counts))
