"""Values that are too large for Redis memory go to a place of their own; the store's keys hold a reference.

One place does this for all scripts: what goes out is replaced where it is long, what comes back is filled in. The
engine never sees a reference. A value is kept under its content's hash, before the script that refers to it is sent,
so that a script sent twice refers to the same; it is removed when its job is gone.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from muster.core.ids import JobId
from muster.store.base import StoreFull, StoreUnavailable
from muster.store.codec import UNREADABLE

REFERENCE: Final = b"\0muster:"
"""No JSON begins so."""
CARRIERS: Final = frozenset(
    {
        "submit", "commit", "finish", "step", "complete", "signal", "send", "spawn", "claim", "tick", "cancel", "watch",
        "live", "standing", "migrate", "resume", "question", "enlist", "retry", "rerun",
        "begin_child",
    }
)  # fmt: skip
"""The scripts that take or give values of jobs."""
READ_S: Final = 5.0
"""A value that does not come in this time is not there now."""
PUT_AT_ONCE: Final = 8

log = logging.getLogger("muster.store")


@dataclass(frozen=True, slots=True)
class Value:
    """What a client or a worker gave, of *job*: it may be kept elsewhere. All else that scripts take stays in Redis."""

    job: JobId
    data: bytes | str


Arg: TypeAlias = bytes | str | int | float | Value


class PayloadGone(StoreUnavailable):
    """A referred value cannot be read now. It may come back: replicas that do not share a folder look like this."""


class Payloads(Protocol):
    """Where large values lie."""

    async def put(self, job: JobId, value: bytes) -> str:
        """Keep *value* for as long as *job* is known; the same value gets the same name. Raises: OSError."""
        ...

    async def get(self, name: str) -> bytes:
        """Raises: OSError where it is not there."""
        ...


def plain(args: Sequence[Arg]) -> list[bytes | str | int | float]:
    """*args* with all values in them."""
    return [arg.data if type(arg) is Value else arg for arg in args]  # type: ignore[misc]  # no Value is left


class Offload:
    """Replaces values above *bytes_max* by references, and references by values."""

    def __init__(self, payloads: Payloads, bytes_max: int) -> None:
        self._payloads = payloads
        self._bytes_max = bytes_max

    async def out(self, args: Sequence[Arg]) -> list[bytes | str | int | float]:
        """As they go to a script. Raises: StoreFull where a value cannot be kept."""
        sent = plain(args)
        large = [place for place, arg in enumerate(args) if type(arg) is Value and len(arg.data) > self._bytes_max]
        for start in range(0, len(large), PUT_AT_ONCE):
            places = large[start : start + PUT_AT_ONCE]
            references = await asyncio.gather(*(self._kept(args[place]) for place in places))
            for place, reference in zip(places, references, strict=True):
                sent[place] = reference
        return sent

    async def _kept(self, value: Arg) -> bytes:
        assert isinstance(value, Value)
        data = value.data.encode() if isinstance(value.data, str) else value.data
        try:
            return REFERENCE + (await self._payloads.put(value.job, data)).encode()
        except OSError as error:
            raise StoreFull(str(error)) from error

    async def back(self, reply: Any) -> Any:
        """*reply* with every reference in it filled in, however deep; UNREADABLE where that is not possible now.

        One such value must not take others along that came in the same answer: whoever reads it decides.
        """
        if isinstance(reply, bytes):
            return await self._value(reply) if reply.startswith(REFERENCE) else reply
        if isinstance(reply, list) and holds_reference(reply):
            return list(await asyncio.gather(*(self.back(item) for item in reply)))
        return reply

    async def _value(self, reference: bytes) -> bytes:
        name = reference[len(REFERENCE) :].decode()
        try:
            async with asyncio.timeout(READ_S):
                return await self._payloads.get(name)
        except OSError as error:
            log.warning("payload_unreadable", extra={"payload": name, "error": repr(error)})
            return UNREADABLE


def holds_reference(reply: list[Any]) -> bool:
    return any(
        item.startswith(REFERENCE) if type(item) is bytes else type(item) is list and holds_reference(item)
        for item in reply
    )
