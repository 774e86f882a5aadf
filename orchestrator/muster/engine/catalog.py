"""Jobs found by tag and by status."""

import asyncio
from typing import Final

from muster.core.ids import JobId, UnixMs, is_job_id
from muster.core.limits import FIND_JOBS_MAX, TAG_CHARACTERS_MAX, TAGS_MAX
from muster.core.record import JobRecord
from muster.core.status import JobStatus
from muster.engine.views import Found, JobPage
from muster.errors import ErrorCode, MusterError
from muster.store.base import Position, Store

PAGES_READ_MAX: Final = 20
"""Pages of jobs that are gone meanwhile are passed over; after so many the listing returns what it has."""


class Catalog:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def tagged(self, tenant: str, tag: str, *, limit: int, cursor: str | None = None) -> JobPage:
        """The tenant's jobs of the tag, live and final, newest created first; at least the newest 10,000.

        Raises:
            MusterError: INVALID_PARAMETER for a foreign cursor.
        """
        before = read_cursor(cursor)
        found: list[JobRecord] = []
        for _ in range(PAGES_READ_MAX):
            page = await self._store.tagged(tenant, tag, before, limit - len(found))
            found += page.items
            before = page.last
            if before is None or len(found) >= limit:
                break
        return JobPage(tuple(found), write_cursor(before))

    async def find(
        self,
        tenant: str,
        *,
        statuses: frozenset[JobStatus] | None,
        limit: int,
        offset: int,
        begun: bool | None = None,
    ) -> Found:
        """The jobs of these statuses, newest created first; `total` counts all of them.

        *begun*: only those that somebody has begun, or only those that nobody has.

        Every job of the tenant is looked at, 500 a call: about 2 us of the store's time each, 0.2 s for the most that
        are looked at, 100,000. Of more than that the total is a lower bound, and the oldest ended ones are not found.
        """
        glances = await self._store.glances(tenant, tag=None, statuses=statuses, most=FIND_JOBS_MAX)
        ordered = sorted((one for one in glances if begun in (None, one.begun)), reverse=True)
        records = await asyncio.gather(*(self._store.read(glance.job) for glance in ordered[offset : offset + limit]))
        return Found(tuple(record for record in records if record is not None), len(ordered))


def checked_tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    """*tags* without repetitions. Raises: MusterError INVALID_BODY for too many, an empty or a long one."""
    unique = tuple(dict.fromkeys(tags))
    if len(unique) > TAGS_MAX:
        raise MusterError(ErrorCode.INVALID_BODY, f"A job has at most {TAGS_MAX} tags, not {len(unique)}.")
    for tag in unique:
        if not 1 <= len(tag) <= TAG_CHARACTERS_MAX:
            raise MusterError(
                ErrorCode.INVALID_BODY, f"A tag has 1 to {TAG_CHARACTERS_MAX} characters, not {len(tag)}: {tag[:40]!r}."
            )
    return unique


def write_cursor(place: Position | None) -> str | None:
    return None if place is None else f"{place.at}.{place.job}"


def read_cursor(cursor: str | None) -> Position | None:
    """Raises: MusterError INVALID_PARAMETER."""
    if cursor is None:
        return None
    at, _, job = cursor.partition(".")
    if not at.isdecimal() or len(at) > 16 or not is_job_id(job):
        raise MusterError(
            ErrorCode.INVALID_PARAMETER, f"cursor {cursor!r} is not one of ours", hint="pass `next` of the last page"
        )
    return Position(UnixMs(int(at)), JobId(job))
