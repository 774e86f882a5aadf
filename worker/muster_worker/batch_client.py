"""What a client does with batches that are streams. A part of `Client`."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson
from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic_core import to_jsonable_python

from muster_worker.answers import read_answer
from muster_worker.backoff import Backoff
from muster_worker.errors import Unreachable
from muster_worker.transport import Transport

NDJSON: Final = "application/x-ndjson"
BLOCK_BYTES: Final = 256 * 1024
SILENCE_S: Final = 60.0
TRIES: Final = 4


class LineRefused(BaseModel):
    """A line of which no job was made: `code` is stable, `detail` says what is wrong."""

    model_config = ConfigDict(extra="allow")

    line: int
    code: str
    detail: str


class LoadedBatch(BaseModel):
    """What became of a stream. `errors`: the first thousand of the refused lines."""

    model_config = ConfigDict(extra="allow")

    batch_id: str
    accepted: int
    already_there: int
    refused: int
    errors: list[LineRefused]


class BatchResult(BaseModel):
    """One job of a batch. `status` is None where it is kept no longer."""

    model_config = ConfigDict(extra="allow")

    line: int
    job_id: str
    status: str | None
    result: Any = None
    error: str | None = None


Jobs = Path | str | Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]]
_LOADED: Final = TypeAdapter(LoadedBatch)


class BatchCalls:
    _transport: Transport

    async def load_batch(
        self,
        jobs: Jobs,
        *,
        batch_id: str | None = None,
        blueprint: str | None = None,
        webhook_url: str | None = None,
    ) -> LoadedBatch:
        """Make up to 100,000 jobs in one stream. A valid line is taken whatever becomes of the others.

        A stream that broke off is sent again with the same id where it can be read again: lines that are there are
        passed over. An asynchronous iterable is read once.

        Args:
            jobs: an NDJSON file, or of each job `blueprint` and, where wanted, `initial_data` and `tags`.
            batch_id: the same one with the same jobs makes none of them twice; made up if not given.
            blueprint: of jobs that name none.
            webhook_url: told once, when the last job is over.

        Raises:
            ClientError: the stream as a whole was refused, or no orchestrator took it.
        """
        query = {"id": batch_id or uuid.uuid4().hex, "blueprint": blueprint, "webhook_url": webhook_url}
        path = f"/api/v1/batches?{urlencode({name: value for name, value in query.items() if value is not None})}"
        blocks, tries = _readable(jobs)
        backoff = Backoff(longest_s=2.0)
        for attempt in range(1, tries + 1):
            try:
                async with self._transport.opened(
                    "POST", path, body=blocks(), headers={"Content-Type": NDJSON}, silence_s=SILENCE_S
                ) as answer:
                    return read_answer(_LOADED, await answer.read())
            except Unreachable as error:
                if attempt == tries:
                    raise
                await asyncio.sleep(backoff.next_delay_s(error.retry_after_s))
        raise AssertionError("the last try returns or raises")

    async def batch_results(
        self, batch_id: str, *, status: Iterable[str] = (), after: int = 0
    ) -> AsyncGenerator[BatchResult, None]:
        """The jobs of a streamed batch in the order of their lines, as they are now; of these statuses only."""
        query: dict[str, str | int] = {"after": after}
        if statuses := ",".join([status] if isinstance(status, str) else status):
            query["status"] = statuses
        path = f"/api/v1/batches/{quote(batch_id, safe='')}/results?{urlencode(query)}"
        async with aclosing(self._transport.lines(path, silence_s=SILENCE_S)) as lines:
            async for line in lines:
                if line:
                    yield BatchResult.model_validate(orjson.loads(line))


def _readable(jobs: Jobs) -> tuple[Callable[[], AsyncIterator[bytes]], int]:
    """What gives the stream's blocks, and how often it can be read."""
    if isinstance(jobs, str | Path):
        return lambda: _of_file(Path(jobs)), TRIES
    if isinstance(jobs, AsyncIterable):
        return lambda: _of_stream(jobs), 1
    return lambda: _of_jobs(jobs), 1 if iter(jobs) is jobs else TRIES


async def _of_file(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as source:
        while block := await asyncio.to_thread(source.read, BLOCK_BYTES):
            yield block


async def _of_stream(jobs: AsyncIterable[Mapping[str, Any]]) -> AsyncIterator[bytes]:
    async for job in jobs:
        yield _line(job)


async def _of_jobs(jobs: Iterable[Mapping[str, Any]]) -> AsyncIterator[bytes]:
    block: list[bytes] = []
    size = 0
    for job in jobs:
        block.append(_line(job))
        size += len(block[-1])
        if size >= BLOCK_BYTES:
            yield b"".join(block)
            block, size = [], 0
    yield b"".join(block)


def _line(job: Mapping[str, Any]) -> bytes:
    return orjson.dumps(to_jsonable_python(dict(job))) + b"\n"
