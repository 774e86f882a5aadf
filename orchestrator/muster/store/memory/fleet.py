"""Classes and orders, in the model."""

from collections.abc import Callable, Mapping, Sequence

from muster.store.fleet import Defined
from muster.store.memory.partition import Partition
from muster.store.memory.workers import Workers


class MemoryFleet:
    """*tell_all* sends a text to every replica."""

    def __init__(
        self,
        now: Callable[[], int],
        workers: Workers,
        partitions: Sequence[Partition],
        tell_all: Callable[[str], None],
    ) -> None:
        self._now = now
        self._workers = workers
        self._partitions = partitions
        self._tell_all = tell_all
        self._requirements: dict[str, str] = {}
        self._ends: dict[str, int] = {}

    async def define(self, cls: str, requirement: str, idle_ms: int, most: int) -> Defined:
        known = cls in self._requirements
        if not known and len(self._requirements) >= most:
            return Defined.FULL
        self._requirements[cls] = requirement
        self._ends[cls] = max(self._ends.get(cls, 0), self._now() + idle_ms)
        if known:
            return Defined.KNOWN
        self._tell_all(f"r|{cls}")
        return Defined.NEW

    async def requirement(self, cls: str) -> str | None:
        return self._requirements.get(cls)

    async def requirements(self) -> Mapping[str, str]:
        return dict(self._requirements)

    async def idle(self) -> tuple[str, ...]:
        over = sorted((ends, cls) for cls, ends in self._ends.items() if ends <= self._now())
        return tuple(cls for _, cls in over)[:100]

    async def retire(self, cls: str) -> bool:
        if self._ends.get(cls, 0) > self._now() or any(_holds(part, cls) for part in self._partitions):
            return False
        for part in self._partitions:
            part.kinds.pop(cls, None)
            part.queues.pop(cls, None)
            part.waiting.pop(cls, None)
        self._requirements.pop(cls, None)
        self._ends.pop(cls, None)
        return True

    async def instruct(self, worker: str, fields: Mapping[str, str]) -> dict[str, str] | None:
        known = self._workers.known(worker)
        if known is None:
            return None
        known.update(fields)
        return dict(known)


def _holds(part: Partition, cls: str) -> bool:
    """It has ready tasks, or some class has tasks at a gate that is shut."""
    return bool(part.queues.get(cls)) or any(queue.parked for queue in part.queues.values())
