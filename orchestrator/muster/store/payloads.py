"""Values that are too large for Redis memory go to a place of their own; the store's keys hold a reference.

One place does this for all scripts: what goes out is replaced where it is long, what comes back is filled in. The
engine never sees a reference. A value is kept under its content's hash, before the script that refers to it is sent,
so that a script sent twice refers to the same; it is removed when its job is gone.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Protocol

from muster.core.ids import JobId
from muster.store.base import StoreFull, StoreUnavailable

REFERENCE: Final = b"\0muster:"
"""No JSON begins so."""
CARRIERS: Final = frozenset(
    {
        "submit",
        "commit",
        "finish",
        "step",
        "complete",
        "signal",
        "send",
        "spawn",
        "claim",
        "tick",
        "cancel",
        "watch",
        "live",
        "standing",
    }
)
"""The scripts that take or give users' data. Log lines have a bound of their own and stay."""

Arg = bytes | str | int | float


class PayloadGone(StoreUnavailable):
    """A referred value cannot be read now. It may come back: replicas that do not share a folder look like this."""


class Payloads(Protocol):
    """Where large values lie."""

    async def put(self, job: JobId, value: bytes) -> str:
        """Keep *value* for as long as *job* is known; the same value gets the same name."""
        ...

    async def get(self, name: str) -> bytes:
        """Raises: OSError or StoreUnavailable where it is not there."""
        ...


class Offload:
    """Replaces values above *bytes_max* by references, and references by values."""

    def __init__(self, payloads: Payloads, bytes_max: int) -> None:
        self._payloads = payloads
        self._bytes_max = bytes_max

    async def out(self, job: JobId, args: Sequence[Arg]) -> list[Arg]:
        """*args* of a script about *job*. Raises: StoreFull where a value cannot be kept."""
        return [await self._sent(job, arg) if self._is_large(arg) else arg for arg in args]

    def is_needed(self, args: Sequence[Arg]) -> bool:
        return any(self._is_large(arg) for arg in args)

    def _is_large(self, arg: Arg) -> bool:
        return isinstance(arg, bytes | str) and len(arg) > self._bytes_max

    async def _sent(self, job: JobId, arg: Arg) -> bytes:
        value = arg.encode() if isinstance(arg, str) else arg
        assert isinstance(value, bytes), type(value)
        try:
            return REFERENCE + (await self._payloads.put(job, value)).encode()
        except OSError as error:
            raise StoreFull(str(error)) from error

    async def back(self, reply: Any) -> Any:
        """*reply* with every reference in it filled in, however deep."""
        if isinstance(reply, bytes):
            return await self._value(reply) if reply.startswith(REFERENCE) else reply
        if isinstance(reply, list) and holds_reference(reply):
            return list(await asyncio.gather(*(self.back(item) for item in reply)))
        return reply

    async def _value(self, reference: bytes) -> bytes:
        name = reference[len(REFERENCE) :].decode()
        try:
            return await self._payloads.get(name)
        except OSError as error:
            raise PayloadGone(
                f"a large value of a job is not where files lie ({error}): do all servers share MUSTER_FILES_DIR?"
            ) from error


def holds_reference(reply: list[Any]) -> bool:
    return any(
        item.startswith(REFERENCE) if type(item) is bytes else type(item) is list and holds_reference(item)
        for item in reply
    )
