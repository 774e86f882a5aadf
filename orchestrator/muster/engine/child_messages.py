"""What a job and its spread children tell each other, taken from the outbox of one partition and brought to the other.

Each message is sent again until it has arrived. A start that never arrives ends the parent's wait as one that could not
be made; so does a wish to cancel that finds nobody.
"""

import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, assert_never

from muster.core import events as ev
from muster.core.ids import JobId
from muster.core.limits import CHILD_END_TRIES, CHILD_MESSAGE_TRIES
from muster.core.record import ChildItem
from muster.core.status import JobStatus
from muster.engine.cancelling import Cancelling
from muster.engine.history import blob
from muster.engine.nonces import nonce
from muster.engine.turns import Turns
from muster.store.base import DueMessage, NewJob, Refusal, Store, StoreFull, StoreUnavailable, Turn
from muster.store.child_messages import CancelChild, ChildMessage, EndOfChild, HoldChild, StartChild
from muster.store.codec import dump_item

log = logging.getLogger("muster.children")

CHILD_UNREACHABLE: Final = "CHILD_UNREACHABLE"
"""The code of a child that could not be started, as its partition did not answer for long."""
BACKOFF_MS: Final = 1_000
BACKOFF_MAX_MS: Final = 60_000


class ChildMessages:
    def __init__(
        self,
        store: Store,
        turns: Turns,
        cancelling: Cancelling,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        hint: Callable[[JobId, int], None],
        *,
        history: bool,
    ) -> None:
        self._store = store
        self._turns = turns
        self._cancelling = cancelling
        self._spawn = spawn
        self._history = history
        self._hint = hint

    async def deliver(self, message: ChildMessage, due: DueMessage) -> int | None:
        """One try. Returns in how many ms the next one is due; None: there is none."""
        try:
            await self._deliver(message, withdrawn=due.withdrawn)
        except (StoreUnavailable, StoreFull) as error:
            log.warning("child_message_failed", extra={"message_id": due.id, "tries": due.tries, "error": str(error)})
            if due.tries + 1 < (CHILD_END_TRIES if isinstance(message, EndOfChild) else CHILD_MESSAGE_TRIES):
                return min(BACKOFF_MS << min(due.tries, 10), BACKOFF_MAX_MS)
            await self._given_up(message)
        return None

    async def _deliver(self, message: ChildMessage, *, withdrawn: bool) -> None:
        match message:
            case StartChild() if withdrawn:
                await self._turns.begin_cancelled(message.job)
                await self._cancel(message.job.id)  # where it was made before the wish to cancel it came
            case StartChild():
                await self._start(message.job)
            case EndOfChild():
                await self._end(message.parent, message.wave, message.child, message.item)
            case CancelChild():
                if await self._cancel(message.child) is Refusal.GONE:
                    item = ChildItem(JobStatus.CANCELLED, message="it is gone", child=message.child)
                    await self._end(message.parent, message.wave, message.child, dump_item(item))
            case HoldChild():
                if await self._store.children.hold(message, self._told(message)):
                    self._hint(message.child, 0)
            case _:
                assert_never(message)

    def _told(self, message: HoldChild) -> str:
        if not self._history:
            return ""
        if message.words is None:
            return blob(ev.event(ev.JOB_RESUMED, details={"by_job": message.above}))
        by, reason = message.words
        details = {"by": by, **({"reason": reason} if reason else {})}
        return blob(ev.event(ev.JOB_PAUSED, details=details))

    async def _start(self, job: NewJob) -> None:
        turn = await self._store.children.begin(job, nonce())
        if turn is None:
            return
        if job.deadline_ms is not None:
            self._hint(job.id, job.deadline_ms)
        self._spawn(self._turns.run(turn))

    async def _end(self, parent: JobId, wave: int, child: JobId, item: str) -> None:
        if await self._store.children.ended(parent, wave, child, item):
            self._hint(parent, 0)

    async def _cancel(self, child: JobId) -> Refusal | None:
        reply = await self._cancelling.ask(child, ev.event(ev.CANCEL_REQUESTED))
        if isinstance(reply, Turn):
            self._spawn(self._turns.run(reply))
        return reply if isinstance(reply, Refusal) else None

    async def _given_up(self, message: ChildMessage) -> None:
        """The parent, in the partition that sends, is told in place of the child."""
        match message:
            case StartChild():
                parent, text = message.job.parent, "its partition did not answer; it may have been started"
                assert parent is not None, "a parent has sent it"
                item = ChildItem(JobStatus.FAILED, None, CHILD_UNREACHABLE, text, message.job.id)
                await self._end(parent.id, parent.wave, message.job.id, dump_item(item))
            case CancelChild():
                item = ChildItem(JobStatus.CANCELLED, message="its partition did not answer", child=message.child)
                await self._end(message.parent, message.wave, message.child, dump_item(item))
            case HoldChild():
                log.error("child_hold_given_up", extra={"job_id": message.child})
            case EndOfChild():
                log.error("child_end_given_up", extra={"job_id": message.child, "parent_id": message.parent})
            case _:
                assert_never(message)
