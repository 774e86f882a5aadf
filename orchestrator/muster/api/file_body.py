"""Bodies that are files: read piece by piece, never whole. What was cut short is refused, not kept."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import Final

from aiohttp import BodyPartReader, ClientPayloadError, MultipartReader, hdrs, web
from aiohttp.http_exceptions import BadHttpMessage, PayloadEncodingError

from muster.errors import ErrorCode, MusterError

STALL_S: Final = 60.0
"""A sender that is silent for so long has gone, even where its connection has not."""
PIECE_BYTES: Final = 64 * 1024
OTHER_PARTS_MAX: Final = 16
OTHER_PART_BYTES_MAX: Final = 64 * 1024
FILE_PART: Final = "file"
_CUT_SHORT: Final = (
    PayloadEncodingError,
    ClientPayloadError,
    web.RequestPayloadError,
    ConnectionError,
    BadHttpMessage,
    ValueError,
    AssertionError,
)
"""What a body that ends early, or is no multipart at all, makes of aiohttp's readers."""
_FORMS: Final = frozenset({"application/octet-stream", "application/x-www-form-urlencoded", "application/json"})
"""What clients send where nobody said what the file is."""


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file on its way in. `chunks` raises MusterError where it ends early."""

    name: str
    media_type: str | None
    chunks: AsyncIterator[bytes]


async def sent_file(request: web.Request, bytes_max: int) -> SentFile:
    """The file in the body: the part `file` of a form, or the body itself, named by the query.

    Raises:
        MusterError: INVALID_BODY, BODY_TOO_LARGE.
    """
    if request.content_type.startswith("multipart/"):
        return await _file_of_form(request, bytes_max)
    declared = request.query.get("media_type")
    if declared is None and request.content_type not in _FORMS:
        declared = request.headers.get(hdrs.CONTENT_TYPE)
    return SentFile(request.query.get("name", ""), declared, raw_chunks(request, bytes_max))


async def raw_chunks(request: web.Request, bytes_max: int) -> AsyncIterator[bytes]:
    """The body, piece by piece."""
    _refuse_at_once(request, bytes_max)
    received = 0
    while chunk := await _next(request.content.readany()):
        received += len(chunk)
        yield chunk
    if request.content_length is not None and received != request.content_length:
        raise _cut_short()


async def _file_of_form(request: web.Request, bytes_max: int) -> SentFile:
    _refuse_at_once(request, bytes_max + OTHER_PARTS_MAX * OTHER_PART_BYTES_MAX)
    try:
        reader = await request.multipart()
    except _CUT_SHORT:
        raise MusterError(ErrorCode.INVALID_BODY, "The form has no usable boundary.") from None
    for _ in range(OTHER_PARTS_MAX):
        part = await _next_part(reader)
        if part is None:
            break
        if part.name == FILE_PART:
            return SentFile(part.filename or "", part.headers.get(hdrs.CONTENT_TYPE), _chunks_of(part, reader))
        await _skip(part)
    raise MusterError(
        ErrorCode.INVALID_BODY,
        f"The form has no part called {FILE_PART!r}.",
        hint="Send the file as that part, for example with curl -F file=@data.csv.",
    )


async def _chunks_of(part: BodyPartReader, reader: MultipartReader) -> AsyncIterator[bytes]:
    while chunk := await _next(part.read_chunk(PIECE_BYTES)):
        yield chunk
    for _ in range(OTHER_PARTS_MAX):
        after = await _next_part(reader)
        if after is None:
            break
        await _skip(after)
    if not reader.at_eof():
        raise _cut_short()


async def _next_part(reader: MultipartReader) -> BodyPartReader | None:
    try:
        async with asyncio.timeout(STALL_S):
            part = await reader.next()
    except TimeoutError:
        raise _stalled() from None
    except _CUT_SHORT:
        raise _cut_short() from None
    if isinstance(part, MultipartReader):
        raise MusterError(ErrorCode.INVALID_BODY, "The form has a form inside.")
    return part


async def _skip(part: BodyPartReader) -> None:
    size = 0
    while chunk := await _next(part.read_chunk(PIECE_BYTES)):
        size += len(chunk)
        if size > OTHER_PART_BYTES_MAX:
            raise MusterError(ErrorCode.INVALID_BODY, f"The part {part.name!r} of the form is too large.")


async def _next(reading: Awaitable[bytes]) -> bytes:
    try:
        async with asyncio.timeout(STALL_S):
            return await reading
    except TimeoutError:
        raise _stalled() from None
    except _CUT_SHORT:
        raise _cut_short() from None


def _refuse_at_once(request: web.Request, bytes_max: int) -> None:
    if hdrs.CONTENT_ENCODING in request.headers:
        raise MusterError(
            ErrorCode.INVALID_BODY,
            f"A body with Content-Encoding {request.headers[hdrs.CONTENT_ENCODING]!r} is not read.",
            hint="Send it uncompressed.",
        )
    if request.content_length is not None and request.content_length > bytes_max:
        raise MusterError(
            ErrorCode.BODY_TOO_LARGE, f"The file is larger than {bytes_max} bytes.", extra={"bytes_max": bytes_max}
        )


def _cut_short() -> MusterError:
    return MusterError(ErrorCode.INVALID_BODY, "The body ended before it was complete.", hint="Send it again.")


def _stalled() -> MusterError:
    return MusterError(ErrorCode.INVALID_BODY, f"Nothing of the body came for {STALL_S:g} s.", hint="Send it again.")
