"""Limits and slots, in the model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from muster.core.flow import Policy
from muster.core.ids import UnixMs
from muster.core.status import TaskStatus
from muster.store.flow import HOLDERS_SHOWN, Audit, Gate, KeptLimit, Part
from muster.store.memory.gates import Gates
from muster.store.memory.partition import Partition


class MemoryFlow:
    def __init__(self, partitions: Sequence[Partition]) -> None:
        self._partitions = partitions
        self._limits: dict[str, KeptLimit] = {}

    async def set_policy(self, partition: int, gate: str, policy: Policy | None) -> bool:
        part = self._partitions[partition]
        known = part.gates.policies.get(gate)
        if policy is not None and known is not None and known.most is not None and not known.counting:
            policy = replace(policy, counting=False)
        _set(part, gate, policy)
        if gate.startswith("k:"):
            _let_pass(part)
        return policy is not None and policy.counting

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
        gates = self._partitions[partition].gates
        return [gate_of(gates, name) for name in names]

    async def write_limit(self, name: str, parts: Mapping[Part, str], most: int) -> KeptLimit | None:
        kept = self._limits.get(name, KeptLimit())
        for part, text in parts.items():
            kept = kept.having(part, text)
        if kept.is_empty:
            self._limits.pop(name, None)
        elif name not in self._limits and len(self._limits) >= most:
            return None
        else:
            self._limits[name] = kept
        return kept

    async def limit(self, name: str) -> KeptLimit:
        return self._limits.get(name, KeptLimit())

    async def limits(self) -> Mapping[str, KeptLimit]:
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
            missing = [gate for gate in part.gates.of(task.cls, task.flow) if gate not in task.held]
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


def gate_of(gates: Gates, name: str) -> Gate:
    holders, opens = gates.holders.get(name, {}), gates.room(name).opens_at
    longest = sorted(holders, key=lambda task: (holders[task], task))
    return Gate(len(holders), tuple(longest[:HOLDERS_SHOWN]), None if opens is None else UnixMs(opens))
