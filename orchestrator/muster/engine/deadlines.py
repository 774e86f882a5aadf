"""A job whose deadline has passed: its tasks and children are stopped as by a cancel, and then it has failed."""

from muster.core import events as ev
from muster.core.ids import JobId
from muster.engine.cancelling import Cancelling
from muster.engine.turns import Turns
from muster.store.base import Turn


class Deadlines:
    def __init__(self, turns: Turns, cancelling: Cancelling) -> None:
        self._turns = turns
        self._cancelling = cancelling

    async def passed(self, job: JobId) -> None:
        """Ask for its end."""
        turn = await self._cancelling.ask(job, ev.event(ev.DEADLINE_PASSED), overdue=True)
        if isinstance(turn, Turn):
            await self._turns.run(turn)
