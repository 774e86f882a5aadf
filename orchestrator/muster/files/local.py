"""Blobs in a folder of this machine, or one that all replicas share: a reader sees all of a blob, or nothing."""

import errno
import os
import shutil
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from muster.files.blobs import Open, StoredBlob, is_blob, is_upload, place_of
from muster.files.spool import INCOMING, Spool, files_in, sweep

SHARDS: Final = tuple(f"{number:02x}" for number in range(256))
READ_BYTES: Final = 256 * 1024
WRITE_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class LocalBlobs(Spool):
    """All lie under *root*, but for the two kinds that have a folder of their own: *uploads* and *artifacts*."""

    def __init__(self, root: Path, *, uploads: Path | None = None, artifacts: Path | None = None) -> None:
        super().__init__(root)
        self._uploads = uploads or root
        self._artifacts = artifacts or root

    def path(self, blob: str) -> Path:
        return self._folder(blob) / place_of(blob)

    def _folder(self, blob: str) -> Path:
        return self._uploads if is_upload(blob) else self._artifacts

    async def keep(self, incoming: Path, blob: str) -> bool:
        target, near = self.path(blob), self._folder(blob) / INCOMING / incoming.name
        await self.run(lambda: _put(incoming, near, target))
        return True

    async def sweep_incoming(self, older_than_s: float) -> int:
        """Also of copies to another disk that a process died over."""
        folders = {self._incoming, self._uploads / INCOMING, self._artifacts / INCOMING}
        return sum([await self.run(partial(sweep, folder, older_than_s)) for folder in folders])

    async def remove(self, blob: str) -> None:
        path = self.path(blob)
        await self.run(lambda: path.unlink(missing_ok=True))

    async def holds(self, blob: str) -> bool:
        return await self.run(self.path(blob).is_file)

    async def read(self, blob: str, start: int, end: int) -> AsyncIterator[bytes]:
        source = await self.run(self.opener(blob))
        try:
            await self.run(lambda: source.seek(start))
            left = end - start
            while left > 0:
                piece = await self.run(partial(source.read, min(READ_BYTES, left)))
                if not piece:
                    break
                left -= len(piece)
                yield piece
        finally:
            source.close()

    def opener(self, blob: str) -> Open:
        path = self.path(blob)

        def opened() -> BinaryIO:
            return path.open("rb")

        return opened

    async def listing(self) -> AsyncIterator[list[StoredBlob]]:
        for folder in {self._uploads, self._artifacts}:
            for shard in SHARDS:
                found = await self.run(partial(files_in, folder / shard))
                yield [blob for blob in found if is_blob(blob.name)]


def _put(source: Path, near: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _move(source, near, target)
    _sync_folder(target.parent)


def _move(source: Path, near: Path, target: Path) -> None:
    """Under its name in one step, also on another disk; *near* is a place of its own there."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        try:
            _copy(source, near)
            near.rename(target)
        finally:
            near.unlink(missing_ok=True)
        source.unlink()


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True, mode=0o700)
    with source.open("rb") as given, os.fdopen(os.open(target, WRITE_NEW, 0o600), "wb") as taken:
        shutil.copyfileobj(given, taken, READ_BYTES)
        taken.flush()
        os.fsync(taken.fileno())


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
