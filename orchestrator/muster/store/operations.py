"""What a person does to jobs, beside cancelling and deleting them. A part of the store's contract, see `base`."""

from typing import TYPE_CHECKING, Protocol

from muster.core.ids import JobId

if TYPE_CHECKING:
    from muster.store.base import Refused, Turn


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
