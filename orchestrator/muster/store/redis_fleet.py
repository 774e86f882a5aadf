"""Classes and orders on Redis or Valkey."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from muster.store import codec
from muster.store.fleet import Defined

Run = Callable[..., Awaitable[Any]]
IDLE_LOOK: Final = 100


class RedisFleet:
    """*call* is one command, *run* one script by name and tag. Definitions are under the *common* tag."""

    def __init__(self, call: Run, run: Run, common: str, tags: Sequence[str]) -> None:
        self._call = call
        self._run = run
        self._global = common
        self._tags = tags

    async def define(self, cls: str, requirement: str, idle_ms: int, most: int) -> Defined:
        return Defined((await self._run("define", self._global, cls, requirement, idle_ms, most))[0].decode())

    async def requirement(self, cls: str) -> str | None:
        found = await self._call("HGET", f"{self._global}rq", cls)
        return None if found is None else found.decode()

    async def requirements(self) -> Mapping[str, str]:
        return codec.text_fields(await self._call("HGETALL", f"{self._global}rq"))

    async def idle(self) -> tuple[str, ...]:
        return tuple(cls.decode() for cls in await self._run("idle", self._global, IDLE_LOOK))

    async def retire(self, cls: str) -> bool:
        """The partitions first: whoever dies on the way leaves a class that is still idle."""
        for tag in self._tags:
            if (await self._run("retire", tag, cls))[0] != b"ok":
                return False
        return bool((await self._run("undefine", self._global, cls))[0] == b"ok")

    async def instruct(self, worker: str, fields: Mapping[str, str]) -> dict[str, str] | None:
        reply = await self._run("instruct", self._global, worker, len(fields), *codec.text_map(fields))
        return codec.text_fields(reply) if reply else None
