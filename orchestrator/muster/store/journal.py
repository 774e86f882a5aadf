"""What tasks tell while they run, as the store keeps it: log lines in chunks, steps, metadata, progress.

A job's lines are numbered from 1 in the order in which they came in; what is dropped leaves a gap in the numbers.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, TypeAlias

import orjson

from muster.core.file_record import FileRecord
from muster.core.ids import JobId, UnixMs
from muster.core.record import JobRecord

if TYPE_CHECKING:
    from muster.store.base import Refused

Stream: TypeAlias = Literal["stdout", "stderr", "notice", "event"]
STREAMS: Final[tuple[Stream, ...]] = ("stdout", "stderr", "notice", "event")
"""By the number that stands for them in a chunk. A notice says that lines are missing, and how many."""
NOTICE: Final = 2


class Line(NamedTuple):
    """One line of output; of a notice the text is the number of missing lines. A tuple: there are many of them."""

    at: UnixMs
    stream: Stream
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """A step as it is now. `is_over`: nothing of the task belongs to it any more."""

    index: int
    blob: bytes
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class Meta:
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Progress:
    fraction: float
    message: str


Entry: TypeAlias = Line | Step | Meta | Progress


@dataclass(frozen=True, slots=True)
class TaskEvents:
    """Consecutive events of one attempt; the first of them is its event number *first* (from 0)."""

    job: JobId
    number: int
    worker: str
    attempt: int
    fence: str | None
    first: int
    entries: tuple[Entry, ...]
    log_bytes_max: int
    """Beyond it the job's oldest chunks are dropped."""

    @property
    def last(self) -> int:
        return self.first + len(self.entries) - 1

    def of(self, kind: type[Any]) -> tuple[Any, ...]:
        return tuple(entry for entry in self.entries if isinstance(entry, kind))

    def placed_steps(self) -> Iterator[tuple[int, Step]]:
        """Each step with the number of this batch's lines before it."""
        lines = 0
        for entry in self.entries:
            lines += isinstance(entry, Line)
            if isinstance(entry, Step):
                yield lines, entry


@dataclass(frozen=True, slots=True)
class NotedLine:
    """A line whose teller chose its number, from 1. `at` None: when it comes. Its task is number *task* of the job."""

    job: JobId
    seq: int
    at: UnixMs | None
    stream: Stream
    text: str
    log_bytes_max: int
    task: int = 0


@dataclass(frozen=True, slots=True)
class Appended:
    """`next` is the number of the event that is wanted next. Not `taken`: some of them are known, send the rest."""

    next: int
    taken: bool = True
    cancelling: bool = False


@dataclass(frozen=True, slots=True)
class Chunk:
    """Lines of one task that came in together, numbered from *first*."""

    first: int
    task: int
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class LogRead:
    """Chunks from the one that holds the wanted line. `last` is the newest line's number, 0 without any."""

    is_final: bool
    last: int
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class StoredSteps:
    """Steps by `<task number>.<index>`, as sent; metadata of the job by key."""

    steps: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class PlacedStep:
    """A step as told last, and between which lines of its task it stands: after line `opened`, up to line `closed`.

    `closed` is None while it goes on.
    """

    number: int
    """Of the task."""
    index: int
    attempt: int
    opened: int
    closed: int | None
    blob: bytes


@dataclass(frozen=True, slots=True)
class AttemptStart:
    """A further attempt of task *number* tells since after line *line*: what an earlier one left open is over."""

    number: int
    attempt: int
    line: int


@dataclass(frozen=True, slots=True)
class Known:
    """What a reader of a job's story has seen: lines, changes of steps, artifacts, each by the newest one's number.

    `late` is how many late lines: those that came under smaller numbers than the newest one's. None: it wants none of
    those that are there, only to know how many.
    """

    line: int = 0
    steps: int = 0
    artifacts: int = 0
    late: int | None = None


@dataclass(frozen=True, slots=True)
class LiveRead:
    """What has happened to a job since `Known`, all of one moment; of a long log only the next chunks."""

    record: JobRecord
    last: int
    """The newest line's number."""
    chunks: tuple[Chunk, ...]
    newest_step: int
    steps: tuple[PlacedStep, ...]
    """Those that changed, as they are now."""
    attempts: tuple[AttemptStart, ...]
    newest_artifact: int
    artifacts: tuple[FileRecord, ...]
    late: tuple[Chunk, ...] = ()
    """Late lines after those that were known, each in a chunk of its own; an empty one where the line is gone."""
    late_known: int = 0
    """How many are known with them."""
    has_more_late: bool = False
    """These were not all; no other lines are read then."""


class JournalStore(Protocol):
    """The part of the store's contract that is about events."""

    async def append(self, events: TaskEvents) -> "Appended | Refused":
        """Take events of a task that is leased: each at most once, however often it is sent."""
        ...

    async def note_line(self, line: NotedLine) -> "bool | Refused":
        """Keep one line under its own number. False: that number has a line. Refused: FINAL, GONE."""
        ...

    async def read_log(self, job: JobId, start: int, watcher: str = "") -> LogRead | None:
        """The log from line *start* on. *watcher* is a replica that will be told when more comes."""
        ...

    async def read_steps(self, job: JobId) -> StoredSteps: ...

    async def read_live(self, job: JobId, known: Known, watcher: str = "") -> LiveRead | None:
        """What has happened since. *watcher* is a replica that will be told of every change and of more lines.

        Of late lines the newest 256 at most: where there were more, `late_known` is greater than `known.late` and
        `late` together.
        """
        ...


def dump_lines(lines: Sequence[Line]) -> bytes:
    return orjson.dumps([(line.at, STREAMS.index(line.stream), line.text) for line in lines])


def dump_chunk(first: int, task: int, count: int, lines: bytes) -> bytes:
    """As `append.lua` spells it: the lines' numbers, the task's, and the lines."""
    return b"%d|%d|%d|%b" % (first, count, task, lines)


def dump_text(text: str) -> bytes:
    """As it stands in a chunk."""
    return orjson.dumps(text)


def load_chunk(blob: bytes) -> Chunk:
    first, _, task, lines = blob.split(b"|", 3)
    loaded = tuple([Line(at, STREAMS[stream], text) for at, stream, text in orjson.loads(lines)])
    return Chunk(int(first), int(task), loaded)


def dump_step(change: int, step: PlacedStep) -> bytes:
    """As `append.lua` spells it; under `<task number>.<index>`."""
    closed = b"" if step.closed is None else b"%d" % step.closed
    return b"%d|%d|%d|%b|%b" % (change, step.attempt, step.opened, closed, step.blob)


def load_step(field: str, blob: bytes) -> PlacedStep | AttemptStart:
    _, attempt, opened, closed, step = blob.split(b"|", 4)
    number, dot, index = field.partition(".")
    if not dot:
        return AttemptStart(int(number), int(attempt), int(opened))
    return PlacedStep(int(number), int(index), int(attempt), int(opened), int(closed) if closed else None, step)
