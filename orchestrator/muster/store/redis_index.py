"""The part of the store on Redis or Valkey that lists, finds and deletes jobs. `RedisStore` has these methods."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Final

import orjson

from muster.core.ids import JobId, UnixMs
from muster.core.limits import TASKS_PER_COMMIT_MAX
from muster.core.metering import DURATIONS_KEPT_MS, DURATIONS_MAX
from muster.core.record import JobRecord
from muster.core.status import FINAL, JobStatus
from muster.store.base import Position
from muster.store.codec import text_fields
from muster.store.index import DayCost, Glance, IndexPage
from muster.store.keys import meter_hash, short_hash

INDEX_DAY_MS: Final = 86_400_000
INDEX_DAYS_MAX: Final = 31
"""Days of finished jobs a listing looks back, page by page."""
EPOCH: Final = date(1970, 1, 1)
GLANCE_FIELDS: Final = 5
GLANCES_PER_CALL: Final = 500
"""A script that looks at so many jobs keeps the server for about a millisecond."""
HALF_DELETED_MS: Final = 3_600_000
"""What is left of a job whose deletion was broken off goes by itself after this time."""


class IndexCalls:
    """Each method is some script calls, and plain reads."""

    _tags: tuple[str, ...]

    def _call(self, *command: bytes | str | int | float) -> Awaitable[Any]:
        raise NotImplementedError

    def _run(self, name: str, tag: str, *args: bytes | str | int | float) -> Awaitable[Any]:
        raise NotImplementedError

    def _tag_or_none(self, job: JobId) -> str | None:
        raise NotImplementedError

    async def read(self, job: JobId, watcher: str = "", *, changes: bool = False) -> JobRecord | None:
        raise NotImplementedError

    # Pages

    async def jobs(self, tenant: str, before: Position | None, limit: int, *, final: bool | None = None) -> IndexPage:
        of = short_hash(tenant)
        pages = await asyncio.gather(*(self._listed(tag, of, before, limit, final) for tag in self._tags))
        # A job that ends meanwhile may be found among the live and the final ones.
        newest = {place.job: place for page in pages for place in sorted(page)}
        return await self._page(sorted(newest.values(), reverse=True)[:limit])

    async def _page(self, places: Sequence[Position]) -> IndexPage:
        """An index may name jobs that were kept for a shorter time than it is: there may be more below them."""
        records = await asyncio.gather(*(self.read(place.job) for place in places))
        found = [(record, place) for record, place in zip(records, places, strict=True) if record is not None]
        last = places[-1] if places else None
        return IndexPage(tuple(record for record, _ in found), tuple(place for _, place in found), last)

    async def _listed(
        self, tag: str, tenant: str, before: Position | None, limit: int, final: bool | None
    ) -> list[Position]:
        """The newest of one partition: live ones, and final ones by days. All is asked for in one round trip."""
        newest = (int(time.time() * 1000) if before is None else before.at) // INDEX_DAY_MS
        keys = [] if final else [f"{tag}xr:{tenant}"]
        if final is not False:
            keys += (f"{tag}xf:{day}:{tenant}" for day in range(newest, newest - INDEX_DAYS_MAX, -1))
        pages = await asyncio.gather(*(self._newest(key, before, limit) for key in keys))
        return [place for page in pages for place in page]

    async def _newest(self, key: str, before: Position | None, limit: int) -> list[Position]:
        """Equal times are passed over page by page, so that none is lost at a page's edge."""
        top: int | str = "+inf" if before is None else before.at
        found: list[Position] = []
        offset = 0
        while True:
            flat = await self._call("ZREVRANGEBYSCORE", key, top, "-inf", "WITHSCORES", "LIMIT", offset, limit)
            pairs = zip(flat[::2], flat[1::2], strict=True)
            page = [Position(UnixMs(int(score)), JobId(job.decode())) for job, score in pairs]
            found += [place for place in page if before is None or place < before]
            if len(page) < limit or len(found) >= limit:
                return found[:limit]
            offset += limit

    async def failures(self, tenant: str, fingerprint: str, before: Position | None, limit: int) -> IndexPage:
        newest = (int(time.time() * 1000) + INDEX_DAY_MS if before is None else before.at) // INDEX_DAY_MS
        kind, of = ("xe", f":{fingerprint}") if fingerprint else ("xb", "")
        days = range(newest + 1, newest - INDEX_DAYS_MAX, -1)
        keys = [f"{part}{kind}:{day}:{short_hash(tenant)}{of}" for part in self._tags for day in days]
        pages = await asyncio.gather(*(self._newest(key, before, limit) for key in keys))
        return await self._page(sorted({place for page in pages for place in page}, reverse=True)[:limit])

    async def errors(self, tenant: str, days: Sequence[date]) -> Mapping[str, int]:
        keys = [f"{part}er:{(day - EPOCH).days}:{short_hash(tenant)}" for part in self._tags for day in days]
        counts: Counter[str] = Counter()
        for flat in await asyncio.gather(*(self._call("HGETALL", key) for key in keys)):
            counts.update({name: int(count) for name, count in text_fields(flat).items()})
        return counts

    async def tagged(
        self, tenant: str, tag: str, before: Position | None, limit: int, *, final: bool | None = None
    ) -> IndexPage:
        of_live, of_final = _tag_indexes(tenant, tag)
        indexes = [*([] if final else [of_live]), *([] if final is False else [of_final])]
        keys = [part + index for part in self._tags for index in indexes]
        pages = await asyncio.gather(*(self._newest(key, before, limit) for key in keys))
        listed = sorted({place for page in pages for place in page}, reverse=True)
        page = await self._page(listed[:limit])
        gone = [place.job for place in listed[:limit] if place not in page.places]
        if gone:
            await asyncio.gather(*(self._call("ZREM", key, *gone) for key in keys))
        return page if len(listed) >= limit else replace(page, last=None)

    # Searches

    async def glances(
        self, tenant: str, *, tag: str | None, statuses: frozenset[JobStatus] | None, most: int
    ) -> Sequence[Glance]:
        found: dict[JobId, Glance] = {}
        left = most
        for index in _searched(tenant, tag, statuses):
            if left <= 0:
                break
            parts = await asyncio.gather(*(self._glance_all(part, index, statuses, left) for part in self._tags))
            for looked_at, glances in parts:
                left -= looked_at
                found |= glances
        return tuple(found.values())

    async def _glance_all(
        self, part: str, index: str, statuses: Iterable[JobStatus] | None, most: int
    ) -> tuple[int, dict[JobId, Glance]]:
        """One index from its highest score on, chunk by chunk.

        A chunk starts with the last one's lowest score: that may have been cut within jobs of one score.
        """
        words = list(statuses or ())
        found: dict[JobId, Glance] = {}
        looked_at, offset, top = 0, 0, b"+inf"
        while looked_at < most:
            count, first, last, *flat = await self._run(
                "glance", part, index, top, offset, min(GLANCES_PER_CALL, most - looked_at), *words
            )
            looked_at += int(count)
            for glance in map(_glance, *(flat[place::GLANCE_FIELDS] for place in range(GLANCE_FIELDS))):
                found[glance.job] = glance
            if int(count) < GLANCES_PER_CALL:
                break
            passed = offset if top == last else 0
            offset = passed + int(count) if first == last else 0  # a score that fills a chunk may go on
            top = last
        return looked_at, found

    # Sums

    async def day_costs(self, tenant: str, days: Sequence[date]) -> tuple[DayCost, ...]:
        keys = [(day, f"co:{(day - EPOCH).days}:{short_hash(tenant)}") for day in days]
        replies = await asyncio.gather(*(self._call("HGETALL", part + key) for _, key in keys for part in self._tags))
        sums: dict[tuple[date, str], Counter[str]] = {}
        places = [day for day, _ in keys for _ in self._tags]
        for day, flat in zip(places, replies, strict=True):
            for field, value in text_fields(flat).items():
                kind, _, meter = field.partition("|")
                sums.setdefault((day, meter), Counter())[kind] += int(value)
        return tuple(DayCost(day, meter, s["j"], s["r"], s["c"]) for (day, meter), s in sums.items())

    async def durations(self, tenant: str, meter: str) -> tuple[int, ...]:
        key = f"du:{short_hash(tenant)}:{meter_hash(meter)}"
        clock, *lists = await asyncio.gather(
            self._call("TIME"), *(self._call("LRANGE", part + key, 0, DURATIONS_MAX - 1) for part in self._tags)
        )
        since = int(clock[0]) * 1000 - DURATIONS_KEPT_MS
        ended = [tuple(map(int, entry.split(b"|"))) for entries in lists for entry in entries]
        ended.sort(key=lambda pair: -pair[0])
        return tuple(ms for at, ms in ended if at >= since)[:DURATIONS_MAX]

    # Deletion

    async def delete(self, job: JobId) -> tuple[str, ...]:
        tag = self._tag_or_none(job)
        if tag is None:
            return ()
        reply: list[Any] = [b"more", b"0"]
        while reply[0] == b"more":
            reply = await self._run("delete", tag, job, int(reply[1]), TASKS_PER_COMMIT_MAX, HALF_DELETED_MS)
        if reply[0] != b"ok":
            return ()
        return tuple(orjson.loads(entry.partition(b"|")[2])["blob"] for entry in reply[1])


