"""Figures of Redis or Valkey."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from muster.core.ids import JobId
from muster.store.figures import Durability, StoreFacts, Tally
from muster.store.link import ServerError

Run = Callable[..., Awaitable[Any]]
JOBS_PER_CALL: Final = 500
"""Two look-ups each: well under a millisecond of the server's time."""


class RedisFigures:
    """*call* is one command, *run* one script by name and tag; *tag_of* gives None for a foreign partition."""

    def __init__(self, call: Run, run: Run, tag_of: Callable[[JobId], str | None]) -> None:
        self._call = call
        self._run = run
        self._tag_of = tag_of

    async def facts(self) -> StoreFacts:
        info = parse_info((await self._call("INFO")).decode())
        keys = sum(int(value.partition(",")[0].removeprefix("keys=")) for name, value in info.items() if _is_db(name))
        return StoreFacts(
            used_bytes=int(info.get("used_memory", 0)),
            keys=keys,
            durability=await self._durability(info),
            hits=int(info.get("keyspace_hits", 0)),
            misses=int(info.get("keyspace_misses", 0)),
        )

    async def _durability(self, info: Mapping[str, str]) -> Durability:
        if info.get("aof_enabled") == "1":
            return "aof"
        try:
            reply = await self._call("CONFIG", "GET", "save")
        except ServerError:  # some providers hide it: then what was done says it
            return "rdb" if info.get("rdb_saves", "0") != "0" else "none"
        return "rdb" if len(reply) > 1 and reply[1] else "none"

    async def tally(self, jobs: Sequence[JobId]) -> Tally:
        by_tag: dict[str, list[JobId]] = {}
        for job in jobs:
            if (tag := self._tag_of(job)) is not None:
                by_tag.setdefault(tag, []).append(job)
        calls = [
            self._run("tally", tag, *asked[start : start + JOBS_PER_CALL])
            for tag, asked in by_tag.items()
            for start in range(0, len(asked), JOBS_PER_CALL)
        ]
        replies = await asyncio.gather(*calls)
        return Tally(sum(int(steps) for steps, _ in replies), sum(int(artifacts) for _, artifacts in replies))


def parse_info(text: str) -> dict[str, str]:
    r"""Its lines by name; headings are left out.

    >>> parse_info("# Memory\r\nused_memory:5\r\n\r\n# Keyspace\r\ndb0:keys=2,expires=0\r\n")
    {'used_memory': '5', 'db0': 'keys=2,expires=0'}
    """
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def _is_db(name: str) -> bool:
    return name.startswith("db") and name[2:].isdecimal()
