"""HTTP requests to the first orchestrator that answers. Knows addresses, tokens and failures, but no route."""

import functools
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import aiohttp

from muster_worker.errors import ClientError, Unreachable, error_from_answer

CONNECT_TIMEOUT_S: Final = 5.0
LINE_BYTES_MAX: Final = 1024 * 1024
"""Of an answer that is read line by line."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of status below 400."""

    status: int
    body: bytes


class Transport:
    """One HTTP session over several addresses. It stays with an address until that one fails.

    Belongs to the event loop it was entered in.
    """

    def __init__(self, addresses: Sequence[str], headers: Mapping[str, str], tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._addresses = tuple(addresses)
        self._headers = dict(headers)
        self._current = 0
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60, ssl=self._tls or True),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            skip_auto_headers=("User-Agent",),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("not open; use it inside 'async with'")
        return self._session

    @property
    def address(self) -> str:
        """The address in use."""
        return self._addresses[self._current]

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        timeout_s: float = 10.0,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send to each address until one answers, so only for requests that may arrive twice.

        Raises Unreachable when none answered, and another ClientError for any other status of 400 and above.
        """
        trouble: Unreachable | None = None
        for _ in self._addresses:
            try:
                return await self._send(method, path, body, timeout_s, headers)
            except Unreachable as error:
                trouble = _more_telling(trouble, error)
                self._turn_to_next()
        raise trouble or Unreachable(0, "unreachable", "no orchestrator address")

    async def lines(self, path: str, *, silence_s: float) -> AsyncGenerator[bytes, None]:
        """The lines of an answer that goes on, as they come, without their ends; from the next address if it fails.

        Raises Unreachable when it breaks off or nothing came for *silence_s*; ClientError as `request`.
        """
        address = self.address
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=silence_s)
        try:
            async with self.session.get(
                address + path, timeout=timeout, allow_redirects=False, read_bufsize=LINE_BYTES_MAX
            ) as response:
                if response.status != 200:
                    raise error_from_answer(response.status, await response.read())
                async for line in response.content:
                    yield line.rstrip(b"\r\n")
        except Unreachable:
            self._turn_to_next()
            raise
        except (aiohttp.ClientError, OSError, ValueError) as error:
            self._turn_to_next()
            raise Unreachable(0, "unreachable", f"{address} broke off: {error!r}") from error

    @asynccontextmanager
    async def opened(
        self,
        method: str,
        path: str,
        *,
        body: AsyncIterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        silence_s: float,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One answer of status below 300, to be read piece by piece; from the next address if this one fails.

        Raises Unreachable where it breaks off, while it is read too; ClientError as `request`.
        """
        address = self.address
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=silence_s)
        try:
            async with self.session.request(
                method, address + path, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                if response.status >= 300:
                    raise error_from_answer(response.status, await response.read())
                yield response
        except Unreachable:
            self._turn_to_next()
            raise
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            self._turn_to_next()
            raise Unreachable(0, "unreachable", f"{address} broke off: {error!r}") from error

    def _turn_to_next(self) -> None:
        self._current = (self._current + 1) % len(self._addresses)

    async def _send(
        self, method: str, path: str, body: bytes | None, timeout_s: float, headers: Mapping[str, str] | None
    ) -> Answer:
        """Twice where the connection was dropped: a server that restarted closes idle ones, and may be back already."""
        try:
            return await self._send_once(method, path, body, timeout_s, headers)
        except Unreachable as error:
            if error.code != "connection_dropped":
                raise
        return await self._send_once(method, path, body, timeout_s, headers)

    async def _send_once(
        self, method: str, path: str, body: bytes | None, timeout_s: float, headers: Mapping[str, str] | None
    ) -> Answer:
        address = self.address
        try:
            async with self.session.request(
                method,
                address + path,
                data=body,
                headers=headers,
                timeout=_timeout(timeout_s),
                allow_redirects=False,
            ) as response:
                content = await response.read()
                status = response.status
                retry_after = response.headers.get("Retry-After") if status >= 400 else None
        except (aiohttp.ServerDisconnectedError, ConnectionResetError) as error:
            raise Unreachable(0, "connection_dropped", f"{address} closed the connection") from error
        except TimeoutError as error:
            raise Unreachable(0, "no_answer", f"{address} did not answer within {timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(0, "unreachable", f"cannot reach {address}: {error}") from error
        if status >= 400:
            raise error_from_answer(status, content, retry_after_s=_seconds(retry_after))
        if status >= 300:
            raise ClientError(
                status, "redirected", f"{address} redirects elsewhere", "give the address it redirects to"
            )
        return Answer(status, content)


@functools.lru_cache(maxsize=64)
def _timeout(total_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total_s, sock_connect=CONNECT_TIMEOUT_S)


def _more_telling(before: Unreachable | None, now: Unreachable) -> Unreachable:
    """An answer, perhaps with Retry-After, beats silence."""
    return before if before is not None and before.status and not now.status else now


def _seconds(text: str | None) -> float | None:
    """Retry-After in seconds; the HTTP-date form is not used by orchestrators and ignored."""
    try:
        return min(max(float(text), 0.0), 300.0) if text else None
    except ValueError:
        return None
