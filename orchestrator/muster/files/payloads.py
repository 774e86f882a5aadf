"""Large values of jobs, kept beside their files. A value's name holds its job's id, so that it goes with the job."""

import hashlib
from functools import partial
from typing import Final

from muster.core.file_record import attached_id
from muster.core.ids import JobId
from muster.files.blobs import Blobs, DiskFull, StorageFailed

OWNER: Final = "2222222222222222"
"""Stands where a file's name has its tenant's hash: values are on nobody's account, and no record names them."""
READ_BYTES: Final = 1024 * 1024


def is_payload(blob: str) -> bool:
    return blob.startswith(OWNER + "-")


class BlobPayloads:
    """Keeps values among *blobs*."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def put(self, job: JobId, value: bytes) -> str:
        """Keep *value*, once. Raises OSError where there is no room."""
        digest = hashlib.blake2b(value, digest_size=16).hexdigest()
        blob = f"{OWNER}-{attached_id(job, int(digest[:16], 16))}-{digest[16:]}"
        try:
            if not await self._blobs.holds(blob):
                async with self._blobs.receive(len(value)) as incoming:
                    await incoming.write(value)
                    await incoming.finish()
                    await incoming.keep_as(blob)
        except (DiskFull, StorageFailed) as error:
            raise OSError(f"a large value cannot be kept: {error}") from error
        return blob

    async def get(self, name: str) -> bytes:
        """Raises OSError where it is not there."""
        opened = self._blobs.opener(name)

        def read() -> bytes:
            with opened() as source:
                return b"".join(iter(partial(source.read, READ_BYTES), b""))

        try:
            return await self._blobs.run(read)
        except (DiskFull, StorageFailed) as error:
            raise OSError(str(error)) from error
