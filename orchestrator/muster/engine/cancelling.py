"""The wish that a job ends, whoever has it: a client, its parent, or a deadline that has passed."""

from collections.abc import Callable

from muster.core import events as ev
from muster.core.events import Event
from muster.core.ids import JobId
from muster.engine.fleet import Fleet
from muster.engine.history import blob
from muster.engine.nonces import nonce
from muster.store.base import Refusal, Refused, Store, Turn


class Cancelling:
    def __init__(
        self, store: Store, fleet: Fleet, hint: Callable[[JobId, int], None], *, grace_ms: int, history: bool
    ) -> None:
        self._store = store
        self._fleet = fleet
        self._hint = hint
        self._grace_ms = grace_ms
        self._history = history

    async def ask(
        self, job: JobId, told: Event, *, queued: bool = False, overdue: bool = False
    ) -> Refusal | Turn | bool:
        """Note the wish, with *told* in the job's history, and pass it to the jobs below and to workers.

        *queued*: only where no worker has a task; *overdue*: its deadline has passed. Whoever dies on the way leaves
        the rest to the next tick or to the workers' heartbeats. Returns why not, the turn that ends the job, for the
        caller to run, or whether a live socket took the command.
        """
        entry = blob(told) if self._history else ""
        below = blob(ev.event(ev.CANCEL_REQUESTED)) if self._history else ""
        reply = await self._store.cancel(job, nonce(), self._grace_ms, entry, below, queued=queued, overdue=overdue)
        if isinstance(reply, Refused):
            return reply.why
        if isinstance(reply, Turn):
            return reply
        self._hint(job, 0)  # messages to children elsewhere; the tick knows when the grace ends
        return any([await self._fleet.send_cancel(worker, task) for task, worker in reply])
