"""Children in another partition than their parents. A part of the store's contract, see `base`.

A spread child is started, ended and cancelled by messages of the outbox (`child_messages`), each delivered by one of
these calls or by `Store.cancel`, and sent again until then. Every one of them is safe to send twice.
"""

from typing import TYPE_CHECKING, Protocol

from muster.core.ids import JobId

if TYPE_CHECKING:
    from muster.store.base import NewJob, Turn
    from muster.store.child_messages import HoldChild


class ChildRecords(Protocol):
    async def begin(self, job: "NewJob", token: str) -> "Turn | None":
        """Make the child; its first turn is the caller's. None: it was made before."""
        ...

    async def ended(self, parent: JobId, wave: int, child: JobId, item: str) -> bool:
        """Put a child's end into its parent's mailbox and make the turn due. False: that wave does not wait for it."""
        ...

    async def hold(self, message: "HoldChild", history: str) -> bool:
        """Hold the child and what it waits for, or let go of them. False: there is no such live job.

        Nothing is done where a newer message has come before.
        """
        ...

    async def unsent(self, parent: JobId, child: JobId) -> int | None:
        """How often the child's start was tried in vain; None where it has been delivered, or there is none."""
        ...
