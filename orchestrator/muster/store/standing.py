"""How a job stands, and how busy the fleet is: for whoever asks why. A part of the contract, see `base`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from muster.core.ids import JobId, TaskId, UnixMs
from muster.core.record import JobRecord
from muster.core.status import TaskStatus

TASKS_LOOKED_AT: Final = 40
"""Of a wide fan only so many tasks are looked at."""
KINDS_IN_LINE: Final = 10
"""Of so many task types the place in line is counted: all of it stays about a millisecond of the server's time."""
FLOWS_IN_LINE: Final = 40
"""Tenants that are looked at for one place in line, those whose turn is next."""
HELD_MAX: Final = 50_000
"""Leases of a partition that are looked at."""


@dataclass(frozen=True, slots=True)
class ShutGate:
    """A gate of the partition that lets no task pass now: its slots are taken, or its rate is used up."""

    name: str
    held: int = 0
    holders: tuple[TaskId, ...] = ()
    """Some of those that hold its slots, longest first."""
    most: int | None = None
    """Its slots, where it counts them; 0 is a pause."""
    opens_at: UnixMs | None = None
    """When the next task may pass, where it is shut by its rate alone."""
    counting: bool = False
    """What ran before the limit came is being counted."""


@dataclass(frozen=True, slots=True)
class StandingTask:
    """A live task that the job waits for now.

    `since`: when it was handed out, or became ready. `until`: when its lease or its back-off ends. `before`: tasks that
    are handed out before it, counted for one ready task of a type, and only of its own partition.
    """

    number: int
    status: TaskStatus
    type: str
    attempt: int
    worker: str = ""
    since: UnixMs | None = None
    until: UnixMs | None = None
    failures: int = 0
    losses: int = 0
    before: int | None = None
    cls: str = ""
    """The class it waits in."""
    prefers_until: UnixMs | None = None
    """So long a ready task waits for whom it prefers."""
    put_back: str = ""
    """Why a gated task went back: `retry`, `lost` or `requeue`."""
    requeues: int = 0
    fails_at: UnixMs | None = None
    """When a task that no worker has fails for having waited too long."""
    close_at: UnixMs | None = None
    """When its schedule_to_close is over."""
    rules: bytes = b""
    """Of a gated task: how it is tried again."""
    shut: tuple[str, ...] = ()
    """Gates that a ready task stands under and that are shut; `Standing.gates` has them."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A job at one moment, `now`, by the store's clock.

    `turn_at`: when its turn is due, or, where somebody has it (`turn_held`), is taken from them; None while it waits.
    """

    record: JobRecord
    now: UnixMs
    turn_at: UnixMs | None = None
    turn_held: bool = False
    need: int = 0
    """Ends of tasks, answers or signals that are still missing."""
    timer_at: UnixMs | None = None
    """When the wait ends by itself."""
    grace_until: UnixMs | None = None
    """So long the workers of a job to be cancelled have."""
    live_tasks: int = 0
    tasks: tuple[StandingTask, ...] = ()
    """Some of them, by number."""
    gates: tuple[ShutGate, ...] = ()
    """Those that are shut of all that its ready tasks stand under, by name."""
    signals: tuple[str, ...] = ()
    """Hashes of the names of those that are kept, oldest first."""


@dataclass(frozen=True, slots=True)
class Held:
    task: TaskId
    type: str
    worker: str
    cls: str = ""


class StandingRecords(Protocol):
    async def of(self, job: JobId) -> Standing | None: ...

    async def held(self, partition: int) -> tuple[Held, ...]:
        """The leased tasks, `HELD_MAX` at most; those that come or go meanwhile may be missing."""
        ...

    async def queued(self, partition: int) -> Mapping[str, int]:
        """Ready tasks by type; types without any are left out."""
        ...
