"""Bytes on their way in: under a name that nobody knows, on this machine, until all have come."""

import asyncio
import errno
import hashlib
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

from muster.files.blobs import DiskFull, Received, StoredBlob, TooLarge

BLOCK_BYTES: Final = 256 * 1024
"""One write; while it is under way the next block is collected, so an upload holds twice as much."""
THREADS: Final = 8
INCOMING: Final = "incoming"
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
T = TypeVar("T")


class Spool(ABC):
    """Folders are made when they are first needed. Disk work happens in threads of its own.

    What a process that died left under `incoming` is swept away later.
    """

    def __init__(self, root: Path) -> None:
        self._incoming = root / INCOMING
        self._threads: ThreadPoolExecutor | None = None

    @abstractmethod
    async def keep(self, incoming: Path, blob: str) -> bool:
        """Give the finished file *incoming* its name, in one step. True: it was moved, and is not to be removed."""

    @asynccontextmanager
    async def receive(self, bytes_max: int) -> AsyncIterator["Incoming"]:
        incoming = Incoming(self, self._incoming / os.urandom(16).hex(), bytes_max)
        try:
            await self.run(incoming.open)
            yield incoming
        finally:
            incoming.abandon()
            await asyncio.shield(self.run(incoming.discard))

    async def sweep_incoming(self, older_than_s: float) -> int:
        return await self.run(lambda: sweep(self._incoming, older_than_s))

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

    def __init__(self, spool: Spool, path: Path, bytes_max: int) -> None:
        self._spool = spool
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
        await self._spool.run(self._sync)
        return Received(self._size, self._hash.hexdigest())

    async def keep_as(self, blob: str) -> None:
        """Give what was finished its name, in one step."""
        self._kept = await self._spool.keep(self._path, blob)

    async def _flush(self) -> None:
        await self._settled()
        block, self._waiting, self._waiting_bytes = b"".join(self._waiting), [], 0
        if block:
            self._writing = asyncio.create_task(self._spool.run(lambda: self._write(block)))

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


def files_in(folder: Path) -> list[StoredBlob]:
    """What lies in *folder*, whatever it is called."""
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


def sweep(folder: Path, older_than_s: float) -> int:
    """Remove the old files of *folder*; how many they were."""
    old = [found for found in files_in(folder) if found.age_s > older_than_s]
    for found in old:
        (folder / found.name).unlink(missing_ok=True)
    return len(old)
