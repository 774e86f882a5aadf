"""Blobs in a folder of this machine, or one that all replicas share.

A blob is written under `incoming`, synced, and only then given its name: a reader sees all of it or nothing. What a
process that died left under `incoming` is swept away later.
"""

import asyncio
import errno
import hashlib
import os
import re
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

BLOCK_BYTES: Final = 256 * 1024
"""One write; while it is under way the next block is collected, so an upload holds twice as much."""
THREADS: Final = 8
SHARDS: Final = tuple(f"{number:02x}" for number in range(256))
_BLOB: Final = re.compile(r"[a-z2-7]{16}-[0-9a-f]{32}(?:[0-9a-f]{16})?-[0-9a-f]{16}")
UPLOAD_ID_LENGTH: Final = 32
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
T = TypeVar("T")


class TooLarge(Exception):
    """More bytes came than may."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"more than {bytes_max} bytes")
        self.bytes_max = bytes_max


class DiskFull(Exception):
    """The disk, or the quota of this process on it, has no room left. Nothing of the file stays."""


@dataclass(frozen=True, slots=True)
class Received:
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob found on the disk, and how long ago it was written."""

    name: str
    age_s: float


class LocalBlobs:
    """Folders are made when they are first needed. Disk work happens in threads of its own.

    All lie under *root*, but for the two kinds that have a folder of their own: *uploads* and *artifacts*.
    """

    def __init__(self, root: Path, *, uploads: Path | None = None, artifacts: Path | None = None) -> None:
        self._root = root
        self._uploads = uploads or root
        self._artifacts = artifacts or root
        self._threads: ThreadPoolExecutor | None = None

    def path(self, blob: str) -> Path:
        """Where *blob* lies. Only names that we made are paths."""
        assert _BLOB.fullmatch(blob) is not None, blob
        return self._folder_of(blob) / blob[-2:] / blob

    def _folder_of(self, blob: str) -> Path:
        return self._uploads if len(blob.split("-")[1]) == UPLOAD_ID_LENGTH else self._artifacts

    @asynccontextmanager
    async def receive(self, bytes_max: int) -> AsyncIterator["Incoming"]:
        """A place for bytes to come. Leaving it without `keep_as` leaves nothing, however it is left.

        Raises:
            DiskFull: also from the methods of what it gives.
        """
        incoming = Incoming(self, self._root / "incoming" / os.urandom(16).hex(), bytes_max)
        try:
            await self.run(incoming.open)
            yield incoming
        finally:
            incoming.abandon()
            await asyncio.shield(self.run(incoming.discard))

    async def remove(self, blob: str) -> None:
        path = self.path(blob)
        await self.run(lambda: path.unlink(missing_ok=True))

    async def holds(self, blob: str) -> bool:
        return await self.run(self.path(blob).is_file)

    async def shard(self, number: int) -> list[StoredBlob]:
        """The blobs of one of the 256 shards."""
        folders = {self._uploads, self._artifacts}
        return await self.run(
            lambda: [found for folder in folders for found in _files_in(folder / SHARDS[number]) if _is_blob(found)]
        )

    async def sweep_incoming(self, older_than_s: float) -> int:
        """Remove what was left half written, and nobody has written to for so long. Returns how many."""
        return await self.run(lambda: _sweep(self._root / "incoming", older_than_s))

    async def run(self, work: Callable[[], T]) -> T:
        """*work* in one of the threads; a full disk becomes DiskFull."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="muster-files")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise DiskFull(str(error)) from error
            raise

    def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown(wait=False)
            self._threads = None


class Incoming:
    """Bytes on their way to a blob: hashed and written in blocks, one write at a time."""

    def __init__(self, blobs: LocalBlobs, path: Path, bytes_max: int) -> None:
        self._blobs = blobs
        self._path = path
        self._bytes_max = bytes_max
        self._lock = threading.Lock()  # a cancelled upload is discarded while its last write may be under way
        self._fd: int | None = None
        self._kept = False
        self._discarded = False
        self._hash = hashlib.sha256()
        self._size = 0
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._writing: asyncio.Task[None] | None = None

    async def write(self, data: bytes) -> None:
        """Raises: TooLarge, DiskFull."""
        self._size += len(data)
        if self._size > self._bytes_max:
            raise TooLarge(self._bytes_max)
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= BLOCK_BYTES:
            await self._flush()

    async def finish(self) -> Received:
        """All has come: write the rest and make it last."""
        await self._flush()
        await self._settled()
        await self._blobs.run(self._sync)
        return Received(self._size, self._hash.hexdigest())

    async def keep_as(self, blob: str) -> None:
        """Give what was finished its name, in one step."""
        await self._blobs.run(lambda: self._rename(self._blobs.path(blob)))

    async def _flush(self) -> None:
        await self._settled()
        block, self._waiting, self._waiting_bytes = b"".join(self._waiting), [], 0
        if block:
            self._writing = asyncio.create_task(self._blobs.run(lambda: self._write(block)))

    async def _settled(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing

    def abandon(self) -> None:
        """Nobody waits any more for a write that is under way."""
        if self._writing is not None:
            self._writing.add_done_callback(lambda writing: writing.cancelled() or writing.exception())
            self._writing = None

    def open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._lock:
            if not self._discarded:  # the caller may have gone before a thread was free
                self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def _write(self, block: bytes) -> None:
        self._hash.update(block)
        with self._lock:
            left = memoryview(block)
            while left and self._fd is not None:
                left = left[os.write(self._fd, left) :]

    def _sync(self) -> None:
        with self._lock:
            if self._fd is not None:
                os.fsync(self._fd)

    def _rename(self, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._lock:
            _move(self._path, target)
            self._kept = True
        _sync_folder(target.parent)

    def discard(self) -> None:
        """Close, and remove what was not kept. May run twice."""
        with self._lock:
            self._discarded = True
            fd, self._fd = self._fd, None
            if fd is None:
                return
            os.close(fd)
            if not self._kept:
                self._path.unlink(missing_ok=True)


def _move(source: Path, target: Path) -> None:
    """Under its name in one step, also on another disk."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        near = target.with_name(f".{target.name}")
        shutil.copyfile(source, near)
        near.rename(target)
        source.unlink()


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _files_in(folder: Path) -> list[StoredBlob]:
    found: list[StoredBlob] = []
    now_s = time.time()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    found.append(StoredBlob(entry.name, now_s - entry.stat(follow_symlinks=False).st_mtime))
                except FileNotFoundError:
                    continue
    except FileNotFoundError:
        return []
    return found


def _is_blob(found: StoredBlob) -> bool:
    return _BLOB.fullmatch(found.name) is not None


def _sweep(folder: Path, older_than_s: float) -> int:
    old = [found for found in _files_in(folder) if found.age_s > older_than_s]
    for found in old:
        (folder / found.name).unlink(missing_ok=True)
    return len(old)
