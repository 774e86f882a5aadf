"""Answers whose body is a file: from the disk as the system sends files, from a bucket piece by piece."""

import asyncio
import math
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter

from muster.api.ranges import is_still, part_wanted
from muster.core.file_record import FileRecord
from muster.engine.files import Files

SEND_BYTES: Final = 256 * 1024


def stored_file(files: Files, record: FileRecord, headers: Mapping[str, str]) -> web.StreamResponse:
    """The bytes of *record*. `Range` and conditional requests are understood."""
    digest = b64encode(bytes.fromhex(record.file.sha256)).decode()
    merged = {**headers, "Content-Type": record.file.media_type, "Repr-Digest": f"sha-256=:{digest}:"}
    path = files.blobs.path(record.file.blob)
    return _FarFile(files, record, merged) if path is None else NearFile(path, merged)


class NearFile(web.FileResponse):
    """A file of this disk. aiohttp refuses ranges that may be ignored, and reads no tag in `If-Range`."""

    def __init__(self, place: Path, headers: Mapping[str, str]) -> None:
        super().__init__(place, chunk_size=SEND_BYTES, headers=dict(headers))
        self._place = place

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        if hdrs.RANGE in request.headers:
            request = request.clone(headers=await asyncio.to_thread(self._plainly, request))
        return await super().prepare(request)

    def _plainly(self, request: web.BaseRequest) -> Mapping[str, str]:
        """The request's headers with one range that is served or cannot be, or without any."""
        headers = request.headers.copy()
        condition = headers.pop(hdrs.IF_RANGE, None)
        del headers[hdrs.RANGE]
        try:
            stat = self._place.stat()
        except OSError:
            return headers
        wanted = part_wanted(request.method, request.headers, stat.st_size)
        tag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
        if wanted is not None and is_still(condition, tag, math.ceil(stat.st_mtime)):
            headers[hdrs.RANGE] = f"bytes={wanted[0]}-{wanted[-1]}" if wanted else f"bytes={stat.st_size}-"
        return headers


class _FarFile(web.StreamResponse):
    """As `NearFile`, of bytes that lie elsewhere. Its tag is the content's hash."""

    def __init__(self, files: Files, record: FileRecord, headers: Mapping[str, str]) -> None:
        super().__init__(headers=headers)
        self._files = files
        self._record = record

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        file = self._record.file
        tag = f'"{file.sha256}"'
        self.headers[hdrs.ETAG] = tag
        self.headers[hdrs.ACCEPT_RANGES] = "bytes"
        known = request.if_none_match or ()
        if any(one.value in {file.sha256, "*"} for one in known):
            return await self._without_body(request, 304)
        wanted = part_wanted(request.method, request.headers, file.size)
        if wanted is None or not is_still(request.headers.get(hdrs.IF_RANGE), tag, None):
            wanted = range(file.size)
        elif wanted:
            self.set_status(206)
            self.headers[hdrs.CONTENT_RANGE] = f"bytes {wanted[0]}-{wanted[-1]}/{file.size}"
        else:
            self.headers[hdrs.CONTENT_RANGE] = f"bytes */{file.size}"
            return await self._without_body(request, 416)
        self.content_length = len(wanted)
        writer = await super().prepare(request)
        if request.method != hdrs.METH_HEAD:
            async for piece in self._files.blobs.read(file.blob, wanted.start, wanted.stop):
                await self.write(piece)
        await self.write_eof()
        return writer

    async def _without_body(self, request: web.BaseRequest, status: int) -> AbstractStreamWriter | None:
        self.set_status(status)
        self.content_length = 0
        return await super().prepare(request)
