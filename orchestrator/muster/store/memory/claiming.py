"""How the model serves a claim: flows in line by their tickets, as far as gates have room."""

from typing import TYPE_CHECKING, Final

from muster.core.status import TaskStatus
from muster.store.base import Claim, Claimed
from muster.store.memory.model import WaitLimit

if TYPE_CHECKING:
    from muster.store.memory.partition import Partition

LOOKED_AT_MAX: Final = 256
"""Tasks, parked flows and opened gates that a claim looks at."""


class _Claiming:
    def __init__(self, part: "Partition", claim: Claim, first_seat: int) -> None:
        self._part = part
        self._claim = claim
        self._first = first_seat
        self.claimed: list[Claimed] = []
        self.looked_at = 0

    @property
    def free_seats(self) -> int:
        return len(self._claim.seats) - self._first - len(self.claimed)

    def serve(self, cls: str) -> bool:
        """Fill seats from one class. True: a gate of the whole class is shut now."""
        part, queue, gates = self._part, self._part.queue(cls), self._part.gates
        before_class = gates.of_class(cls)
        free, shared, visited = gates.room_of(before_class).free, False, list[str]()
        if self.free_seats > 0 and gates.open.get(cls):
            self._pull(cls, free, visited)
        while self.free_seats > 0 and self.looked_at < LOOKED_AT_MAX and free > 0:
            flow = queue.head()
            if flow is None:
                if not gates.open.get(cls):
                    break
                self._pull(cls, free, visited)
                continue
            room = gates.room_of(gates.of_flow(flow, cls))
            if room.free <= 0:
                self.looked_at += 1
                queue.park(flow, room.gate)
                gates.open.get(cls, {}).pop(room.gate, None)
                part.shut(cls, room)
                continue
            shared |= not queue.is_alone()
            taken = self._serve_flow(cls, flow, int(min(self.free_seats, room.free, free)))
            gates.pass_rates((*before_class, *gates.of_flow(flow, cls)), taken)
            free -= taken
        if shared:
            queue.forget_past_tags()
        for gate in (*visited, *before_class):
            part.open_gate(gate)
        return free <= 0

    def _pull(self, cls: str, free: float, visited: list[str]) -> None:
        """Bring back flows that are parked at gates which have room again."""
        part, queue, gates, most = self._part, self._part.queue(cls), self._part.gates, min(self.free_seats, free)
        self.looked_at += 1
        count = 0
        for gate in gates.open_of(cls):
            if count >= most:
                break
            visited.append(gate)
            room = gates.room(gate)
            del gates.open[cls][gate]
            if room.free <= 0:
                part.shut(cls, room)
                continue
            count += queue.unpark(gate, int(min(room.free, most - count)))
            if queue.is_parked_at(gate):
                gates.open[cls][gate] = part.now()

    def _serve_flow(self, cls: str, flow: str, most: int) -> int:
        part, queue, before = self._part, self._part.queue(cls), len(self.claimed)
        for task in [part.tasks[task_id] for task_id in queue.first_tasks(flow, most)]:
            self.looked_at += 1
            if not part.is_wanted(task):
                part.timers.pop(WaitLimit(task.id), None)
                del part.tasks[task.id]
                continue
            if part.jobs[task.job].record.pause is not None:
                task.status = TaskStatus.PARKED
                continue
            self.claimed.append(part.lease(task, self._claim, self._first + len(self.claimed)))
        queue.served(flow, len(self.claimed) - before)
        return len(self.claimed) - before


def claim(part: "Partition", claim: Claim, first_seat: int) -> tuple[Claimed, ...]:
    claiming = _Claiming(part, claim, first_seat)
    shut = {cls: claiming.serve(cls) for cls in claim.classes}
    if claim.register:
        for cls in claim.classes:
            if claiming.free_seats > 0:
                part.waiting.setdefault(cls, {}).setdefault(claim.replica, part.now())
            left = claiming.free_seats <= 0 or claiming.looked_at >= LOOKED_AT_MAX or shut[cls]
            if left and part.is_ready(cls):
                part.wake(cls, 1)
    part.wake_opened(claim.replica)
    return tuple(claiming.claimed)
