"""Those who follow all jobs of a tenant on this replica: which jobs changed, and how far each follower was told."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from muster.core.ids import JobId
from muster.engine.clock import unix_ms
from muster.engine.following import set_within
from muster.engine.live_events import LinePlace
from muster.engine.story import Place
from muster.store.base import Store, StoreFull, StoreUnavailable
from muster.store.keys import short_hash

WATCH_MS: Final = 60_000
"""The store forgets a replica that does not say again that it watches the tenant."""
UNNOTICED_MS: Final = 45_000
"""A dead connection for messages may not be noticed for so long; what changed meanwhile is told again."""
WATCH_AGAIN_S: Final = 20.0
JOBS_FOLLOWED_MAX: Final = 1_000
"""Of so many jobs a follower knows how far it was told; for the others only the last line."""
JOBS_REMEMBERED_MAX: Final = 10_000
"""Of so many jobs a follower knows that they have ended, or after which line to go on."""
JOBS_BEHIND_MAX: Final = 10_000
"""A follower that has so many changed jobs to look at is sent away."""
CLOCKS_APART_MS: Final = 2_000
"""The store's clock and a replica's may differ so much. What happened close to a moment is told again, not missed."""
_ENDED: Final = LinePlace(-1)


@dataclass(slots=True, eq=False)
class TenantFollower:
    """What one follower still has to look at, and how far it was told."""

    woken: asyncio.Event = field(default_factory=asyncio.Event)
    changed: dict[JobId, LinePlace | None] = field(default_factory=dict[JobId, LinePlace | None])
    """Jobs to look at, longest waiting first: after which line, or None: as they are now."""
    is_lost: bool = False
    _places: OrderedDict[JobId, Place] = field(default_factory=OrderedDict[JobId, Place])
    _lines: OrderedDict[JobId, LinePlace] = field(default_factory=OrderedDict[JobId, LinePlace])

    def announce(self, job: JobId, line: LinePlace | None) -> None:
        """The job changed; *line* was the last one before."""
        if self._lines.get(job) == _ENDED:
            return
        if job not in self.changed and len(self.changed) >= JOBS_BEHIND_MAX:
            self.is_lost = True
        else:
            self.changed.setdefault(job, line)
        self.woken.set()

    def look_again(self) -> None:
        """Announcements of any job may have been lost."""
        for job, place in self._places.items():
            self.announce(job, place.lines)

    def take(self, count: int) -> list[tuple[JobId, Place | None]]:
        """The next jobs to look at and where to go on; None: where they are now."""
        jobs = [job for job, _ in zip(self.changed, range(count), strict=False)]
        return [(job, self._place(job, self.changed.pop(job))) for job in jobs]

    def _place(self, job: JobId, line: LinePlace | None) -> Place | None:
        known = self._places.get(job)
        if known is not None:
            return known
        line = self._lines.get(job, line)
        return None if line is None else Place.after(line)

    def told(self, job: JobId, place: Place) -> None:
        self._places[job] = place
        self._places.move_to_end(job)
        if len(self._places) > JOBS_FOLLOWED_MAX:
            longest_quiet, its_place = self._places.popitem(last=False)
            self._remember(longest_quiet, its_place.lines)

    def ended(self, job: JobId) -> None:
        """There is nothing more to be told of it, whatever announcement is still on its way."""
        self._places.pop(job, None)
        self.changed.pop(job, None)
        self._remember(job, _ENDED)

    def _remember(self, job: JobId, line: LinePlace) -> None:
        self._lines[job] = line
        self._lines.move_to_end(job)
        if len(self._lines) > JOBS_REMEMBERED_MAX:
            self._lines.popitem(last=False)


@dataclass(slots=True, eq=False)
class _Room:
    """The followers of one tenant here, and the one loop that keeps the store telling this replica."""

    tenant: str
    followers: set[TenantFollower] = field(default_factory=set[TenantFollower])
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    loop: "asyncio.Task[None] | None" = None
    heard_ms: int = 0
    """Nothing was missed until then."""


class Tenants:
    def __init__(self, store: Store, replica: str) -> None:
        self._store = store
        self._replica = replica
        self._rooms: dict[str, _Room] = {}

    @asynccontextmanager
    async def follow(self, tenant: str) -> AsyncIterator[TenantFollower]:
        """Collect the changes of the tenant's jobs from here on."""
        flow = short_hash(tenant)
        room = self._rooms.setdefault(flow, _Room(tenant))
        follower = TenantFollower()
        room.followers.add(follower)
        try:
            await self._watch(room)
            if room.loop is None:
                room.loop = asyncio.get_running_loop().create_task(self._keep_watching(room))
            yield follower
        finally:
            room.followers.discard(follower)
            if not room.followers:
                if self._rooms.get(flow) is room:
                    del self._rooms[flow]
                if room.loop is not None:
                    room.loop.cancel()

    def announce(self, flow: str, job: JobId, line: LinePlace) -> None:
        room = self._rooms.get(flow)
        if room is not None:
            for follower in room.followers:
                follower.announce(job, line)

    def look_again(self) -> None:
        """Announcements may have been lost."""
        for room in self._rooms.values():
            room.hurry.set()

    def wake_all(self) -> None:
        for room in self._rooms.values():
            for follower in room.followers:
                follower.woken.set()

    async def changed_since(self, tenant: str, since_ms: int) -> list[JobId]:
        """Of the newest jobs of the tenant, those that did something since then; oldest change first."""
        records = await self._store.jobs(tenant, None, JOBS_FOLLOWED_MAX)
        changed = [record for record in records.items if record.updated_at >= since_ms - CLOCKS_APART_MS]
        return [record.id for record in sorted(changed, key=lambda record: record.updated_at)]

    async def _watch(self, room: _Room) -> bool:
        now_ms = unix_ms()
        known = await self._store.watch_tenant(room.tenant, self._replica, WATCH_MS)
        if known or not room.heard_ms:
            room.heard_ms = now_ms
        return known

    async def _keep_watching(self, room: _Room) -> None:
        behind_since: int | None = None
        while True:
            await set_within(room.hurry, WATCH_AGAIN_S)
            lost = room.hurry.is_set()
            room.hurry.clear()
            since_ms = room.heard_ms - UNNOTICED_MS if behind_since is None else behind_since
            try:
                if not await self._watch(room) or lost or behind_since is not None:
                    await self._catch_up(room, since_ms)
                behind_since = None
            except (StoreUnavailable, StoreFull):
                behind_since = since_ms
                room.hurry.set()
                await asyncio.sleep(1.0)

    async def _catch_up(self, room: _Room, since_ms: int) -> None:
        now_ms = unix_ms()
        jobs = await self.changed_since(room.tenant, since_ms)
        for follower in room.followers:
            follower.look_again()
            for job in jobs:
                follower.announce(job, None)
        room.heard_ms = now_ms
