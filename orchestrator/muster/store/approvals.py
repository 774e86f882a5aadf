"""Open questions: their changes, and the index of them. A part of the store's contract, see `base`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from muster.core.approvals import Tally
from muster.core.ids import JobId
from muster.core.record import JobRecord

if TYPE_CHECKING:
    from muster.store.base import Message, Position, Refused, Turn


@dataclass(frozen=True, slots=True)
class QuestionChange:
    """One change of the question that a job asks in *wave*: an answer, a delegation or an escalation.

    `tally` is how it stands afterwards, by `tally.changes`; it is written only upon the change before. `item` is for
    the mailbox where the question is decided with it.
    """

    job: JobId
    wave: int
    tally: Tally
    history: str
    token: str
    item: str = ""
    escalates: bool = False
    """It is an escalation: the timer of this one is over, and the next one is due in `next_ms`, if any."""
    next_ms: int | None = None
    messages: "tuple[Message, ...]" = ()


@dataclass(frozen=True, slots=True)
class DueEscalation:
    """A question has waited so long that others are to be asked. It comes again until somebody does."""

    job: JobId
    wave: int


class ApprovalStore(Protocol):
    async def change(self, change: QuestionChange) -> "Turn | Refused | None":
        """Write *change*, if nothing came between. The turn is due and leased where it decides the question.

        Refused: CHANGED where the question was changed meanwhile, CONFLICT where the wait is over or decided,
        GONE; TAKEN where the same change was sent before and its turn is no longer the caller's.
        """
        ...

    async def asking(
        self, tenant: str, before: "Position | None", limit: int
    ) -> "tuple[tuple[JobRecord, ...], Position | None]":
        """Up to *limit* jobs that ask people, newest question first, and where to go on: None where there is no more.

        A place is when the question was asked.
        """
        ...
