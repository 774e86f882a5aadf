"""Running jobs moved to another version of their blueprint: looked at first, one script a job, a page a request."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from muster.blueprint.definition import AnyBlueprint
from muster.blueprint.moving import Stays, judge
from muster.blueprint.registry import Registry
from muster.core import events as ev
from muster.core.ids import JobId, UnixMs, is_job_id
from muster.core.record import JobRecord
from muster.engine.history import blob
from muster.engine.versions import Versions
from muster.errors import ErrorCode, MusterError
from muster.store.base import Store
from muster.store.blueprint_records import Migration, NotMoved, Place

JOBS_MAX: Final = 200
"""Looked at in one request."""
LOOKS_MAX: Final = 200
"""Reads of an index in one request: of a cluster most are of empty partitions."""
REFUSED_SHOWN_MAX: Final = 50
"""Jobs that a page tells of one by one; all of them are counted."""


@dataclass(frozen=True, slots=True)
class Order:
    """*to* and *source*: a version or its number; source None: all others. *names*: old state to new."""

    to: str
    source: str | None = None
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    is_dry: bool = True
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Refused:
    job: JobId
    state: str
    code: str
    detail: str


@dataclass(slots=True)
class Page:
    """Of one request. `moved` and `stayed` are by the job's state; of a dry run `moved` would be."""

    to: str
    moved: Counter[str] = field(default_factory=Counter[str])
    stayed: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter[str]))
    refused: list[Refused] = field(default_factory=list[Refused])
    next: str | None = None

    def refuse(self, record: JobRecord, code: str, detail: str) -> None:
        self.stayed[record.state][code] += 1
        if len(self.refused) < REFUSED_SHOWN_MAX:
            self.refused.append(Refused(record.id, record.state, code, detail))


@dataclass(frozen=True, slots=True)
class _Cursor:
    version: str
    partition: int = 0
    after: Place | None = None

    def __str__(self) -> str:
        place = "" if self.after is None else f"{self.after.at}.{self.after.job}"
        return f"{self.version}/{self.partition}/{place}"


class Migrations:
    def __init__(
        self,
        store: Store,
        registry: Registry,
        versions: Versions,
        partitions: int,
        hint: Callable[[JobId, int], None],
        *,
        history: bool,
    ) -> None:
        self._store = store
        self._records = store.blueprints
        self._registry = registry
        self._versions = versions
        self._partitions = partitions
        self._hint = hint
        self._history = history

    async def migrate(self, name: str, order: Order, cursor: str | None = None) -> Page:
        """Move live jobs of *name* between two of their turns, or say what would become of them.

        Raises: MusterError BLUEPRINT_NOT_FOUND, VERSION_NOT_FOUND, INVALID_BODY, INVALID_PARAMETER.
        """
        new = self._versions.version(name, order.to)
        _check_names(new, order.names)
        sources = await self._sources(name, new.version, order.source)
        page, looks, jobs = Page(new.version), 0, 0
        place: _Cursor | None = _read_cursor(cursor) if cursor else (_Cursor(sources[0]) if sources else None)
        while place is not None and looks < LOOKS_MAX and jobs < order.limit:
            found = await self._records.jobs_of(
                place.partition, name, place.version, place.after, min(order.limit, JOBS_MAX) - jobs
            )
            looks, jobs = looks + 1, jobs + len(found)
            for entry in found:
                await self._one(entry.job, new, order, page)
            place = self._next(place, found[-1] if found else None, sources)
        page.next = None if place is None else str(place)
        return page

    async def _sources(self, name: str, to: str, source: str | None) -> tuple[str, ...]:
        """Versions that jobs may be on, those included that no server has any more."""
        if source is not None and ":" in source:
            return (source,) if source != to else ()
        known = {*self._registry.versions(name), *await self._records.published(name)}
        known |= set((self._versions.known(name)).head.versions)
        wanted = known if source is None else {one for one in known if one.partition(":")[0] == source}
        return tuple(sorted(wanted - {to}))

    def _next(self, place: _Cursor, last: Place | None, sources: tuple[str, ...]) -> _Cursor | None:
        if last is not None:
            return _Cursor(place.version, place.partition, last)
        if place.partition + 1 < self._partitions:
            return _Cursor(place.version, place.partition + 1)
        later = [version for version in sources if version > place.version]
        return _Cursor(later[0]) if later else None

    async def _one(self, job: JobId, new: AnyBlueprint, order: Order, page: Page) -> None:
        record = await self._store.read(job)
        if record is None or record.status.is_final or record.blueprint_version == new.version:
            return
        old = self._registry.find(record.blueprint, record.blueprint_version)
        found = judge(record, old, new, order.names)
        if isinstance(found, Stays):
            page.refuse(record, found.code, found.detail)
            return
        if not order.is_dry:
            entry = ev.event(
                ev.MIGRATED,
                state=found.state,
                previous=record.state,
                details={"from": record.blueprint_version, "to": new.version},
            )
            noted = blob(entry) if self._history else ""
            refusal = await self._records.migrate(Migration(record, new.version, found.state, found.context, noted))
            if refusal in {NotMoved.GONE, NotMoved.FINAL}:
                return
            if refusal is not None:
                page.refuse(record, "busy", "its next move is being decided; ask again")
                return
            self._hint(job, 0)
        page.moved[record.state] += 1


def _check_names(new: AnyBlueprint, names: Mapping[str, str]) -> None:
    for old, state in names.items():
        if state not in new.states:
            raise MusterError(
                ErrorCode.INVALID_BODY,
                f"map: {old!r} is to be {state!r}, which version {new.version} does not have.",
                extra={"allowed": sorted(new.states)},
            )


def _read_cursor(text: str) -> _Cursor:
    """Raises: MusterError INVALID_PARAMETER."""
    version, _, rest = text.partition("/")
    partition, _, place = rest.partition("/")
    at, _, job = place.partition(".")
    is_place = not place or (at.isdecimal() and len(at) <= 16 and is_job_id(job))
    if not version or not partition.isdecimal() or len(partition) > 6 or not is_place:
        raise MusterError(
            ErrorCode.INVALID_PARAMETER,
            f"cursor {text[:100]!r} is not one of ours",
            hint="pass `next` of the last page",
        )
    return _Cursor(version, int(partition), Place(UnixMs(int(at)), JobId(job)) if place else None)
