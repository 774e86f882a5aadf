"""A job whose deadline has passed: its tasks and children are stopped as by a cancel, and then it has failed."""

from collections.abc import Callable

from muster.core import events as ev
from muster.core.ids import JobId
from muster.engine.fleet import Fleet
from muster.engine.history import blob
from muster.engine.nonces import nonce
from muster.engine.turns import Turns
from muster.store.base import Refused, Store, Turn


class Deadlines:
    def __init__(
        self,
        store: Store,
        turns: Turns,
        fleet: Fleet,
        *,
        grace_ms: int,
        history: bool,
        hint: Callable[[JobId, int], None],
    ) -> None:
        self._store = store
        self._turns = turns
        self._fleet = fleet
        self._grace_ms = grace_ms
        self._history = history
        self._hint = hint

    async def passed(self, job: JobId) -> None:
        """Ask for its end. Whoever dies on the way leaves the rest to the next tick or to the workers' heartbeats."""
        entry = blob(ev.event(ev.DEADLINE_PASSED)) if self._history else ""
        below = blob(ev.event(ev.CANCEL_REQUESTED)) if self._history else ""
        reply = await self._store.cancel(job, nonce(), self._grace_ms, entry, below, overdue=True)
        if isinstance(reply, Refused):
            return
        if isinstance(reply, Turn):
            await self._turns.run(reply)
            return
        self._hint(job, 0)  # messages to children elsewhere; the tick knows when the grace ends
        for task, worker in reply:
            await self._fleet.send_cancel(worker, task)
