"""What tasks tell while they run: taken from workers, read and followed by clients, on whichever replica.

A follower reads from the store at its own pace; an announcement only wakes it. Followers at the same place of the
same log share one read.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from muster.core.ids import JobId, UnixMs, is_job_id, split_task_id, task_id
from muster.core.record import JobRecord
from muster.core.status import JobStatus
from muster.engine.following import Following
from muster.engine.settings import EngineSettings
from muster.errors import ErrorCode, MusterError
from muster.store.base import Refusal, Refused, Store
from muster.store.journal import Appended, Chunk, Entry, LogRead, NotedLine, Stream, TaskEvents

LOOK_AGAIN_S: Final = 5.0
"""A lost announcement costs a follower at most this long."""
BEYOND_EVERY_LINE: Final = 2**53
READS_PER_PAGE: Final = 16
"""A page of a filtered log may be short: after so many reads it answers with what was found."""


Place: TypeAlias = tuple[int, Stream | None]
"""After which line a follower stands, and which lines it wants."""


@dataclass(frozen=True, slots=True)
class EventsReport:
    """Consecutive events of one attempt, numbered from *first* (0 at the attempt's start)."""

    task_id: str
    worker_id: str
    attempt: int
    fence: str | None
    first: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class EventsReply:
    """`accepted_to`: the last event that is known, -1 for none. None: the attempt no longer holds the task."""

    accepted_to: int | None
    cancel_requested: bool = False


class LogEntry(NamedTuple):
    """One line; `dropped` lines are missing where `stream` is `notice`. A tuple: there are many of them."""

    seq: int
    at: UnixMs
    stream: Stream
    text: str
    task_id: str
    dropped: int = 0


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class LogPage:
    """Lines after the one asked for. `position` is what to ask after next; `dropped` lines before them are gone.

    Followers at the same place get the same page, so that what is made of it can be shared too.
    """

    items: tuple[LogEntry, ...]
    position: int
    dropped: int = 0
    is_end: bool = False
    """The job is final, and these were its last lines."""
    is_last: bool = False
    """There are no more lines now."""


@dataclass(frozen=True, slots=True)
class StepView:
    task_id: str
    index: int
    attempt: int
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Steps:
    items: tuple[StepView, ...]
    metadata: Mapping[str, str]


class Journal:
    def __init__(self, store: Store, settings: EngineSettings) -> None:
        self._store = store
        self._settings = settings
        self._following: Following[LogPage] = Following()

    # Workers

    async def take_events(self, report: EventsReport) -> EventsReply:
        """Take what a task tells; events that came before are skipped.

        Raises:
            MusterError: TASK_NOT_FOUND, JOB_NOT_FOUND, FORBIDDEN (another worker's task).
        """
        parts = split_task_id(report.task_id)
        if parts is None:
            raise _task_not_found(report)
        events = TaskEvents(
            job=parts[0],
            number=parts[1],
            worker=report.worker_id,
            attempt=report.attempt,
            fence=report.fence,
            first=report.first,
            entries=report.entries,
            log_bytes_max=self._settings.log_bytes_max,
        )
        while True:
            reply = await self._store.append(events)
            if isinstance(reply, Refused):
                return _refused(report, parts[1], reply)
            if reply.taken:
                return EventsReply(reply.next - 1, reply.cancelling)
            events = _rest(events, reply)

    async def note_line(
        self,
        job_id: str,
        *,
        tenant: str | None,
        seq: int,
        stream: Stream,
        text: str,
        at: UnixMs | None,
        worker: str | None = None,
    ) -> bool:
        """Keep a line under the number that its teller chose; False where that has a line, which stays.

        *tenant* None: a worker tells, whosever job it is; with *worker* only this one, of what it has now. Live events
        tell it also to followers that are past the number.

        Raises:
            MusterError: JOB_NOT_FOUND, JOB_FINAL; FORBIDDEN where *worker* does not have the job's task.
        """
        job = JobId(job_id)
        if tenant is not None:
            await self._job(tenant, job_id)
        elif not is_job_id(job_id):
            raise _job_not_found()
        if worker is not None:
            await self._refuse_others(job, worker)
        noted = await self._store.note_line(
            NotedLine(job, seq, at, stream, text, log_bytes_max=self._settings.log_bytes_max)
        )
        if not isinstance(noted, Refused):
            return noted
        if noted.why is Refusal.FINAL:
            raise MusterError(ErrorCode.JOB_FINAL, f"job {job_id} has ended", hint="nothing is added to its log")
        raise _job_not_found()

    # Clients

    async def logs(self, tenant: str, job_id: str, *, after: int, limit: int, stream: Stream | None) -> LogPage:
        """Up to *limit* lines after line *after* that are there now.

        Raises:
            MusterError: JOB_NOT_FOUND.
        """
        job = (await self._job(tenant, job_id)).id
        found: list[LogEntry] = []
        dropped = 0
        page = LogPage((), after)
        for _ in range(READS_PER_PAGE):
            read = await self._store.read_log(job, page.position + 1)
            page = _page(job, read, page.position, stream, limit - len(found))
            found += page.items
            dropped += page.dropped
            if len(found) >= limit or page.is_last:
                break
        return replace(page, items=tuple(found), dropped=dropped)

    async def follow_logs(
        self,
        tenant: str,
        job_id: str,
        *,
        after: int,
        stream: Stream | None,
        quiet_s: float,
    ) -> AsyncGenerator[LogPage, None]:
        """Pages of lines as they come, until the job is final; an empty one after *quiet_s* without any.

        Ends early when this server shuts down: the last page has no `is_end` then. Lines that come under smaller
        numbers than one that was told before are not told: live events have them.

        Raises:
            MusterError: JOB_NOT_FOUND.
        """
        job = (await self._job(tenant, job_id)).id
        loop = asyncio.get_running_loop()
        heard_at = loop.time()
        with self._following.follow(job) as woken:
            while not self._following.is_closed:
                woken.clear()
                place = (after, stream)
                page = await self._following.read(job, place, partial(self._read_page, job, place))
                after = page.position
                if page.items or page.dropped or page.is_end or loop.time() - heard_at >= quiet_s:
                    heard_at = loop.time()
                    yield page
                if page.is_end:
                    return
                if page.is_last:
                    await woken.set_within(min(LOOK_AGAIN_S, quiet_s))

    async def last_line(self, tenant: str, job_id: str) -> int:
        """The number of the newest line, 0 where there is none.

        Raises:
            MusterError: JOB_NOT_FOUND.
        """
        read = await self._store.read_log((await self._job(tenant, job_id)).id, BEYOND_EVERY_LINE)
        return 0 if read is None else read.last

    async def steps(self, tenant: str, job_id: str) -> Steps:
        """Steps in the order of tasks and steps, of each task's newest attempt only.

        Raises:
            MusterError: JOB_NOT_FOUND.
        """
        job = (await self._job(tenant, job_id)).id
        stored = await self._store.read_steps(job)
        places = sorted(tuple(map(int, place.split("."))) for place in stored.steps)
        views = [step_view(job, number, index, stored.steps[f"{number}.{index}"]) for number, index in places]
        newest: dict[str, int] = {}
        for view in views:
            newest[view.task_id] = max(view.attempt, newest.get(view.task_id, 0))
        return Steps(tuple(view for view in views if view.attempt == newest[view.task_id]), stored.metadata)

    async def status(self, job_id: str) -> JobStatus | None:
        """Of a job whose log just ended, for the last word to its followers."""
        record = await self._store.read(JobId(job_id))
        return None if record is None else record.status

    async def _refuse_others(self, job: JobId, worker: str) -> None:
        record = await self._store.read(job)
        if record is None:
            raise _job_not_found()
        if record.current_worker != worker:
            raise MusterError(
                ErrorCode.FORBIDDEN,
                f"Worker {worker!r} has no task of job {job}.",
                hint="A worker with a token of its own tells lines of the job that it works on.",
            )

    async def _job(self, tenant: str, job_id: str) -> JobRecord:
        record = await self._store.read(JobId(job_id)) if is_job_id(job_id) else None
        if record is None or record.tenant != tenant:
            raise _job_not_found()
        return record

    # Waking

    def announce(self, job: JobId) -> None:
        """The log has grown or ended, here or elsewhere."""
        self._following.announce(job)

    def announce_all(self) -> None:
        """Announcements may have been lost."""
        self._following.announce_all()

    def close(self) -> None:
        """Send every follower elsewhere."""
        self._following.close()

    async def _read_page(self, job: JobId, place: Place) -> LogPage:
        after, stream = place
        read = await self._store.read_log(job, after + 1, self._settings.replica)
        return _page(job, read, after, stream, None)


def _rest(events: TaskEvents, known: Appended) -> TaskEvents:
    return replace(events, first=known.next, entries=events.entries[known.next - events.first :])


def _refused(report: EventsReport, number: int, refused: Refused) -> EventsReply:
    if refused.why is Refusal.FOREIGN:
        raise MusterError(
            ErrorCode.FORBIDDEN,
            f"worker {report.worker_id!r} does not hold task {report.task_id!r}",
            hint="only the worker a task was handed to may tell its events",
        )
    if refused.why is Refusal.GONE and number >= refused.next_task:
        raise _task_not_found(report)
    return EventsReply(None)


def _page(job: JobId, read: LogRead | None, after: int, stream: Stream | None, limit: int | None) -> LogPage:
    """The lines of *read* after line *after*, at most *limit* that fit *stream*."""
    if read is None:
        return LogPage((), after, is_end=True, is_last=True)
    dropped, position = 0, after
    items: list[LogEntry] = []
    if read.chunks and read.chunks[0].first > after + 1:
        dropped = read.chunks[0].first - after - 1
        position = after + dropped
    for entry in entries_of(job, read.chunks):
        if entry.seq <= after:
            continue
        if limit is not None and len(items) >= limit:
            break
        position = entry.seq
        if stream in (None, entry.stream):
            items.append(entry)
    is_last = position >= read.last
    return LogPage(tuple(items), position, dropped, is_end=read.is_final and is_last, is_last=is_last)


def entries_of(job: JobId, chunks: Sequence[Chunk]) -> Iterator[LogEntry]:
    for chunk in chunks:
        told_by = task_id(job, chunk.task)
        for seq, line in enumerate(chunk.lines, chunk.first):
            if line.stream == "notice":
                missing = int(line.text)
                yield LogEntry(seq, line.at, line.stream, f"{missing} lines are missing here", told_by, missing)
            else:
                yield LogEntry(seq, line.at, line.stream, line.text, told_by)


def step_view(job: JobId, number: int, index: int, blob: bytes) -> StepView:
    stored = orjson.loads(blob)
    return StepView(task_id(job, number), index, stored["attempt"], stored["step"])


def _job_not_found() -> MusterError:
    return MusterError(ErrorCode.JOB_NOT_FOUND, "Job not found")


def _task_not_found(report: EventsReport) -> MusterError:
    return MusterError(ErrorCode.TASK_NOT_FOUND, f"there is no task {report.task_id!r}")
