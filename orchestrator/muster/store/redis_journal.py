"""The part of the store on Redis or Valkey that is about events. `RedisStore` has these methods."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, Final

from muster.core.ids import JobId
from muster.store.base import Refusal, Refused
from muster.store.codec import load_record, text_fields
from muster.store.journal import (
    STREAMS,
    Appended,
    AttemptStart,
    Known,
    Line,
    LiveRead,
    LogRead,
    Meta,
    NotedLine,
    PlacedStep,
    Progress,
    StoredSteps,
    TaskEvents,
    dump_lines,
    dump_text,
    load_chunk,
    load_step,
)
from muster.store.redis_files import load_artifact

CHUNKS_PER_READ: Final = 256
BYTES_PER_READ: Final = 262_144
"""A read ends with the chunk that reaches this size."""


class JournalCalls:
    """Each method is one script call, or plain reads."""

    def _call(self, *command: bytes | str | int | float) -> Awaitable[Any]:
        raise NotImplementedError

    def _run(self, name: str, tag: str, *args: bytes | str | int | float) -> Awaitable[Any]:
        raise NotImplementedError

    def _tag_or_none(self, job: JobId) -> str | None:
        raise NotImplementedError

    async def append(self, events: TaskEvents) -> Appended | Refused:
        tag = self._tag_or_none(events.job)
        if tag is None:
            return Refused(Refusal.GONE, -1)
        reply = await self._run("append", tag, *_append_args(events))
        match reply[0]:
            case b"ok" | b"overlap":
                return Appended(int(reply[1]), taken=reply[0] == b"ok", cancelling=reply[2] == b"1")
            case b"gone":
                return Refused(Refusal.GONE, int(reply[1]))
            case why:
                return Refused(Refusal(why.decode()))

    async def note_line(self, line: NotedLine) -> bool | Refused:
        tag = self._tag_or_none(line.job)
        if tag is None:
            return Refused(Refusal.GONE, -1)
        at = "" if line.at is None else line.at
        stream, text = STREAMS.index(line.stream), dump_text(line.text)
        reply = await self._run("note_line", tag, line.job, line.seq, line.task, at, stream, text, line.log_bytes_max)
        match reply[0]:
            case b"new" | b"known":
                return bool(reply[0] == b"new")
            case why:
                return Refused(Refusal(why.decode()), -1)

    async def read_log(self, job: JobId, start: int, watcher: str = "") -> LogRead | None:
        tag = self._tag_or_none(job)
        if tag is None:
            return None
        reply = await self._run("logs", tag, job, start, CHUNKS_PER_READ, BYTES_PER_READ, watcher)
        if not reply:
            return None
        is_final, last, chunks = reply
        return LogRead(is_final == b"1", int(last), tuple(load_chunk(chunk) for chunk in chunks))

    async def read_steps(self, job: JobId) -> StoredSteps:
        tag = self._tag_or_none(job)
        if tag is None:
            return StoredSteps()
        steps, metadata = await asyncio.gather(
            self._call("HGETALL", f"{tag}sp:{job}"), self._call("HGETALL", f"{tag}md:{job}")
        )
        placed = [step for step in _loaded(steps) if isinstance(step, PlacedStep)]
        return StoredSteps({f"{step.number}.{step.index}": step.blob for step in placed}, text_fields(metadata))

    async def read_live(self, job: JobId, known: Known, watcher: str = "") -> LiveRead | None:
        tag = self._tag_or_none(job)
        if tag is None:
            return None
        late_known = "" if known.late is None else known.late
        reply = await self._run(
            "live", tag, job, known.line + 1, CHUNKS_PER_READ, BYTES_PER_READ, known.steps, known.artifacts, watcher,
            late_known,
        )  # fmt: skip
        if not reply:
            return None
        header, task, last, chunks, newest_step, steps, newest_artifact, files, late_at, late_count, late = reply
        loaded = _loaded(steps)
        return LiveRead(
            record=load_record(job, header, task),
            last=int(last),
            chunks=tuple(load_chunk(chunk) for chunk in chunks),
            newest_step=int(newest_step),
            steps=tuple(step for step in loaded if isinstance(step, PlacedStep)),
            attempts=tuple(step for step in loaded if isinstance(step, AttemptStart)),
            newest_artifact=int(newest_artifact),
            artifacts=tuple(load_artifact(file, None) for file in files),
            late=tuple(load_chunk(chunk) for chunk in late),
            late_known=int(late_at),
            has_more_late=int(late_at) < int(late_count),
        )


def _loaded(flat: Sequence[bytes]) -> list[PlacedStep | AttemptStart]:
    pairs = iter(flat)
    return [load_step(field.decode(), blob) for field, blob in zip(pairs, pairs, strict=True)]


def _append_args(events: TaskEvents) -> list[bytes | str | int | float]:
    lines: tuple[Line, ...] = events.of(Line)
    steps = tuple(events.placed_steps())
    metadata: tuple[Meta, ...] = events.of(Meta)
    told: tuple[Progress, ...] = events.of(Progress)
    progress: tuple[float | str, str] = (told[-1].fraction, told[-1].message) if told else ("", "")
    args: list[bytes | str | int | float] = [
        events.job, events.number, events.worker, events.attempt, events.fence or "", events.first, events.last,
        events.log_bytes_max, len(lines), dump_lines(lines), *progress, len(steps),
    ]  # fmt: skip
    for before, step in steps:
        args += (step.index, int(step.is_over), before, step.blob)
    args.append(len(metadata))
    for meta in metadata:
        args += (meta.key, meta.value)
    return args
