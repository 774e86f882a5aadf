"""One deployment under test: several replicas' stores on the same memory, Valkey or Redis."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from muster.store.base import Store
from muster.store.keys import global_tag, partition_tags
from muster.store.memory import MemoryState, MemoryStore
from muster.store.redis import RedisStore

from tests.support.dump import Dump, read_all
from tests.support.invariants import lost_spread_children, violations
from tests.support.servers import Server
from tests.support.waiting import until

Backend: TypeAlias = Literal["memory", "valkey", "redis"]
BACKENDS: tuple[Backend, ...] = ("memory", "valkey", "redis")
RunningStore: TypeAlias = RedisStore | MemoryStore


@dataclass
class Replica:
    """A store and the messages that reached it."""

    name: str
    store: Store
    messages: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.messages]


class Deployment:
    """Make replicas with `replica`; `close` closes them, checks every key and empties the namespace."""

    def __init__(self, server: Server | None, partitions: int = 1) -> None:
        self.server = server
        self.namespace = "t" + secrets.token_hex(4)
        self.partitions = partitions
        self.tags = partition_tags(self.namespace, partitions)
        self._state = MemoryState(partitions=partitions)
        self._stores: dict[str, RunningStore] = {}

    @property
    def is_real(self) -> bool:
        return self.server is not None

    async def replica(self, name: str = "", hear: Callable[[int, str], None] | None = None) -> Replica:
        """A connected replica. Without a name it gets no messages; *hear* gets them in place of its list."""
        messages: list[tuple[int, str]] = []
        store = self._new_store(name, hear or (lambda partition, text: messages.append((partition, text))))
        await store.open()
        self._stores[name or secrets.token_hex(4)] = store
        return Replica(name, store, messages)

    def _new_store(self, name: str, on_message: Callable[[int, str], None]) -> RunningStore:
        if self.server is None:
            return MemoryStore(self._state, replica=name, on_message=on_message)
        return RedisStore(
            self.server.url,
            namespace=self.namespace,
            partitions=self.partitions,
            replica=name,
            on_message=on_message,
        )

    async def heard(self, replica: Replica) -> list[str]:
        """What has reached *replica* so far, now that everything sent to it has."""
        mark = secrets.token_hex(4)
        await replica.store.publish(replica.name, mark)
        await until(lambda: mark in replica.texts)
        return [text for text in replica.texts if text != mark]

    async def kill(self, name: str) -> None:
        """End a replica without a word to the others."""
        await self._stores.pop(name).close()

    def dump(self) -> Dump:
        assert self.server is not None
        return read_all(self.server.client)

    def violations(self, dump: Dump | None = None) -> list[str]:
        """What is wrong with the server's keys, the memory's are not spelled out anywhere."""
        if self.server is None:
            return []
        dump = dump or self.dump()
        tags = (*self.tags, global_tag(self.namespace))
        foreign = [f"{key} carries no tag of the namespace" for key in dump.entries if not key.startswith(tags)]
        dumps = [dump.under(tag) for tag in tags]
        return [*foreign, *(text for one in dumps for text in violations(one)), *lost_spread_children(dumps)]

    async def close(self) -> None:
        """End the replicas and leave nothing behind.

        Raises:
            AssertionError: a key is there that no rule explains.
        """
        janitor = await self.replica()
        found = self.violations()
        await janitor.store.flush()
        for store in self._stores.values():
            await store.close()
        assert not found, "\n".join(found)
        if self.server is not None:
            left = list(read_all(self.server.client).entries)
            assert not left, f"flush left {left}"
