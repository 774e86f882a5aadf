"""Blobs in a bucket of S3 or what speaks like it, through obstore (the extra `s3`).

A file is collected on this machine's disk first, checked, and sent when it is whole: the bucket shows all of it or
nothing. Credentials, region and endpoint come from the environment, as for every S3 client (`AWS_ACCESS_KEY_ID`, …).
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from muster.files.blobs import Open, StorageFailed, StoredBlob, is_blob, place_of
from muster.files.spool import Spool

if TYPE_CHECKING:
    from obstore.store import ObjectStore, RetryConfig

PART_BYTES: Final = 8 * 1024 * 1024
PARTS_AT_ONCE: Final = 2
"""With the size of a part: what an upload to the bucket holds in memory."""
READ_BYTES: Final = 1024 * 1024
LISTED_AT_ONCE: Final = 1000
RETRIES: Final["RetryConfig"] = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}
"""Then the caller is told: it holds a request open."""


@contextmanager
def _told() -> Iterator[None]:
    """The library's troubles as ours."""
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, FileNotFoundError) as error:
        raise StorageFailed(" ".join(str(error).split())[:500]) from error


class BucketMissing(Exception):
    """The bucket cannot be used; the text says why."""


class BucketBlobs(Spool):
    """*folder* is for files on their way in."""

    def __init__(self, bucket: "ObjectStore", folder: Path) -> None:
        super().__init__(folder)
        self._bucket = bucket

    @classmethod
    def at(cls, url: str, prefix: str, folder: Path) -> "BucketBlobs":
        """The bucket at *url*, for example `s3://bucket/path`; our names begin with *prefix* there.

        Raises:
            BucketMissing: obstore is not installed, or the URL or the environment is not complete.
        """
        try:
            from obstore.exceptions import BaseError
            from obstore.store import from_url
        except ImportError:
            raise BucketMissing("the package obstore is missing: pip install 'muster-fleet[server,s3]'") from None
        try:
            bucket = from_url(f"{url.rstrip('/')}/{prefix}", client_options={"allow_http": True}, retry_config=RETRIES)
        except (BaseError, ValueError) as error:
            raise BucketMissing(f"{url} cannot be used: {error}") from error
        return cls(bucket, folder)

    def path(self, blob: str) -> None:  # noqa: ARG002 - it lies elsewhere
        return None

    async def keep(self, incoming: Path, blob: str) -> bool:
        import obstore

        with _told():
            await obstore.put_async(
                self._bucket, place_of(blob), incoming, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
            )
        return False

    async def remove(self, blob: str) -> None:
        import obstore

        with _told(), suppress(FileNotFoundError, obstore.exceptions.NotFoundError):
            await obstore.delete_async(self._bucket, place_of(blob))

    async def holds(self, blob: str) -> bool:
        import obstore

        with _told(), suppress(FileNotFoundError, obstore.exceptions.NotFoundError):
            await obstore.head_async(self._bucket, place_of(blob))
            return True
        return False

    async def read(self, blob: str, start: int, end: int) -> AsyncIterator[bytes]:
        import obstore

        if start >= end:
            return
        with _told():
            found = await obstore.get_async(self._bucket, place_of(blob), options={"range": (start, end)})
            async for piece in found.stream(min_chunk_size=READ_BYTES):
                yield bytes(piece)

    def opener(self, blob: str) -> Open:
        import obstore

        place = place_of(blob)

        def opened() -> BinaryIO:
            with _told():
                return cast("BinaryIO", _Reader(obstore.open_reader(self._bucket, place, buffer_size=READ_BYTES)))

        return opened

    async def listing(self) -> AsyncIterator[list[StoredBlob]]:
        import obstore

        now = datetime.now(UTC)
        with _told():
            async for found in obstore.list(self._bucket, chunk_size=LISTED_AT_ONCE):
                named = [(str(item["path"]).rpartition("/")[2], item["last_modified"]) for item in found]
                yield [StoredBlob(name, (now - at).total_seconds()) for name, at in named if is_blob(name)]


class _Reader:
    """As much of a file as the zip needs."""

    def __init__(self, source: object) -> None:
        self._source = source

    def read(self, size: int) -> bytes:
        with _told():
            return bytes(self._source.read(size))  # type: ignore[attr-defined]

    def __enter__(self) -> "_Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()  # type: ignore[attr-defined]
