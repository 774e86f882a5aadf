"""What a server really holds, read with a plain client."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import redis


@dataclass(frozen=True, slots=True)
class Entry:
    type: str
    ttl_ms: int | None
    """None: it never expires."""
    value: Any
    """dict of a hash, dict member to score of a zset, set, list or str."""


@dataclass(frozen=True, slots=True)
class Dump:
    entries: Mapping[str, Entry]

    def under(self, tag: str) -> "Dump":
        """The keys of *tag*, without it."""
        return Dump({key[len(tag) :]: entry for key, entry in self.entries.items() if key.startswith(tag)})

    def of(self, prefix: str) -> Iterator[tuple[str, Entry]]:
        """What follows *prefix* in the keys that start with it."""
        for key, entry in self.entries.items():
            if key.startswith(prefix):
                yield key[len(prefix) :], entry

    def value(self, key: str) -> Any:
        """The value, or an empty dict."""
        entry = self.entries.get(key)
        return {} if entry is None else entry.value


def read_all(client: "redis.Redis", pattern: str = "*") -> Dump:
    keys: list[bytes] = _pipelined(client, [("KEYS", pattern)])[0]
    facts = _pipelined(client, [("TYPE", key) for key in keys], [("PTTL", key) for key in keys])
    types, ttls = [kind.decode() for kind in facts[: len(keys)]], facts[len(keys) :]
    values = _pipelined(client, [_reading(kind, key) for kind, key in zip(types, keys, strict=True)])
    return Dump(
        {
            key.decode(): Entry(kind, None if ttl == -1 else ttl, _plain(kind, value))
            for key, kind, ttl, value in zip(keys, types, ttls, values, strict=True)
            if ttl != -2
        }
    )


def _pipelined(client: "redis.Redis", *commands: list[tuple[Any, ...]]) -> list[Any]:
    pipe = client.pipeline(transaction=False)
    for command in (command for group in commands for command in group):
        pipe.execute_command(*command)  # type: ignore[no-untyped-call]  # the client's own gap
    return list(pipe.execute())


def _reading(kind: str, key: bytes) -> tuple[Any, ...]:
    match kind:
        case "hash":
            return ("HGETALL", key)
        case "zset":
            return ("ZRANGE", key, 0, -1, "WITHSCORES")
        case "set":
            return ("SMEMBERS", key)
        case "list":
            return ("LRANGE", key, 0, -1)
        case _:
            return ("GET", key)


def _plain(kind: str, value: Any) -> Any:
    match kind:
        case "hash":
            return {field.decode(): blob.decode() for field, blob in value.items()}
        case "zset":
            return {pair[0].decode(): float(pair[1]) for pair in _pairs(value)}
        case "set":
            return {member.decode() for member in value}
        case "list":
            return [item.decode() for item in value]
        case _:
            return value.decode() if value is not None else ""


def _pairs(value: list[Any]) -> list[Any]:
    """Members with scores, whichever way this version of the client returns them."""
    if value and isinstance(value[0], tuple | list):
        return value
    return list(zip(value[::2], value[1::2], strict=True))