def _glance(job: bytes, created: bytes, status: bytes, begun: bytes, cost: bytes) -> Glance:
    return Glance(UnixMs(int(created)), JobId(job.decode()), JobStatus(status.decode()), begun == b"1", int(cost))


def _tag_indexes(tenant: str, tag: str) -> tuple[str, str]:
    """Of live jobs and of final ones."""
    place = f"{short_hash(tenant)}:{short_hash(tag)}"
    return f"xl:{place}", f"xt:{place}"


def _searched(tenant: str, tag: str | None, statuses: frozenset[JobStatus] | None) -> list[str]:
    """The indexes in which jobs of these statuses are: of live jobs, then of final ones, newest days first."""
    live, final = statuses is None or not statuses <= FINAL, statuses is None or bool(statuses & FINAL)
    if tag is not None:
        of_live, of_final = _tag_indexes(tenant, tag)
        finals = [of_final]
    else:
        of_live = f"xr:{short_hash(tenant)}"
        today = int(time.time() * 1000) // INDEX_DAY_MS
        # The day after today by this clock may be today by another replica's.
        finals = [f"xf:{day}:{short_hash(tenant)}" for day in range(today + 1, today - INDEX_DAYS_MAX, -1)]
    return [*([of_live] if live else ()), *(finals if final else ())]
