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
FORM_PARTS_MAX: Final = 128
"""Of a form that says something about its file."""
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


@dataclass(frozen=True, slots=True)
class SentField:
    """A part of a form that is text."""

    name: str
    value: str


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


async def form_parts(request: web.Request, bytes_max: int) -> AsyncIterator[SentField | SentFile]:
    """The parts of a form as they come; the chunks of the one file must be read before the next part is asked for.

    Raises:
        MusterError: INVALID_BODY, BODY_TOO_LARGE.
    """
    if not request.content_type.startswith("multipart/"):
        raise MusterError(
            ErrorCode.INVALID_BODY,
            f"The body is {request.content_type}, and must be a form.",
            hint="Send multipart/form-data, for example with curl -F file=@report.html.",
        )
    reader = await _form(request, bytes_max + FORM_PARTS_MAX * OTHER_PART_BYTES_MAX)
    files = 0
    for _ in range(FORM_PARTS_MAX):
        part = await _next_part(reader)
        if part is None:
            break
        if part.name != FILE_PART:
            yield SentField(part.name or "", await _text(part))
            continue
        files += 1
        if files > 1:
            raise MusterError(ErrorCode.INVALID_BODY, f"The form has two parts called {FILE_PART!r}.")
        yield SentFile(part.filename or "", part.headers.get(hdrs.CONTENT_TYPE), _bytes_of(part))
    if not reader.at_eof():
        raise _cut_short()
    if not files:
        raise _no_file()


async def _form(request: web.Request, bytes_max: int) -> MultipartReader:
    _refuse_at_once(request, bytes_max)
    try:
        return await request.multipart()
    except _CUT_SHORT:
        raise MusterError(ErrorCode.INVALID_BODY, "The form has no usable boundary.") from None


async def _file_of_form(request: web.Request, bytes_max: int) -> SentFile:
    reader = await _form(request, bytes_max + OTHER_PARTS_MAX * OTHER_PART_BYTES_MAX)
    for _ in range(OTHER_PARTS_MAX):
        part = await _next_part(reader)
        if part is None:
            break
        if part.name == FILE_PART:
            return SentFile(part.filename or "", part.headers.get(hdrs.CONTENT_TYPE), _chunks_of(part, reader))
        await _skip(part)
    raise _no_file()


async def _chunks_of(part: BodyPartReader, reader: MultipartReader) -> AsyncIterator[bytes]:
    async for chunk in _bytes_of(part):
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


async def _bytes_of(part: BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await _next(part.read_chunk(PIECE_BYTES)):
        yield chunk


async def _skip(part: BodyPartReader) -> None:
    async for _ in _small_part(part):
        pass


async def _text(part: BodyPartReader) -> str:
    try:
        return b"".join([chunk async for chunk in _small_part(part)]).decode()
    except UnicodeDecodeError:
        raise MusterError(ErrorCode.INVALID_BODY, f"The part {part.name!r} of the form is not UTF-8.") from None


async def _small_part(part: BodyPartReader) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in _bytes_of(part):
        size += len(chunk)
        if size > OTHER_PART_BYTES_MAX:
            raise MusterError(ErrorCode.INVALID_BODY, f"The part {part.name!r} of the form is too large.")
        yield chunk


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


def _no_file() -> MusterError:
    return MusterError(
        ErrorCode.INVALID_BODY,
        f"The form has no part called {FILE_PART!r}.",
        hint="Send the file as that part, for example with curl -F file=@data.csv.",
        extra={"missing": FILE_PART},
    )


def _cut_short() -> MusterError:
    return MusterError(ErrorCode.INVALID_BODY, "The body ended before it was complete.", hint="Send it again.")


def _stalled() -> MusterError:
    return MusterError(ErrorCode.INVALID_BODY, f"Nothing of the body came for {STALL_S:g} s.", hint="Send it again.")
