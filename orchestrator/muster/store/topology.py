"""Where the server is, and whether it is fit: through redis-py, which knows Sentinel and every kind of login.

The hot path does not come here: `link` connects to the address that is found. redis-py is imported only where it
is used: it is a fifth of a server's start-up.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import unquote, urlsplit

from muster.store.link import Address, LinkDown, parse_url

if TYPE_CHECKING:
    from redis.asyncio import Redis

SENTINEL_PORT: Final = 26_379
LOOK_UP_S: Final = 2.0
_SENTINEL_SCHEMES: Final = frozenset({"redis+sentinel", "valkey+sentinel"})
_SENTINEL_FORM: Final = "a Sentinel URL is redis+sentinel://HOST[:PORT][,HOST…]/SERVICE[/DATABASE]"

Locate: TypeAlias = Callable[[], Awaitable[Address]]
"""Finds the server that takes writes now. Raises LinkDown where nobody can tell."""


def locator(url: str) -> Locate:
    """How to find the server named by *url*.

    `redis+sentinel://[user:password@]host[:port][,host[:port]…]/SERVICE[/DATABASE]` asks the Sentinels anew at every
    connection, so that a failover is followed; every other URL names the server itself.

    Raises:
        ValueError: the URL names no server; the message never shows a password.
    """
    if url.partition("://")[0] not in _SENTINEL_SCHEMES:
        address = parse_url(url)

        async def known() -> Address:
            return address

        return known
    hosts, service, login = _parse_sentinel_url(url)

    async def ask_sentinels() -> Address:
        from redis.asyncio.sentinel import Sentinel
        from redis.exceptions import RedisError

        sentinel = Sentinel(  # type: ignore[no-untyped-call]
            hosts, socket_timeout=LOOK_UP_S, socket_connect_timeout=LOOK_UP_S
        )
        try:
            host, port = await sentinel.discover_master(service)
        except RedisError as error:
            raise LinkDown(f"no Sentinel knows a primary of {service!r}: {error}") from error
        finally:
            for client in sentinel.sentinels:
                await client.aclose()
        return replace(login, host=str(host), port=int(port))

    return ask_sentinels


def _parse_sentinel_url(url: str) -> tuple[list[tuple[str, int]], str, Address]:
    try:
        parts = urlsplit(url)
    except ValueError:  # its message repeats the URL
        raise ValueError(_SENTINEL_FORM) from None
    userinfo, _, places = parts.netloc.rpartition("@")
    path = [part for part in parts.path.split("/") if part]
    database = path[1] if len(path) == 2 else "0"
    if not places or not 1 <= len(path) <= 2 or not database.isdigit():
        raise ValueError(_SENTINEL_FORM)
    username, _, password = userinfo.partition(":")
    login = Address(
        username=unquote(username) or None, password=unquote(password) if userinfo else None, database=int(database)
    )
    return [_place(place) for place in places.split(",")], path[0], login


def _place(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon:
        return text, SENTINEL_PORT
    if not port.isdigit():
        raise ValueError("a port in the Sentinel URL is not a number")  # it may be part of a password: not shown
    return host, int(port)


async def inspect(address: Address) -> dict[str, str]:
    """INFO and the settings that start-up checks look at. A server that hides CONFIG leaves those out.

    Raises:
        LinkDown: nobody answers.
    """
    from redis.exceptions import RedisError

    async with _client(address) as client:
        try:
            facts = {str(name): str(value) for name, value in (await client.info()).items()}
        except (RedisError, OSError) as error:
            raise LinkDown(f"no answer from {address}: {error}") from error
        try:
            found = await client.config_get("maxmemory-policy")
            facts |= {str(name): str(value) for name, value in found.items()}
        except RedisError:
            facts.setdefault("maxmemory-policy", facts.get("maxmemory_policy", "noeviction"))
    return facts


def _client(address: Address) -> "Redis":
    import redis.asyncio

    return redis.asyncio.Redis(
        host=address.host,
        port=address.port,
        db=address.database,
        username=address.username,
        password=address.password,
        unix_socket_path=address.path,
        ssl=address.tls,
        decode_responses=True,
        socket_timeout=LOOK_UP_S,
        socket_connect_timeout=LOOK_UP_S,
    )
