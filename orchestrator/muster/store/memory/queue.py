"""Ready tasks of one class: bands are strict, inside a band flows (tenants) share fairly."""

from bisect import insort
from typing import Final

from muster.core.ids import TaskId
from muster.store.memory.model import Order, Task

STRIDE: Final = 64
"""Virtual time that one task costs its flow."""
SHARE_MAX: Final = 4
"""Tasks a flow gets at a time while others wait too."""


class FairQueue:
    """Start-time fair queueing: the flow with the lowest virtual time is next; being served moves it on.

    A flow that ran dry remembers how far it was, so that coming back one task at a time wins nothing.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, list[tuple[int, Order, TaskId]]] = {}
        self._starts: dict[str, tuple[int, int]] = {}
        self._remembered: dict[str, int] = {}
        self._virtual_time = 0

    def __len__(self) -> int:
        return sum(len(tasks) for tasks in self._tasks.values())

    def add(self, task: Task) -> None:
        insort(self._tasks.setdefault(task.flow, []), _place(task))
        if task.flow not in self._starts:
            start = max(self._virtual_time, self._remembered.get(task.flow, 0))
            self._starts[task.flow] = (task.band, start)
        elif task.band < self._starts[task.flow][0]:
            self._starts[task.flow] = (task.band, self._starts[task.flow][1])

    def remove(self, task: Task) -> None:
        tasks = self._tasks.get(task.flow, [])
        if _place(task) in tasks:
            tasks.remove(_place(task))
        self._forget_if_empty(task.flow)

    def before(self, task: Task) -> int:
        """How many tasks are served before *task*, by the virtual times of now.

        Flows are served up to SHARE_MAX tasks at a time, so with several of them it may be off by some.
        """
        place = _place(task)
        rank = sum(other < place for other in self._tasks[task.flow])
        tag, count = self._starts[task.flow][1] + rank * STRIDE, rank
        for flow, tasks in self._tasks.items():
            if flow != task.flow:
                sooner = sum(band < task.band for band, _, _ in tasks)
                alike = sum(band == task.band for band, _, _ in tasks)
                lead = -((self._starts[flow][1] - tag) // STRIDE) - sooner
                count += sooner + min(alike, max(lead, 0))
        return count

    def next_share(self, wanted: int) -> tuple[str, list[TaskId]]:
        """The flow whose turn it is, and at most *wanted* of its tasks, best first. Call `served` afterwards."""
        flow = min(self._starts, key=lambda name: (*self._starts[name], name))
        count = wanted if len(self._starts) == 1 else min(wanted, SHARE_MAX)
        share, self._tasks[flow] = self._tasks[flow][:count], self._tasks[flow][count:]
        return flow, [task for _, _, task in share]

    def served(self, flow: str, count: int) -> None:
        """Charge *flow* for *count* tasks."""
        start, alone = self._starts[flow][1], len(self._starts) == 1
        finish = start + count * STRIDE
        self._virtual_time = finish if alone else start
        if self._tasks[flow]:
            self._starts[flow] = (self._tasks[flow][0][0], finish)
            return
        self._forget_if_empty(flow)
        if not alone and count:
            self._remembered[flow] = finish
            self._remembered = {name: tag for name, tag in self._remembered.items() if tag > start}

    def _forget_if_empty(self, flow: str) -> None:
        if not self._tasks.get(flow):
            self._tasks.pop(flow, None)
            self._starts.pop(flow, None)


def _place(task: Task) -> tuple[int, Order, TaskId]:
    return task.band, task.order, task.id
