"""What a person does to jobs, beside cancelling and deleting them. A part of the store's contract, see `base`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final, Protocol

from muster.core.ids import JobId
from muster.core.record import Context
from muster.store.entered import Entered
from muster.store.index import IndexPage

if TYPE_CHECKING:
    from muster.store.base import NewJob, Position, Refused, Turn

RETRIES_KEPT: Final = 20
"""Jobs made of one job that it names, the newest."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Starts a job that is over again, in *state*. `version` is the job's that the caller knows, its fence."""

    job: JobId
    version: int
    token: str
    blueprint_version: str
    state: str
    context: Context
    history: str


class OperationRecords(Protocol):
    async def pause(self, job: JobId, by: str, reason: str, history: str, below: str = "") -> "Refused | None":
        """Hold the job, and its child, its child's child and so on: no turn, no task, until it is resumed.

        A turn that somebody has is lost to them. *history* is noted for the job itself, *below* for the others. One
        that is paused already stays so, with the reason of then. Refused: GONE, FINAL, or CANCELLING where its end was
        asked for.
        """
        ...

    async def resume(self, job: JobId, token: str, history: str, below: str = "") -> "Turn | Refused | None":
        """Let go of the job, and of those below it that were paused with it. Its turn is the caller's where it is due.

        Refused: GONE, FINAL or NOT_PAUSED.
        """
        ...

    async def entered(self, job: JobId) -> Mapping[str, Entered]:
        """What the job's states were entered with last, in that order. Kept as long as the job."""
        ...

    async def retry(self, retry: Retry) -> "Turn | Refused | None":
        """Make a job that is over live again, with all that lists it; the turn is the caller's. None: sent before.

        Refused: GONE, LIVE, or STALE where the job is at another version.
        """
        ...

    async def failures(self, tenant: str, fingerprint: str, before: "Position | None", limit: int) -> IndexPage:
        """Jobs that ended without a result, newest end first; all, or those of a *fingerprint*."""
        ...

    async def errors(self, tenant: str, days: Sequence[date]) -> Mapping[str, int]:
        """How many jobs were over with an error of each fingerprint on the *days* (UTC)."""
        ...

    async def rerun(self, job: JobId, new: "NewJob", token: str) -> "Turn | Refused | None":
        """Make *new*, in the partition of *job* and of it, and name it there; its first turn is the caller's.

        None: *new* was made before. Refused: GONE.
        """
        ...
