"""Limits and slots, in the model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from muster.core.flow import Policy
from muster.core.ids import TaskId
from muster.core.status import TaskStatus
from muster.store.flow import HOLDERS_SHOWN, Audit, Gate
from muster.store.memory.partition import Partition


class MemoryFlow:
    def __init__(self, partitions: Sequence[Partition]) -> None:
        self._partitions = partitions
        self._limits: dict[str, str] = {}

    async def set_policy(self, partition: int, gate: str, policy: Policy | None) -> None:
        part = self._partitions[partition]
        _set(part, gate, policy)
        if gate.startswith("k:"):
            _let_pass(part)

    async def policies(self, partition: int) -> Mapping[str, Policy]:
        return dict(self._partitions[partition].gates.policies)

    async def audit(self, partition: int) -> Audit:
        part = self._partitions[partition]
        given, drift = _give(part), _take_back(part)
        for gate, policy in list(part.gates.policies.items()):
            if policy.counting:
                _set(part, gate, replace(policy, counting=False))
        _let_pass(part)
        return Audit(given, drift)

    async def gates(self, partition: int, names: Sequence[str]) -> Sequence[Gate]:
        holders = self._partitions[partition].gates.holders
        return [_gate(holders.get(name, {})) for name in names]

    async def write_limit(self, name: str, text: str | None, most: int) -> bool:
        if text is None:
            self._limits.pop(name, None)
        elif name not in self._limits and len(self._limits) >= most:
            return False
        else:
            self._limits[name] = text
        return True

    async def limits(self) -> Mapping[str, str]:
        return dict(self._limits)


def _set(part: Partition, gate: str, policy: Policy | None) -> None:
    if policy is None:
        part.gates.policies.pop(gate, None)
    else:
        part.gates.policies[gate] = policy
    part.open_gate(gate)
    part.wake_opened()


def _let_pass(part: Partition) -> None:
    for gate in sorted({gate for queue in part.queues.values() for gate, _ in queue.parked.values()}):
        part.open_gate(gate)
    part.wake_opened()


def _give(part: Partition) -> int:
    """Leased tasks get the slots of limits that are newer than their lease."""
    given = 0
    for task in part.tasks.values():
        if task.status is TaskStatus.LEASED and task.worker:  # else it waited too long, and is about to end
            gates = (*part.gates.of_class(task.cls), *part.gates.of_flow(task.flow))
            missing = [gate for gate in gates if gate not in task.held]
            task.held = (*task.held, *(got := part.gates.hold(task.id, missing)))
            given += len(got)
    return given


def _take_back(part: Partition) -> int:
    drift = 0
    for gate, holders in list(part.gates.holders.items()):
        for task_id in list(holders):
            task = part.tasks.get(task_id)
            if task is None or gate not in task.held:
                part.gates.leave(task_id, gate)
                drift += 1
    return drift


def _gate(holders: Mapping[TaskId, int]) -> Gate:
    longest = sorted(holders, key=lambda task: (holders[task], task))
    return Gate(len(holders), tuple(longest[:HOLDERS_SHOWN]))
