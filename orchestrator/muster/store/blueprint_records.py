"""Blueprints that are data, and how new jobs of any blueprint are steered. A part of the store's contract, see `base`.

What is known of a name (its *head*) is one JSON value that the engine reads and writes whole; a write says which
revision it was made from, and is refused where that is no longer the newest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from muster.core.ids import JobId, UnixMs
from muster.core.record import Context, JobRecord

CHANGED_MESSAGE = "b"
"""Told to every replica when a head has changed."""


@dataclass(frozen=True, slots=True)
class Head:
    """`revision` grows with every change of any head, and is the fence of the next one."""

    name: str
    revision: int
    content: bytes


class NotSaved(StrEnum):
    STALE = "stale"
    FULL = "full"
    """There are as many names as there may be."""


class Place(NamedTuple):
    """Of a live job among those of its version."""

    at: UnixMs
    job: JobId


@dataclass(frozen=True, slots=True)
class Migration:
    """A live job's move to another version. `context` None: as it is."""

    record: JobRecord
    version: str
    state: str
    context: Context | None
    history: str


class NotMoved(StrEnum):
    GONE = "gone"
    FINAL = "final"
    STALE = "stale"
    """It has gone on since it was read."""
    HELD = "held"
    """Somebody decides its next move now."""


@dataclass(frozen=True, slots=True)
class HeadChange:
    """A save. `content` None: forget the name. `specs` are versions to add, `gone` versions to remove."""

    name: str
    revision: int
    nonce: str
    content: bytes | None
    specs: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    gone: Sequence[str] = ()


class BlueprintRecords(Protocol):
    async def publish(self, name: str, version: str, graph: str) -> None:
        """Keep the graph of a version that some replica has."""
        ...

    async def published(self, name: str) -> Mapping[str, str]:
        """Graphs of the versions of *name* that some replica has had, by version."""
        ...

    async def changes(self) -> int:
        """How often any head was changed."""
        ...

    async def heads(self) -> tuple[Head, ...]:
        """All of them, by name."""
        ...

    async def head(self, name: str) -> Head | None: ...

    async def specs(self, name: str, versions: Sequence[str]) -> tuple[bytes | None, ...]:
        """What was saved under these versions, in order."""
        ...

    async def save(self, change: HeadChange, *, names_max: int) -> int | NotSaved:
        """The new revision. Tells every replica."""
        ...

    async def live(self, name: str, version: str) -> int:
        """How many live jobs the version has, in all partitions."""
        ...

    async def jobs_of(
        self, partition: int, name: str, version: str, after: Place | None, limit: int
    ) -> tuple[Place, ...]:
        """Live jobs of the version, oldest first; *limit* is 1000 at most."""
        ...

    async def migrate(self, migration: Migration) -> NotMoved | None:
        """None: it was moved."""
        ...
