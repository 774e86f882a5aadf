"""How much there is: of the store's server, of a tenant's jobs; and tidying up when somebody asks for it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from muster.core.ids import UnixMs
from muster.core.limits import FIND_JOBS_MAX
from muster.core.status import JobStatus
from muster.store.base import Store
from muster.store.figures import StoreFacts


@dataclass(frozen=True, slots=True)
class Census:
    """A tenant's jobs, those of the last FIND_JOBS_MAX. `begun`: live ones that somebody works on or has."""

    jobs: Mapping[JobStatus, int] = field(default_factory=dict[JobStatus, int])
    begun: int = 0
    steps: int = 0
    """That tasks told of."""
    artifacts: int = 0
    oldest: UnixMs | None = None
    newest: UnixMs | None = None

    @property
    def total(self) -> int:
        return sum(self.jobs.values())

    def count(self, *statuses: JobStatus) -> int:
        return sum(self.jobs.get(status, 0) for status in statuses)


class Figures:
    def __init__(self, store: Store, prune: Callable[[], Awaitable[int]]) -> None:
        self._store = store
        self._prune = prune
        self._tidying: asyncio.Task[tuple[str, ...]] | None = None

    async def facts(self) -> StoreFacts:
        return await self._store.figures.facts()

    async def answers(self) -> bool:
        """Whether the store does, now."""
        return await self._store.ping()

    async def census(self, tenant: str) -> Census:
        jobs = await self._store.glances(tenant, tag=None, statuses=None, most=FIND_JOBS_MAX)
        if not jobs:
            return Census()
        tally = await self._store.figures.tally([found.job for found in jobs])
        counts: dict[JobStatus, int] = {}
        for found in jobs:
            counts[found.status] = counts.get(found.status, 0) + 1
        created = [found.created_at for found in jobs]
        begun = sum(found.begun and not found.status.is_final for found in jobs)
        return Census(counts, begun, tally.steps, tally.artifacts, min(created), max(created))

    async def tidy_up(self) -> tuple[str, ...]:
        """What was done, in sentences. Who asks while it goes on gets the same answer."""
        if self._tidying is None or self._tidying.done():
            self._tidying = asyncio.get_running_loop().create_task(self._tidy_up())
        return await asyncio.shield(self._tidying)

    async def _tidy_up(self) -> tuple[str, ...]:
        removed = await self._prune()
        return (
            "Looked at every stored file",
            f"Removed {removed} files of expired uploads, ended executions and broken transfers",
        )
