"""Limits and slots on Redis or Valkey."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Final

from muster.core.flow import Policy
from muster.core.ids import TaskId, UnixMs
from muster.store.flow import HOLDERS_SHOWN, Audit, Gate, KeptLimit, Part, dump_policy, load_kept, load_policy

Run = Callable[..., Awaitable[Any]]
AUDITED_PER_CALL: Final = 50
"""Leases, slots or parked flows: a few microseconds each."""
GATES_PER_CALL: Final = 100


class RedisFlow:
    """*call* is one command, *run* one script by name and tag."""

    def __init__(self, call: Run, run: Run, tags: Sequence[str], global_tag: str) -> None:
        self._call = call
        self._run = run
        self._tags = tags
        self._global = global_tag

    async def set_policy(self, partition: int, gate: str, policy: Policy | None) -> bool:
        tag = self._tags[partition]
        reply = await self._run("limit", tag, gate, "" if policy is None else dump_policy(policy), "")
        if gate.startswith("k:"):  # of which there may be many: a group's
            await self._let_pass(tag)
        return bool(reply[0] == b"counting")

    async def policies(self, partition: int) -> Mapping[str, Policy]:
        flat = await self._call("HGETALL", f"{self._tags[partition]}gl")
        return {gate.decode(): load_policy(text.decode()) for gate, text in zip(flat[::2], flat[1::2], strict=True)}

    async def audit(self, partition: int) -> Audit:
        tag = self._tags[partition]
        counting = {gate: policy for gate, policy in (await self.policies(partition)).items() if policy.counting}
        given = drift = 0
        async for tasks in self._scan("ZSCAN", f"{tag}L"):
            given += (await self._audited(tag, "leases", "", tasks[::2]))[0]
        async for gates in self._scan("SSCAN", f"{tag}gh"):
            for name in [gate.decode() for gate in gates]:
                async for tasks in self._scan("ZSCAN", f"{tag}g:{name}"):
                    drift += (await self._audited(tag, "slots", name, tasks[::2]))[1]
        for gate, policy in counting.items():  # where it is still what it was
            counted = replace(policy, counting=False)
            await self._run("limit", tag, gate, dump_policy(counted), dump_policy(policy))
        await self._let_pass(tag)
        return Audit(given, drift)

    async def _let_pass(self, tag: str) -> None:
        async for parked in self._scan("HSCAN", f"{tag}gp"):
            await self._audited(tag, "parked", "", list(dict.fromkeys(parked[1::2])))

    async def _scan(self, command: str, key: str) -> AsyncIterator[Sequence[bytes]]:
        cursor = b"0"
        while True:
            cursor, found = await self._call(command, key, cursor, "COUNT", AUDITED_PER_CALL)
            if found:
                yield found
            if cursor == b"0":
                return

    async def _audited(self, tag: str, what: str, gate: str, names: Sequence[bytes]) -> tuple[int, int]:
        """How many slots were given, and how many nobody held."""
        counts = [0, 0]
        for start in range(0, len(names), AUDITED_PER_CALL):  # a small set comes whole, whatever is asked for
            reply = await self._run("audit", tag, what, gate, *names[start : start + AUDITED_PER_CALL])
            counts = [count + int(more) for count, more in zip(counts, reply, strict=True)]
        return counts[0], counts[1]

    async def gates(self, partition: int, names: Sequence[str]) -> Sequence[Gate]:
        found: list[Gate] = []
        for start in range(0, len(names), GATES_PER_CALL):
            some = names[start : start + GATES_PER_CALL]
            found += [_gate(*gate) for gate in await self._run("gates", self._tags[partition], HOLDERS_SHOWN, *some)]
        return found

    async def write_limit(self, name: str, parts: Mapping[Part, str], most: int) -> KeptLimit | None:
        reply = await self._run("note_limit", self._global, name, most, *chain.from_iterable(parts.items()))
        return load_kept(reply[1].decode()) if reply[0] == b"ok" else None

    async def limit(self, name: str) -> KeptLimit:
        text = await self._call("HGET", f"{self._global}gd", name)
        return load_kept("" if text is None else text.decode())

    async def limits(self) -> Mapping[str, KeptLimit]:
        flat = await self._call("HGETALL", f"{self._global}gd")
        return {name.decode(): load_kept(text.decode()) for name, text in zip(flat[::2], flat[1::2], strict=True)}


def _gate(held: bytes, opens_at: bytes, holders: Sequence[bytes]) -> Gate:
    opens = UnixMs(int(opens_at)) if opens_at else None
    return Gate(int(held), tuple(TaskId(task.decode()) for task in holders), opens)
