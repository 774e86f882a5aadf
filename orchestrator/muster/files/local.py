"""Blobs in a folder of this machine, or one that all replicas share: a reader sees all of a blob, or nothing."""

import errno
import os
import shutil
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from muster.files.blobs import Open, StoredBlob, is_blob, is_upload, place_of
from muster.files.spool import Spool, files_in

SHARDS: Final = tuple(f"{number:02x}" for number in range(256))
READ_BYTES: Final = 256 * 1024


class LocalBlobs(Spool):
    """All lie under *root*, but for the two kinds that have a folder of their own: *uploads* and *artifacts*."""

    def __init__(self, root: Path, *, uploads: Path | None = None, artifacts: Path | None = None) -> None:
        super().__init__(root)
        self._uploads = uploads or root
        self._artifacts = artifacts or root

    def path(self, blob: str) -> Path:
        return (self._uploads if is_upload(blob) else self._artifacts) / place_of(blob)

    async def keep(self, incoming: Path, blob: str) -> bool:
        target = self.path(blob)
        await self.run(lambda: _put(incoming, target))
        return True

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


def _put(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _move(source, target)
    _sync_folder(target.parent)


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
