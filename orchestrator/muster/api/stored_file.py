"""Answers whose body is a stored file: from the disk as the system sends files, from a bucket piece by piece."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Final

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter

from muster.core.file_record import FileRecord
from muster.engine.files import Files

SEND_BYTES: Final = 256 * 1024


def stored_file(files: Files, record: FileRecord, headers: Mapping[str, str]) -> web.StreamResponse:
    """The bytes of *record*. `Range` and conditional requests are understood."""
    digest = b64encode(bytes.fromhex(record.file.sha256)).decode()
    merged = {**headers, "Content-Type": record.file.media_type, "Repr-Digest": f"sha-256=:{digest}:"}
    path = files.blobs.path(record.file.blob)
    if path is not None:
        return web.FileResponse(path, chunk_size=SEND_BYTES, headers=merged)
    return _FarFile(files, record, merged)


class _FarFile(web.StreamResponse):
    """As `web.FileResponse`, of bytes that lie elsewhere. Its tag is the content's hash."""

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
        try:
            wanted = request.http_range if request.headers.get(hdrs.IF_RANGE, tag) == tag else slice(None)
        except ValueError:
            wanted = slice(file.size, None)
        start, end, _ = wanted.indices(file.size)
        if wanted != slice(None, None, 1) and wanted != slice(None):
            if start >= end:
                self.headers[hdrs.CONTENT_RANGE] = f"bytes */{file.size}"
                return await self._without_body(request, 416)
            self.set_status(206)
            self.headers[hdrs.CONTENT_RANGE] = f"bytes {start}-{end - 1}/{file.size}"
        self.content_length = end - start
        writer = await super().prepare(request)
        if request.method != hdrs.METH_HEAD:
            async for piece in self._files.blobs.read(file.blob, start, end):
                await self.write(piece)
        await self.write_eof()
        return writer

    async def _without_body(self, request: web.BaseRequest, status: int) -> AbstractStreamWriter | None:
        self.set_status(status)
        self.content_length = 0
        return await super().prepare(request)
