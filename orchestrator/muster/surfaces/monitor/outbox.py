"""Messages on their way to one client, in a buffer with a bound: who does not read is not waited for."""

import asyncio
from collections import deque
from typing import Any, Final

from aiohttp import web
from muster_worker.codec import encode

from muster.surfaces.monitor.clients import CLIENTS

OUTBOX_BYTES_MAX: Final = 1_048_576
"""Of messages that were not handed to the connection yet."""
STALL_S: Final = 5.0
"""A client with a full buffer that takes nothing for so long is not reading."""


class NotReading(Exception):
    """The client's buffer is full, and stays so."""


class Outbox:
    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def put(self, message: Any) -> None:
        """Add a message to the buffer; waits for room as long as the client reads.

        Raises:
            NotReading.
        """
        text = encode(message)
        while self._waiting and self._bytes + len(text) > OUTBOX_BYTES_MAX:
            self._room.clear()
            try:
                async with asyncio.timeout(STALL_S):
                    await self._room.wait()
            except TimeoutError:
                raise NotReading from None
        self._waiting.append(text)
        self._bytes += len(text)
        self._news.set()

    async def send(self) -> None:
        """Hand messages to the connection, until cancelled.

        Raises:
            ConnectionError: the client has gone.
        """
        while True:
            await self._news.wait()
            while self._waiting:
                text = self._waiting[0]
                await self._socket.send_frame(text, web.WSMsgType.TEXT)
                self._waiting.popleft()
                self._bytes -= len(text)
                CLIENTS.messages += 1
                self._room.set()
            self._news.clear()
