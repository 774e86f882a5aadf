"""Files that must be in the task's directory before its command starts."""

import asyncio
from pathlib import Path
from typing import Final, Protocol

import aiohttp

from muster_worker.command.contract import CommandInput, CommandParams
from muster_worker.command.plan import NotAllowed
from muster_worker.command.settings import CommandSettings

CHUNK_BYTES: Final = 65_536
FETCH_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=10, sock_read=60)


class InputMissing(Exception):
    """An input could not be had; the text says which and why."""


class Download(Protocol):
    """Fetches an uploaded file of the task's own client by its id."""

    async def __call__(self, file_id: str, path: Path, /) -> object: ...


async def fetch_inputs(params: CommandParams, settings: CommandSettings, folder: Path, download: Download) -> None:
    """Raises NotAllowed and InputMissing."""
    by_address = [given for given in params.inputs if given.url is not None]
    if by_address and not settings.allow_url_inputs:
        raise NotAllowed("this worker fetches no inputs from addresses (allow_url_inputs is off); use file_id")
    for given in params.inputs:
        if given.file_id is not None:
            await download(given.file_id, folder / given.name)
    if by_address:
        await _fetch_all(by_address, folder, settings.input_bytes_max)


async def _fetch_all(inputs: list[CommandInput], folder: Path, bytes_max: int) -> None:
    async with aiohttp.ClientSession(timeout=FETCH_TIMEOUT) as session:
        left = bytes_max
        for given in inputs:
            try:
                left -= await _fetch(session, given, folder / given.name, left)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise InputMissing(f"input {given.name!r} could not be fetched: {error!r}") from error


async def _fetch(session: aiohttp.ClientSession, given: CommandInput, path: Path, bytes_max: int) -> int:
    """Returns its size. Redirects are not followed: who allows an address has not allowed another."""
    assert given.url is not None
    size = 0
    async with session.get(given.url, allow_redirects=False) as answer:
        if answer.status != 200:
            raise InputMissing(f"input {given.name!r} could not be fetched: its address answered {answer.status}")
        with path.open("wb") as file:
            async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
                size += len(chunk)
                if size > bytes_max:
                    raise InputMissing(f"input {given.name!r} is too large: inputs may have {bytes_max} bytes in all")
                await asyncio.to_thread(file.write, chunk)
    return size
