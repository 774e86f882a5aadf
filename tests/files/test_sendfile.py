"""Files that the system sends by itself, on the server's own event loop."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from muster.event_loop import SendfileLoop

Body = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def on_the_servers_loop(body: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(20):
            await body()

    with asyncio.Runner(loop_factory=SendfileLoop) as runner:
        runner.run(run())


async def sent(file: Path, offset: int, count: int | None, read: Body, *, before: bytes = b"") -> int | Exception:
    """What `sendfile` gave a server that wrote *before* and then sent the file to a client that does *read*."""
    outcome: asyncio.Future[int | Exception] = asyncio.get_running_loop().create_future()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(before)
        with file.open("rb") as source:
            try:
                outcome.set_result(await asyncio.get_running_loop().sendfile(writer.transport, source, offset, count))
            except ConnectionError as error:
                outcome.set_result(error)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await read(reader, writer)
        writer.close()
        return await outcome


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(5_000_001))
    return path


@pytest.mark.parametrize(("offset", "count"), [(0, None), (0, 10), (4_999_999, None), (1_000, 3_000_000)])
def test_exactly_the_asked_bytes_come_after_what_was_written_before(file: Path, offset: int, count: int | None) -> None:
    content = file.read_bytes()

    async def body() -> None:
        got = bytearray()

        async def read(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            got.extend(await reader.read(-1))

        wanted = content[offset:] if count is None else content[offset : offset + count]
        head = b"h" * 3_000_000  # more than fits into the socket
        assert await sent(file, offset, count, read, before=head) == len(wanted)
        assert bytes(got) == head + wanted

    on_the_servers_loop(body)


def test_a_file_that_is_shorter_than_said_ends_early(file: Path) -> None:
    async def body() -> None:
        async def read(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await reader.read(-1)

        assert await sent(file, 5_000_000, 100, read) == 1

    on_the_servers_loop(body)


def test_who_goes_away_ends_the_sending_and_nothing_stays_open(tmp_path: Path) -> None:
    endless = tmp_path / "endless.bin"
    with endless.open("wb") as target:
        target.truncate(1 << 34)

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1_000)
        writer.transport.abort()

    async def body() -> None:
        assert isinstance(await sent(endless, 0, None, read), ConnectionError)  # the loop opens its own on the way
        before = open_files()
        assert isinstance(await sent(endless, 0, None, read), ConnectionError)
        while open_files() > before:
            await asyncio.sleep(0)

    on_the_servers_loop(body)
