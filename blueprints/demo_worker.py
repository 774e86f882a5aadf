"""A worker for the demo blueprint: `python blueprints/demo_worker.py`."""

import re
from collections import Counter

from demo_contracts import Chunk, Counts, count_words
from muster_worker import Ctx, Worker

WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")

worker = Worker()


@worker.task(count_words)
def count(ctx: Ctx, chunk: Chunk) -> Counts:
    """A plain function: it runs in a thread."""
    words = Counter(WORD.findall(chunk.text.lower()))
    ctx.progress_now(1.0, message=f"chunk {chunk.number}: {words.total()} words")
    return Counts(words=dict(words))


if __name__ == "__main__":
    worker.run()
