"""Files to and from an orchestrator, piece by piece: no more than a block of one is in memory."""

import asyncio
import hashlib
import os
import secrets
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from muster_worker.backoff import Backoff
from muster_worker.errors import Unreachable
from muster_worker.transport import Transport

BLOCK_BYTES: Final = 256 * 1024
SILENCE_S: Final = 60.0
TRIES: Final = 4
UNKNOWN_TYPE: Final = "application/octet-stream"


async def send_file(
    transport: Transport,
    method: str,
    path: str,
    file: Path,
    *,
    query: Mapping[str, str],
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """Send *file*, again from its start where the connection breaks. Returns the answer's body.

    Raises OSError where the file cannot be read, ClientError as `Transport.request`.
    """
    url = f"{path}?{urlencode(query)}" if query else path
    backoff = Backoff(longest_s=2.0)
    for attempt in range(1, TRIES + 1):
        size = (await asyncio.to_thread(file.stat)).st_size
        sent = {"Content-Type": UNKNOWN_TYPE, "Content-Length": str(size), **(headers or {})}
        try:
            async with transport.opened(
                method, url, body=_blocks_of(file), headers=sent, silence_s=SILENCE_S
            ) as answer:
                return await answer.read()
        except Unreachable as error:
            if attempt == TRIES:
                raise
            await asyncio.sleep(backoff.next_delay_s(error.retry_after_s))
    raise AssertionError("the last try returns or raises")


async def fetch_file(
    transport: Transport, path: str, target: Path, *, headers: Mapping[str, str] | None = None
) -> None:
    """Put what is at *path* into *target*: the whole of it, checked against its digest, or nothing.

    Raises OSError where the target cannot be written, ClientError as `Transport.request`.
    """
    backoff = Backoff(longest_s=2.0)
    for attempt in range(1, TRIES + 1):
        try:
            await _fetch_once(transport, path, target, headers or {})
        except Unreachable as error:
            if attempt == TRIES:
                raise
            await asyncio.sleep(backoff.next_delay_s(error.retry_after_s))
        else:
            return


async def _fetch_once(transport: Transport, path: str, target: Path, headers: Mapping[str, str]) -> None:
    part = target.with_name(f".{secrets.token_hex(8)}.part")
    digest = hashlib.sha256()
    try:
        async with transport.opened("GET", path, headers=headers, silence_s=SILENCE_S) as answer:
            with await asyncio.to_thread(part.open, "xb") as file:
                async for block in answer.content.iter_chunked(BLOCK_BYTES):
                    digest.update(block)
                    await asyncio.to_thread(file.write, block)
            wanted = _sha256_in(answer.headers.get("Repr-Digest", ""))
        if wanted is not None and wanted != digest.digest():
            raise Unreachable(0, "damaged", f"what came from {path} is not what was kept there")
        await asyncio.to_thread(os.replace, part, target)
    finally:
        part.unlink(missing_ok=True)


async def _blocks_of(file: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(file.open, "rb") as source:
        while block := await asyncio.to_thread(source.read, BLOCK_BYTES):
            yield block


def _sha256_in(header: str) -> bytes | None:
    """Of RFC 9530: `sha-256=:…:`."""
    name, _, value = header.partition("=")
    return b64decode(value.strip(":")) if name == "sha-256" else None
