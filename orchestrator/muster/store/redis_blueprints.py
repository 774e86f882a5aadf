"""Blueprints that are data, and the live jobs of every version, on Redis or Valkey."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from muster.core.ids import JobId, UnixMs, partition_of
from muster.store import codec
from muster.store.blueprint_records import CHANGED_MESSAGE, Head, HeadChange, Migration, NotMoved, NotSaved, Place
from muster.store.keys import EVERYBODY, version_hash, wake_channel
from muster.store.payloads import Value

Run = Callable[..., Awaitable[Any]]


class RedisBlueprintRecords:
    """*call* is one command, *run* one script by name and tag."""

    def __init__(self, call: Run, run: Run, tags: Sequence[str], global_tag: str) -> None:
        self._call = call
        self._run = run
        self._tags = tags
        self._global = global_tag

    async def publish(self, name: str, version: str, graph: str) -> None:
        await self._call("HSET", f"{self._global}bp", f"{name}|{version}", graph)

    async def published(self, name: str) -> Mapping[str, str]:
        flat = await self._call("HGETALL", f"{self._global}bp")
        pairs = ((field.decode().partition("|"), graph) for field, graph in zip(flat[::2], flat[1::2], strict=True))
        return {version: graph.decode() for (known, _, version), graph in pairs if known == name}

    async def changes(self) -> int:
        return int(await self._call("HGET", f"{self._global}bh", "") or 0)

    async def heads(self) -> tuple[Head, ...]:
        flat = await self._call("HGETALL", f"{self._global}bh")
        pairs = sorted(zip(flat[::2], flat[1::2], strict=True))
        return tuple(_head(name.decode(), entry) for name, entry in pairs if name)

    async def head(self, name: str) -> Head | None:
        entry = await self._call("HGET", f"{self._global}bh", name) if name else None
        return None if entry is None else _head(name, entry)

    async def specs(self, name: str, versions: Sequence[str]) -> tuple[bytes | None, ...]:
        fields = [f"{name}|{version}" for version in versions]
        return tuple(await self._call("HMGET", f"{self._global}bv", *fields)) if fields else ()

    async def save(self, change: HeadChange, *, names_max: int) -> int | NotSaved:
        added = [word for version, spec in change.specs.items() for word in (version, spec)]
        content = b"" if change.content is None else change.content
        reply = await self._run(
            "blueprint", self._global,
            change.name, change.revision, change.nonce, content, names_max, len(change.specs), *added, *change.gone,
        )  # fmt: skip
        if reply[0] != b"ok":
            return NotSaved(reply[0].decode())
        await self._call("SPUBLISH", wake_channel(self._tags[0], EVERYBODY), CHANGED_MESSAGE)
        return int(reply[1])

    async def live(self, name: str, version: str) -> int:
        key = f"bj:{version_hash(name, version)}"
        return sum(await asyncio.gather(*(self._call("ZCARD", tag + key) for tag in self._tags)))

    async def jobs_of(
        self, partition: int, name: str, version: str, after: Place | None, limit: int
    ) -> tuple[Place, ...]:
        key = f"{self._tags[partition]}bj:{version_hash(name, version)}"
        start, skipped = ("-inf", 0) if after is None else (after.at, await self._skipped(key, after))
        flat = await self._call("ZRANGE", key, start, "+inf", "BYSCORE", "LIMIT", skipped, limit, "WITHSCORES")
        return tuple(
            Place(UnixMs(int(float(at))), JobId(job.decode())) for job, at in zip(flat[::2], flat[1::2], strict=True)
        )

    async def _skipped(self, key: str, after: Place) -> int:
        """How many of the moment of *after* come before it, itself included: equal scores are in order of their ids."""
        alike = await self._call("ZRANGE", key, after.at, after.at, "BYSCORE")
        return sum(job.decode() <= after.job for job in alike)

    async def migrate(self, migration: Migration) -> NotMoved | None:
        record = migration.record
        context = "" if migration.context is None else Value(record.id, codec.dump_context(migration.context))
        reply = await self._run(
            "migrate", self._tags[partition_of(record.id)],
            record.id, record.version, record.blueprint, record.blueprint_version, migration.version, migration.state,
            context, migration.history,
        )  # fmt: skip
        return None if reply[0] == b"ok" else NotMoved(reply[0].decode())


def _head(name: str, entry: bytes) -> Head:
    revision, _, content = entry.split(b"|", 2)
    return Head(name, int(revision), content)
