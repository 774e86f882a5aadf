"""One multiplexed connection to one Redis or Valkey server.

All commands of an event-loop tick leave in one write, replies come back in order. A cancelled caller only drops its
reply. Measured against one pooled connection per command this is an order of magnitude less CPU per command
(docs/adr/0003-own-link.md). Protocol: RESP2, redis.io/docs/reference/protocol-spec.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import hiredis

REPLY_TIMEOUT_S: Final = 5.0
"""No reply for so long: the connection is taken for dead."""
CONNECT_TIMEOUT_S: Final = 3.0
PING_EVERY_S: Final = 5.0
FLUSH_AT: Final = 8
"""Commands written at once, at most: so many are worth a write, and keep the server busy meanwhile."""
IN_FLIGHT_MAX: Final = 16_384
"""Commands without a reply; beyond it the server is not keeping up and callers are refused."""


class LinkDown(ConnectionError):
    """The connection failed; whether commands in flight were carried out is unknown."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is. Exactly one of `path` (Unix socket) and `host` is used."""

    host: str = "127.0.0.1"
    port: int = 6379
    path: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int = 0
    tls: bool = False

    def __str__(self) -> str:
        return f"unix://{self.path}" if self.path else f"{self.host}:{self.port}"


_MISREAD: Final = (
    "the Redis URL cannot be read as redis://USER:PASSWORD@HOST:PORT/DATABASE with a number for PORT and DATABASE; "
    "write / # ? @ : in a password as %2F %23 %3F %40 %3A"
)
"""Shows no part of the URL: where it is misread, any part may be the password's."""


def parse_url(url: str) -> Address:
    """The address in a `redis://`, `rediss://`, `valkey://`, `valkeys://` or `unix://` URL.

    Raises:
        ValueError: another scheme, or a database or port that is no number. The message never shows the password.
    """
    scheme = url.partition("://")[0]
    if scheme not in {"redis", "rediss", "valkey", "valkeys", "unix"}:
        named = f"{scheme}://" if scheme.isidentifier() else "that"
        raise ValueError(f"{named} is not a Redis URL; use redis://, rediss://, valkey://, valkeys:// or unix://")
    try:
        return _parse(url)
    except ValueError:
        raise ValueError(_MISREAD) from None


def _parse(url: str) -> Address:
    parts = urlsplit(url)
    username = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    if parts.scheme == "unix":
        database = parse_qs(parts.query).get("db", ["0"])[0]
        return Address(path=unquote(parts.path), username=username, password=password, database=int(database))
    if parts.query or parts.fragment:
        raise ValueError(_MISREAD)
    return Address(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 6379,
        username=username,
        password=password,
        database=int(parts.path.strip("/") or "0"),
        tls=parts.scheme in {"rediss", "valkeys"},
    )


@dataclass(slots=True)
class Traffic:
    """What went to the store: commands, and the writes that carried them. One write is one round trip."""

    commands: int = 0
    round_trips: int = 0


class Link(asyncio.Protocol):
    """Use `await Link.open(address, name)`. `call` returns a future; `lost` is set when the connection ends."""

    def __init__(self, traffic: Traffic | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._out: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._traffic = traffic or Traffic()
        self._on_push: Callable[[list[Any]], None] | None = None
        self._answered_at = self._loop.time()
        self._watchdog: asyncio.TimerHandle | None = None
        self.lost: asyncio.Future[None] = self._loop.create_future()

    @classmethod
    async def open(cls, address: Address, name: str, traffic: Traffic | None = None) -> "Link":
        """Connect, authenticate and name the connection.

        Raises:
            LinkDown: nobody listens, or the server refuses the login.
        """
        loop = asyncio.get_running_loop()
        link = cls(traffic)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                if address.path:
                    await loop.create_unix_connection(lambda: link, address.path)
                else:
                    context = ssl.create_default_context() if address.tls else None
                    await loop.create_connection(lambda: link, address.host, address.port, ssl=context)
                await link._log_in(address, name)
        except (OSError, TimeoutError, hiredis.HiredisError, ServerError) as error:
            link.close()
            why = str(error) or type(error).__name__
            if address.password and address.password in why:  # some servers repeat what they were sent
                raise LinkDown(f"no connection to {address}: the login was refused") from None
            raise LinkDown(f"no connection to {address}: {why}") from error
        return link

    async def _log_in(self, address: Address, name: str) -> None:
        if address.password is not None:
            login = (address.username, address.password) if address.username else (address.password,)
            await self.call("AUTH", *login)
        if address.database:
            await self.call("SELECT", address.database)
        await self.call("CLIENT", "SETNAME", name)

    def call(self, *command: bytes | str | int | float) -> "asyncio.Future[Any]":
        """Queue one command. The future gets the reply, a `ServerError`, or `LinkDown`."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self.lost.done() or len(self._waiting) >= IN_FLIGHT_MAX:
            future.set_exception(
                LinkDown("the connection is closed" if self.lost.done() else "too many commands in flight")
            )
            return future
        self._traffic.commands += 1
        if not self._waiting:
            self._answered_at = self._loop.time()
        self._waiting.append(future)
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(hiredis.pack_command(command))  # type: ignore[arg-type]  # its stub names a 1-tuple
        if len(self._out) >= FLUSH_AT:
            self._flush()  # the server works on these while the rest of the tick goes on
        return future

    def send(self, *command: bytes | str) -> None:
        """Queue a command that is answered by pushes (SSUBSCRIBE on a subscriber connection)."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(hiredis.pack_command(command))  # type: ignore[arg-type]  # its stub names a 1-tuple

    def listen(self, on_push: Callable[[list[Any]], None]) -> None:
        """From now on replies are pushes: the connection is a subscriber's."""
        self._on_push = on_push

    def keep_alive(self) -> None:
        """Ping a subscriber's connection each few seconds; without an answer it is dropped, and so reopened."""
        if self.lost.done():
            return
        if self._loop.time() - self._answered_at > 2 * PING_EVERY_S and self._transport is not None:
            self._transport.abort()
            return
        self.send("PING")
        self._loop.call_later(PING_EVERY_S, self.keep_alive)

    def _flush(self) -> None:
        if self._transport is not None and self._out:
            self._traffic.round_trips += 1
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports do not inherit from asyncio's
        self._watchdog = self._loop.call_later(1.0, self._watch)

    def _watch(self) -> None:
        if self._waiting and self._loop.time() - self._answered_at > REPLY_TIMEOUT_S and self._transport is not None:
            self._transport.abort()
            return
        self._watchdog = self._loop.call_later(1.0, self._watch)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        self._answered_at = self._loop.time()
        while True:
            reply = self._reader.gets()
            if reply is False:
                return
            if self._on_push is not None and isinstance(reply, list):
                self._on_push(reply)
                continue
            if not self._waiting:  # an error where only pushes are due: a subscription is refused
                self.close()
                return
            future = self._waiting.popleft()
            if future.done():
                continue
            if isinstance(reply, hiredis.ReplyError):
                future.set_exception(ServerError(str(reply)))
            else:
                future.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
        if not self.lost.done():
            self.lost.set_result(None)
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(LinkDown(f"the connection was lost: {exc or 'closed'}"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        elif not self.lost.done():
            self.lost.set_result(None)


class ServerError(Exception):
    """The server answered with an error; `kind` is its first word (NOSCRIPT, OOM, LOADING, …)."""

    @property
    def kind(self) -> str:
        return str(self).partition(" ")[0]
