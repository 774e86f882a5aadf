"""A server that speaks just enough RESP to be awkward: it answers as told, or not at all."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

Answer = Callable[[list[str]], bytes | None]
"""The reply to a command, as raw RESP; None for silence."""

OK = b"+OK\r\n"


def bulk(text: str) -> bytes:
    return f"${len(text)}\r\n{text}\r\n".encode()


def willing(command: list[str]) -> bytes | None:
    """What a server says that has nothing against us."""
    match command[0]:
        case "PING":
            return b"+PONG\r\n"
        case "SSUBSCRIBE":
            return b"*3\r\n" + bulk("ssubscribe") + bulk(command[1]) + b":1\r\n"
        case _:
            return OK


class FakeServer:
    """`async with FakeServer(folder, answer) as server:` listens at `server.path`."""

    def __init__(self, folder: Path, answer: Answer = willing) -> None:
        self.path = str(folder / "fake.sock")
        self.answer = answer
        self.commands: list[list[str]] = []
        self.reads: list[int] = []
        """How many commands came with each read."""
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._serve, self.path)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.hang_up()
        await asyncio.sleep(0)

    def hang_up(self) -> None:
        """Close every connection."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        while chunk := await _read(reader):
            commands = parse(chunk)
            self.reads.append(len(commands))
            for command in commands:
                self.commands.append(command)
                reply = self.answer(command)
                if reply is not None:
                    writer.write(reply)
        writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> bytes:
    """Whole commands: a script's source may come in pieces."""
    chunk = b""
    while True:
        try:
            more = await reader.read(1 << 20)
        except ConnectionError:
            return b""
        chunk += more
        if not more or is_whole(chunk):
            return chunk


def is_whole(chunk: bytes) -> bool:
    try:
        parse(chunk)
    except (IndexError, ValueError):
        return False
    return True


def parse(chunk: bytes) -> list[list[str]]:
    """Commands as lists of words.

    Raises:
        IndexError, ValueError: the last one is not complete.
    """
    commands, at = [], 0
    while at < len(chunk):
        end = chunk.index(b"\r\n", at)
        words, count, at = [], int(chunk[at + 1 : end]), end + 2
        for _ in range(count):
            end = chunk.index(b"\r\n", at)
            size = int(chunk[at + 1 : end])
            word = chunk[end + 2 : end + 2 + size]
            at = end + 4 + size
            if at > len(chunk):
                raise ValueError("not complete")
            words.append(word.decode())
        commands.append(words)
    return commands


class Proxy:
    """Passes bytes on to a real server; `lose_next_reply` cuts the connection once that server has done its work."""

    def __init__(self, folder: Path, target: str) -> None:
        self.path = str(folder / "proxy.sock")
        self._target = target
        self.lose_next_reply = False
        self.lost = 0
        self._pipes: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._serve, self.path)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for pipe in list(self._pipes):
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_unix_connection(self._target)
        for source, sink, back in ((reader, there_writer, False), (there_reader, writer, True)):
            pipe = asyncio.create_task(self._pass(source, sink, back))
            self._pipes.add(pipe)
            pipe.add_done_callback(self._pipes.discard)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, back: bool) -> None:
        try:
            while chunk := await source.read(1 << 16):
                if back and self.lose_next_reply:
                    self.lose_next_reply = False
                    self.lost += 1
                    return
                sink.write(chunk)
        except ConnectionError:
            pass
        finally:
            sink.transport.abort()
