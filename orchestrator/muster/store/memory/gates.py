"""Gates in the model: policies, who holds slots, and which classes wait for which gate."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from muster.core.flow import Policy
from muster.core.ids import TaskId
from muster.core.limits import TICKET_COST
from muster.store.memory.queue import FairQueue, tenant_of

OPENED_MAX: Final = 16
LOOK_AGAIN_MS: Final = 1_000
NOBODY: Final = -1


class Room(NamedTuple):
    """How many more may pass, which gate says so, and when it opens where it is shut by its rate."""

    free: float = math.inf
    gate: str = ""
    opens_at: int | None = None


@dataclass
class Gates:
    now: Callable[[], int]
    policies: dict[str, Policy] = field(default_factory=dict[str, Policy])
    holders: dict[str, dict[TaskId, int]] = field(default_factory=dict[str, dict[TaskId, int]])
    arrivals: dict[str, int] = field(default_factory=dict[str, int])
    """When the next one would come if all came evenly, in microseconds."""
    waiting: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    """Classes by gate that shut them: since when."""
    open: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    """Gates by class that opened again and have parked flows of it: since when."""
    opened: list[str] = field(default_factory=list[str])
    """Classes to be told at the end of the call."""
    nudge_at: int | None = None

    def policy(self, gate: str) -> Policy | None:
        """A key's own, or else that of its group; a fan carries its own."""
        kind, _, rest = gate.partition(":")
        if kind == "w":
            return Policy(most=int(rest.rpartition(".")[2]))
        if kind != "k":
            return self.policies.get(gate)
        key, _, group = rest.partition(".")
        return self.policies.get(f"k:{key}") or self.policies.get(f"k:{group}")

    def cost_of(self, tenant: str) -> int:
        policy = self.policies.get(f"t:{tenant}")
        return policy.cost if policy is not None and policy.cost is not None else TICKET_COST

    def of_class(self, cls: str) -> list[str]:
        return [gate for gate in ("*", f"c:{cls}") if self._limits(gate)]

    def of_flow(self, flow: str, cls: str) -> list[str]:
        """Without the class's own, which a flow names where its tasks may wait in another class than their type's."""
        names = [f"t:{tenant_of(flow)}", *(f"{part[0]}:{part[1:]}" for part in flow.split("/")[1:])]
        return [gate for gate in names if gate != f"c:{cls}" and self._limits(gate)]

    def of(self, cls: str, flow: str) -> list[str]:
        """All that a task of the class and flow stands under."""
        return [*self.of_class(cls), *self.of_flow(flow, cls)]

    def _limits(self, gate: str) -> bool:
        policy = self.policy(gate)
        return policy is not None and (policy.most is not None or policy.between_us is not None)

    def room(self, gate: str) -> Room:
        policy, free = self.policy(gate), math.inf
        if policy is None:
            return Room(free, gate)
        if policy.most is not None:
            free = 0 if policy.counting else policy.most - len(self.holders.get(gate, {}))
            if free <= 0:
                return Room(0, gate)
        if policy.between_us is not None and policy.ahead_us is not None:
            now_us, arrival = self.now() * 1000, self.arrivals.get(gate, 0)
            passes = (now_us + policy.ahead_us - max(arrival, now_us)) // policy.between_us + 1
            if passes <= 0:
                return Room(0, gate, -(-(arrival - policy.ahead_us) // 1000))
            free = min(free, passes)
        return Room(free, gate)

    def room_of(self, gates: Sequence[str]) -> Room:
        return min((self.room(gate) for gate in gates), key=lambda room: room.free, default=Room())

    def passes(self, gates: Sequence[str]) -> bool:
        """Whether a task may go to a worker without standing in line."""
        return all(self.room(gate).free > 0 and not self.waiting.get(gate) for gate in gates)

    def pass_rates(self, gates: Sequence[str], count: int) -> None:
        for gate in gates:
            policy = self.policy(gate)
            if policy is not None and policy.between_us is not None and count:
                self.arrivals[gate] = max(self.arrivals.get(gate, 0), self.now() * 1000) + count * policy.between_us

    def hold(self, task: TaskId, gates: Sequence[str]) -> tuple[str, ...]:
        """Take a slot of each gate that has them; returns those."""
        held = [gate for gate in gates if (policy := self.policy(gate)) is not None and policy.most is not None]
        for gate in held:
            self.holders.setdefault(gate, {})[task] = self.now()
        return tuple(held)

    def leave(self, task: TaskId, gate: str) -> None:
        holders = self.holders.get(gate, {})
        holders.pop(task, None)
        if not holders:
            self.holders.pop(gate, None)

    def shut(self, cls: str, gate: str) -> None:
        self.waiting.setdefault(gate, {}).setdefault(cls, self.now())

    def popped(self, gate: str) -> str | None:
        """The class that waits for *gate* longest; it does no more."""
        waiting = self.waiting.get(gate, {})
        cls = min(waiting, key=lambda name: (waiting[name], name), default=None)
        if cls is not None:
            del waiting[cls]
            if not waiting:
                del self.waiting[gate]
        return cls

    def forget_parking(self, cls: str, gate: str, queue: FairQueue) -> None:
        """The last flow of the class that was parked at *gate* is gone."""
        if not queue.is_parked_at(gate):
            for places, place, member in ((self.waiting, gate, cls), (self.open, cls, gate)):
                places.get(place, {}).pop(member, None)
                if not places.get(place, True):
                    del places[place]

    def open_of(self, cls: str) -> list[str]:
        gates = self.open.get(cls, {})
        return sorted(gates, key=lambda gate: (gates[gate], gate))[:OPENED_MAX]
