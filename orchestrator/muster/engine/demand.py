"""How much work there is of each task type, and how many workers would do it: what autoscalers ask."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Final

from muster.engine.fleet import Fleet
from muster.engine.views import WorkerView
from muster.store.base import Store
from muster.store.standing import Held

SLOTS_UNKNOWN: Final = 1
"""Slots of a worker where nobody offers the type."""
DRAINING: Final = "draining"


@dataclass(frozen=True, slots=True)
class TaskDemand:
    """Of one task type. `workers` and `slots`: of those that offer it and are not draining."""

    task: str
    queued: int
    running: int
    workers: int
    slots: int
    wanted_workers: int


class Demand:
    def __init__(self, store: Store, fleet: Fleet, partitions: int) -> None:
        self._store = store
        self._fleet = fleet
        self._partitions = range(partitions)

    async def wanted(self) -> tuple[TaskDemand, ...]:
        """By name: every type that is offered, queued or running."""
        return demand_of(await self.queued(), await self.held(), await self._fleet.workers())

    async def queued(self) -> Mapping[str, int]:
        """Ready tasks by type, over all partitions."""
        counts: dict[str, int] = {}
        for partition in self._partitions:
            for kind, count in (await self._store.standing.queued(partition)).items():
                counts[kind] = counts.get(kind, 0) + count
        return counts

    async def held(self) -> Sequence[Held]:
        return [held for partition in self._partitions for held in await self._store.standing.held(partition)]


def demand_of(queued: Mapping[str, int], held: Iterable[Held], workers: Sequence[WorkerView]) -> tuple[TaskDemand, ...]:
    """`wanted_workers` is what is queued and running, divided by the slots of such a worker, rounded up."""
    running: dict[str, int] = {}
    for lease in held:
        running[lease.type] = running.get(lease.type, 0) + 1
    taking = [worker for worker in workers if worker.status != DRAINING]
    names = {*queued, *running, *(name for worker in workers for name in worker.supported_tasks)} - {""}
    return tuple(_of(name, queued.get(name, 0), running.get(name, 0), taking) for name in sorted(names))


def _of(name: str, queued: int, running: int, workers: Sequence[WorkerView]) -> TaskDemand:
    offered = [worker.max_concurrent_tasks for worker in workers if name in worker.supported_tasks]
    slots = sum(offered)
    per_worker = Fraction(slots, len(offered)) if slots else Fraction(SLOTS_UNKNOWN)
    return TaskDemand(name, queued, running, len(offered), slots, ceil((queued + running) / per_worker))
