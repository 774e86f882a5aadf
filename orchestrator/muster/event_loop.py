"""The server's event loop: uvloop, and with it what uvloop lacks, `sendfile`.

Without it a stored file would pass through the process in pieces, each read by a thread and copied twice.
"""

import asyncio
import errno
import os
from typing import IO, Final, cast

import uvloop

SEND_BYTES: Final = 512 * 1024
"""Of one call: so long may the disk keep the loop from everything else."""
_GONE: Final = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ESHUTDOWN, errno.ENOTCONN})


class SendfileLoop(uvloop.Loop):
    async def sendfile(
        self,
        transport: asyncio.BaseTransport,
        file: IO[bytes],
        offset: int = 0,
        count: int | None = None,
        *,
        fallback: bool = True,  # noqa: ARG002 - asyncio's signature; who calls falls back by itself
    ) -> int:
        """Have the system send *count* bytes of *file* from *offset*; None means: up to its end.

        Returns:
            The number of bytes that were sent; fewer where the file ended before.

        Raises:
            NotImplementedError: the transport encrypts, or is no socket.
            ConnectionResetError: the other side went away.
        """
        socket = transport.get_extra_info("socket")
        if socket is None or transport.get_extra_info("sslcontext") is not None:
            raise NotImplementedError("only plain sockets are sent files by the system")
        fd = os.dup(socket.fileno())  # one of our own: the transport goes on to watch the socket by its number
        try:
            return await self._send(cast("asyncio.WriteTransport", transport), fd, file.fileno(), offset, count)
        finally:
            os.close(fd)

    async def _send(self, transport: asyncio.WriteTransport, fd: int, file: int, offset: int, count: int | None) -> int:
        end = os.fstat(file).st_size if count is None else offset + count
        place = offset
        while place < end:
            if transport.is_closing():
                raise ConnectionResetError("the connection was closed while a file was sent")
            buffered = transport.get_write_buffer_size() > 0  # what was written before goes first
            sent = None if buffered else _sendfile(fd, file, place, min(end - place, SEND_BYTES))
            if sent is None:
                await self._writable(fd)
            elif sent == 0:
                break
            else:
                place += sent
                await asyncio.sleep(0)  # others have their turn
        return place - offset

    async def _writable(self, fd: int) -> None:
        ready: asyncio.Future[None] = self.create_future()
        self.add_writer(fd, _resolve, ready)
        try:
            await ready
        finally:
            self.remove_writer(fd)


def _resolve(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


def _sendfile(fd: int, file: int, offset: int, count: int) -> int | None:
    """Bytes sent: 0 at the file's end, None where the socket takes none now."""
    try:
        return os.sendfile(fd, file, offset, count)
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno in _GONE:
            raise ConnectionResetError("the other side went away while a file was sent") from error
        raise
