"""Limits and slots on Redis or Valkey."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from muster.core.flow import Policy
from muster.core.ids import TaskId
from muster.store.flow import HOLDERS_SHOWN, Audit, Gate, dump_policy, load_policy

Run = Callable[..., Awaitable[Any]]
AUDITED_PER_CALL: Final = 50
"""Leases, slots or parked flows: a few microseconds each."""


class RedisFlow:
    """*call* is one command, *run* one script by name and tag."""

    def __init__(self, call: Run, run: Run, tags: Sequence[str], global_tag: str) -> None:
        self._call = call
        self._run = run
        self._tags = tags
        self._global = global_tag

    async def set_policy(self, partition: int, gate: str, policy: Policy | None) -> None:
        tag = self._tags[partition]
        await self._run("limit", tag, gate, "" if policy is None else dump_policy(policy), "")
        if gate.startswith("k:"):  # of which there may be many: a group's
            await self._let_pass(tag)

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
        return await asyncio.gather(*(self._gate(f"{self._tags[partition]}g:{name}") for name in names))

    async def _gate(self, key: str) -> Gate:
        held, holders = await asyncio.gather(self._call("ZCARD", key), self._call("ZRANGE", key, 0, HOLDERS_SHOWN - 1))
        return Gate(int(held), tuple(TaskId(task.decode()) for task in holders))

    async def write_limit(self, name: str, text: str | None, most: int) -> bool:
        reply = await self._run("note_limit", self._global, name, "" if text is None else text, most)
        return bool(reply[0] == b"ok")

    async def limits(self) -> Mapping[str, str]:
        flat = await self._call("HGETALL", f"{self._global}gd")
        return {name.decode(): text.decode() for name, text in zip(flat[::2], flat[1::2], strict=True)}
