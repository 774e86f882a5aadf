"""How much work there is of each task type, and how many workers would do it: what autoscalers ask."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from types import MappingProxyType
from typing import Final

from muster_worker.needs import Rule

from muster.core.matching import Offer, Requirement, meets, unmet
from muster.engine.classes import Classes
from muster.engine.fleet import Fleet
from muster.engine.views import WorkerView
from muster.store.base import Store
from muster.store.standing import Held

SLOTS_UNKNOWN: Final = 1
"""Slots of a worker where nobody offers the type."""
DRAINING: Final = "draining"


@dataclass(frozen=True, slots=True)
class TaskDemand:
    """Of one task type, or of its tasks that need the same. `workers`, `slots`: of those who may and do not drain."""

    task: str
    queued: int
    running: int
    workers: int
    slots: int
    wanted_workers: int
    needs: tuple[Rule, ...] = ()


class Demand:
    def __init__(self, store: Store, fleet: Fleet, classes: Classes, partitions: int) -> None:
        self._store = store
        self._fleet = fleet
        self._classes = classes
        self._partitions = range(partitions)

    async def wanted(self, having: Offer | None = None) -> tuple[TaskDemand, ...]:
        """By name: every type that is offered, queued or running, and every need of tasks that are.

        With *having* only tasks with needs, such as a worker that has these meets.
        """
        queued: Counter[str] = Counter()
        for partition in self._partitions:
            state = await self._store.queue(partition)
            self._classes.saw_ready(state.types)
            for cls, count in state.ready.items():
                queued[cls if cls in self._classes else state.types.get(cls, "")] += count
        known = self._classes.known
        demands = demand_of(queued, await self.held(), await self._fleet.workers(), known)
        if having is None:
            return demands
        return tuple(d for d in demands if d.needs and not unmet(Requirement(d.task, d.needs), having))

    async def queued(self) -> Mapping[str, int]:
        """Ready tasks by type, over all partitions."""
        counts: dict[str, int] = {}
        for partition in self._partitions:
            for kind, count in (await self._store.standing.queued(partition)).items():
                counts[kind] = counts.get(kind, 0) + count
        return counts

    async def held(self) -> Sequence[Held]:
        return [held for partition in self._partitions for held in await self._store.standing.held(partition)]


def demand_of(
    queued: Mapping[str, int],
    held: Iterable[Held],
    workers: Sequence[WorkerView],
    requirements: Mapping[str, Requirement] = MappingProxyType({}),
) -> tuple[TaskDemand, ...]:
    """`wanted_workers` is what is queued and running, divided by the slots of such a worker, rounded up.

    *queued* is by type, and by class for those of *requirements*.
    """
    running = Counter(lease.cls if lease.cls in requirements else lease.type for lease in held)
    taking = [worker for worker in workers if worker.status != DRAINING]
    names = {*queued, *running, *(name for worker in workers for name in worker.supported_tasks)} - {""}
    asked = {name: requirements.get(name, Requirement(name)) for name in names}
    found = [_of(requirement, queued.get(name, 0), running[name], taking) for name, requirement in asked.items()]
    return tuple(sorted(found, key=lambda demand: (demand.task, demand.needs)))


def _of(requirement: Requirement, queued: int, running: int, workers: Sequence[WorkerView]) -> TaskDemand:
    offered = [worker.slots_for(requirement.type) for worker in workers if _may(requirement, worker)]
    slots = sum(offered)
    per_worker = Fraction(slots, len(offered)) if slots else Fraction(SLOTS_UNKNOWN)
    wanted = ceil((queued + running) / per_worker)
    return TaskDemand(requirement.type, queued, running, len(offered), slots, wanted, requirement.rules)


def _may(requirement: Requirement, worker: WorkerView) -> bool:
    return requirement.type in worker.supported_tasks and (not requirement.rules or meets(requirement, worker.offer))
