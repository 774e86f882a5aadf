"""Where the bytes of files lie, as the engine sees it. `local.LocalBlobs` is a folder, `bucket.BucketBlobs` S3."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from muster.files.spool import Incoming

T = TypeVar("T")
Open: TypeAlias = Callable[[], BinaryIO]
"""Opens a blob for reading; blocks: for threads. Raises FileNotFoundError where it has gone."""

_BLOB: Final = re.compile(r"[a-z2-7]{16}-[0-9a-f]{32}(?:[0-9a-f]{16})?-[0-9a-f]{16}")
_UPLOAD_ID_LENGTH: Final = 32


class TooLarge(Exception):
    """More bytes came than may."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"more than {bytes_max} bytes")
        self.bytes_max = bytes_max


class DiskFull(Exception):
    """The disk, or the quota of this process on it, has no room left. Nothing of the file stays."""


class StorageFailed(Exception):
    """The bucket cannot be reached, or refuses. Nothing of the file stays."""


@dataclass(frozen=True, slots=True)
class Received:
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob that was found, and how long ago it was written."""

    name: str
    age_s: float


class Blobs(Protocol):
    """Every method may raise DiskFull or StorageFailed."""

    def receive(self, bytes_max: int) -> "AbstractAsyncContextManager[Incoming]":
        """A place for bytes to come. Leaving it without `keep_as` leaves nothing, however it is left."""
        ...

    async def remove(self, blob: str) -> None:
        """Removing what is not there is fine."""
        ...

    async def holds(self, blob: str) -> bool: ...

    def path(self, blob: str) -> Path | None:
        """Where *blob* lies on this machine; None where it lies elsewhere and must be read."""
        ...

    def read(self, blob: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from *start* up to *end*, in pieces."""
        ...

    def opener(self, blob: str) -> Open: ...

    def listing(self) -> AsyncIterator[list[StoredBlob]]:
        """All blobs, some at a time. What others put there is left out."""
        ...

    async def sweep_incoming(self, older_than_s: float) -> int:
        """Remove what was left half written, and nobody has written to for so long. Returns how many."""
        ...

    async def run(self, work: Callable[[], T]) -> T:
        """*work* in a thread that is meant for it."""
        ...

    def close(self) -> None: ...


def is_blob(name: str) -> bool:
    """Only names that we made are paths."""
    return _BLOB.fullmatch(name) is not None


def is_upload(blob: str) -> bool:
    """Else it is an artifact."""
    return len(blob.split("-")[1]) == _UPLOAD_ID_LENGTH


def place_of(blob: str) -> str:
    """The path of *blob* below its folder or bucket: 256 of them, so that none grows too large."""
    assert is_blob(blob), blob
    return f"{blob[-2:]}/{blob}"
