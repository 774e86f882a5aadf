"""Blueprints that are data, and the live jobs of every version, in the model."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from muster.core.ids import UnixMs, partition_of
from muster.store.blueprint_records import CHANGED_MESSAGE, Head, HeadChange, Migration, NotMoved, NotSaved, Place
from muster.store.memory.admission import is_put_off
from muster.store.memory.jobs import checked
from muster.store.memory.model import PAUSED, Job
from muster.store.memory.partition import Partition


class MemoryBlueprintRecords:
    def __init__(
        self, now: Callable[[], int], partitions: Sequence[Partition], tell_all: Callable[[str], None]
    ) -> None:
        self._now = now
        self._partitions = partitions
        self._tell_all = tell_all
        self._published: dict[tuple[str, str], str] = {}
        self._heads: dict[str, tuple[str, Head]] = {}
        self._specs: dict[tuple[str, str], bytes] = {}
        self._changes = 0

    async def publish(self, name: str, version: str, graph: str) -> None:
        self._published[name, version] = graph

    async def published(self, name: str) -> Mapping[str, str]:
        return {version: graph for (known, version), graph in self._published.items() if known == name}

    async def changes(self) -> int:
        return self._changes

    async def heads(self) -> tuple[Head, ...]:
        return tuple(head for _, (_, head) in sorted(self._heads.items()))

    async def head(self, name: str) -> Head | None:
        return self._heads[name][1] if name in self._heads else None

    async def specs(self, name: str, versions: Sequence[str]) -> tuple[bytes | None, ...]:
        return tuple(self._specs.get((name, version)) for version in versions)

    async def save(self, change: HeadChange, *, names_max: int) -> int | NotSaved:
        by, there = self._heads.get(change.name, ("", None))
        if there is not None and by == change.nonce:
            return there.revision
        if change.revision != (0 if there is None else there.revision):
            return NotSaved.STALE
        if there is None and len(self._heads) >= names_max:
            return NotSaved.FULL
        self._changes += 1
        if change.content is None:
            self._heads.pop(change.name, None)
        else:
            self._heads[change.name] = (change.nonce, Head(change.name, self._changes, change.content))
        self._specs.update({(change.name, version): spec for version, spec in change.specs.items()})
        for version in change.gone:
            self._specs.pop((change.name, version), None)
        self._tell_all(CHANGED_MESSAGE)
        return self._changes

    async def live(self, name: str, version: str) -> int:
        return sum(1 for part in self._partitions for _ in _live(part, name, version))

    async def jobs_of(
        self, partition: int, name: str, version: str, after: Place | None, limit: int
    ) -> tuple[Place, ...]:
        found = (Place(job.record.created_at, job.id) for job in _live(self._partitions[partition], name, version))
        return tuple(sorted(place for place in found if after is None or place > after)[:limit])

    async def migrate(self, migration: Migration) -> NotMoved | None:
        record = migration.record
        part = self._partitions[partition_of(record.id)]
        job = part.job(record.id)
        if job is None:
            return NotMoved.GONE
        known = job.record
        if known.blueprint_version == migration.version and known.version == record.version + 1:
            return None
        if job.is_final:
            return NotMoved.FINAL
        if known.version != record.version or known.blueprint_version != record.blueprint_version:
            return NotMoved.STALE
        if job.turn_token not in {"", PAUSED} or known.spawn_wave:
            return NotMoved.HELD
        job.record = replace(
            known,
            version=known.version + 1,
            revision=known.revision + 1,
            blueprint_version=migration.version,
            state=migration.state,
            context=known.context if migration.context is None else checked(migration.context),
            updated_at=UnixMs(self._now()),
            turn_failures=0,
        )
        if job.turn_at is not None and not is_put_off(part, job):
            job.turn_at = self._now()
        part.note(job, migration.history)
        part.announce(job)
        return None


def _live(part: Partition, name: str, version: str) -> Iterator[Job]:
    for job_id in list(part.jobs):
        job = part.job(job_id)
        if job is None or job.is_final:
            continue
        if job.record.blueprint == name and job.record.blueprint_version == version:
            yield job
