"""Jobs found by what they are, and what fails most. The narrowest index is walked; how far is bounded."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from muster.core.ids import JobId, UnixMs
from muster.core.limits import SEARCH_JOBS_MAX
from muster.core.record import JobRecord
from muster.core.status import JobStatus, are_final
from muster.core.transitions import RETRIABLE
from muster.engine.catalog import read_cursor, write_cursor
from muster.engine.views import JobPage
from muster.store.base import Position, Store
from muster.store.index import IndexPage

PAGE: Final = 200
"""Jobs read at a time."""
NOWHERE: Final = JobId("")
"""Below every id: a place before all jobs of its moment."""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """What jobs must be, all of it at once. Moments are in ms since 1970; `until` ones are not reached."""

    statuses: frozenset[JobStatus] | None = None
    blueprint: str | None = None
    tag: str | None = None
    error: str | None = None
    """A fingerprint."""
    created_since: UnixMs | None = None
    created_until: UnixMs | None = None
    finished_since: UnixMs | None = None
    finished_until: UnixMs | None = None

    def matches(self, record: JobRecord) -> bool:
        return (
            (self.statuses is None or record.status in self.statuses)
            and self.blueprint in {None, record.blueprint}
            and (self.tag is None or self.tag in record.submission.tags)
            and self.error in {None, record.fingerprint}
            and _within(record.created_at, self.created_since, self.created_until)
            and _within(record.finished_at, self.finished_since, self.finished_until)
        )

    @property
    def final(self) -> bool | None:
        """Whether only jobs that are over can match, or only live ones; None: either."""
        ended = (self.error, self.finished_since, self.finished_until) != (None, None, None)
        return True if ended else are_final(self.statuses)

    @property
    def wants_failures(self) -> bool:
        """Only jobs that ended without a result: these have an index of their own."""
        return self.error is not None or (self.statuses is not None and self.statuses <= RETRIABLE)


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Jobs with errors of one fingerprint. `newest` is the one that ended last, where it is still there."""

    fingerprint: str
    count: int
    newest: JobRecord | None


class Searching:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def search(self, tenant: str, wanted: JobFilter, *, limit: int, cursor: str | None = None) -> JobPage:
        """Newest first: by end, live ones by creation; with a tag, and no failure asked for, all by creation.

        At most `SEARCH_JOBS_MAX` jobs are read: a page may be short, or empty, and still have a `next`.

        Raises:
            MusterError: INVALID_PARAMETER for a foreign cursor.
        """
        before = read_cursor(cursor) or _start(wanted)
        found: list[JobRecord] = []
        for _ in range(SEARCH_JOBS_MAX // PAGE):
            page = await self._page(tenant, wanted, before)
            for record, place in zip(page.items, page.places, strict=True):
                if _is_past(wanted, place):
                    return JobPage(tuple(found), None)
                if wanted.matches(record):
                    found.append(record)
                if len(found) >= limit:
                    return JobPage(tuple(found), write_cursor(place))
            before = page.last
            if before is None:
                return JobPage(tuple(found), None)
        return JobPage(tuple(found), write_cursor(before))

    async def _page(self, tenant: str, wanted: JobFilter, before: Position | None) -> IndexPage:
        """Jobs of the narrowest index."""
        if wanted.wants_failures:
            return await self._store.operations.failures(tenant, wanted.error or "", before, PAGE)
        if wanted.tag is not None:
            return await self._store.tagged(tenant, wanted.tag, before, PAGE, final=wanted.final)
        return await self._store.jobs(tenant, before, PAGE, final=wanted.final)

    async def errors(self, tenant: str, since: date, until: date, *, limit: int) -> tuple[ErrorGroup, ...]:
        """What failed most on the days (UTC, both included), the greatest number first."""
        days = [since + timedelta(days=place) for place in range((until - since).days + 1)]
        counts = await self._store.operations.errors(tenant, days)
        most = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:limit]
        end = datetime(until.year, until.month, until.day, tzinfo=UTC) + timedelta(days=1)
        before = Position(UnixMs(int(end.timestamp() * 1000)), NOWHERE)
        newest = await asyncio.gather(*(self._store.operations.failures(tenant, name, before, 1) for name, _ in most))
        return tuple(
            ErrorGroup(name, count, page.items[0] if page.items else None)
            for (name, count), page in zip(most, newest, strict=True)
        )


def _by_creation(wanted: JobFilter) -> bool:
    return not wanted.wants_failures and (wanted.tag is not None or wanted.final is False)


def _start(wanted: JobFilter) -> Position | None:
    until = wanted.created_until if _by_creation(wanted) else wanted.finished_until
    return None if until is None else Position(until, NOWHERE)


def _is_past(wanted: JobFilter, place: Position) -> bool:
    """From here on all jobs are older than what is wanted."""
    since = [wanted.created_since] if _by_creation(wanted) else [wanted.created_since, wanted.finished_since]
    return any(moment is not None and place.at < moment for moment in since)


def _within(at: UnixMs | None, since: UnixMs | None, until: UnixMs | None) -> bool:
    if since is None and until is None:
        return True
    return at is not None and (since is None or at >= since) and (until is None or at < until)
