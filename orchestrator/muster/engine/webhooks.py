"""Delivering webhooks: at least once, signed, and never to an address the operator did not mean.

Signature: Standard Webhooks 1.0.0 (standardwebhooks.com). The same `webhook-id` on every try.
"""

import base64
import hashlib
import hmac
import ipaddress
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import orjson
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from muster.core.limits import WEBHOOK_TRIES

TIMEOUT_S: Final = 10.0
BACKOFF_MS: Final = (1_000, 5_000, 25_000)
URL_CHARS_MAX: Final = 2_000
NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
DENIED: Final = tuple(
    ipaddress.ip_network(n) for n in ("100.64.0.0/10", "168.63.129.16/32", "64:ff9b:1::/48", "fec0::/10")
)


class UrlRefused(ValueError):
    """The address is not one a webhook may go to; the text says why."""


def check_url(text: str, *, allow_private: bool) -> None:
    """Refuse what can be seen to be wrong before any look-up.

    Raises:
        UrlRefused: no absolute http(s) URL, with a login or fragment, too long, or a private address in digits.
    """
    if len(text) > URL_CHARS_MAX:
        raise UrlRefused(f"the URL is longer than {URL_CHARS_MAX} characters")
    try:
        url = URL(text)
        port = url.port
    except ValueError as error:
        raise UrlRefused(f"{text!r} is not a URL: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host or port is None:
        raise UrlRefused(f"{text!r} is not an absolute http or https URL")
    if url.user is not None or url.password is not None or url.raw_fragment:
        raise UrlRefused("the URL must not carry a login or a fragment")
    if not allow_private:
        _check_literal(url.host)


def _check_literal(host: str) -> None:
    if host.rstrip(".").lower() == "localhost":
        raise UrlRefused("localhost is a private address")
    try:
        packed = socket.inet_aton(host)
        address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.IPv4Address(packed)
    except OSError:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return
    if not is_public(address):
        raise UrlRefused(f"{host} is a private address")


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether the open internet would route there, looking through every IPv4-in-IPv6 form.

    >>> is_public(ipaddress.ip_address("64:ff9b::7f00:1")), is_public(ipaddress.ip_address("93.184.216.34"))
    (False, True)
    """
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and (address in NAT64 or int(address) >> 32 == 0):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(inner)
    if address.is_multicast or not address.is_global:
        return False
    return not any(address.version == net.version and address in net for net in DENIED)


class PublicResolver(AbstractResolver):
    """Resolves as usual and drops every private answer, so that what was checked is what is connected to."""

    def __init__(self) -> None:
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        public = [answer for answer in found if is_public(ipaddress.ip_address(answer["host"]))]
        if not public:
            raise OSError(f"{host} resolves to private addresses only")
        return public

    async def close(self) -> None:
        await self._inner.close()


@dataclass(frozen=True, slots=True)
class Delivery:
    """What to do with a message after a try: `retry_in_ms` None means it is settled."""

    outcome: str
    retry_in_ms: int | None


class WebhookSender:
    def __init__(self, key_of: Callable[[str], bytes], *, allow_private: bool) -> None:
        self._key_of = key_of
        self._allow_private = allow_private
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def deliver(self, message_id: str, body: bytes, tries: int) -> Delivery:
        """One try. Any 2xx settles the message; after the last try it is given up."""
        envelope = orjson.loads(body)
        if await self._post(message_id, envelope):
            return Delivery("delivered", None)
        if tries + 1 >= WEBHOOK_TRIES:
            return Delivery("given_up", None)
        return Delivery("failed", BACKOFF_MS[min(tries, len(BACKOFF_MS) - 1)])

    async def _post(self, message_id: str, envelope: dict[str, Any]) -> bool:
        payload = orjson.dumps(envelope["p"])
        headers = {
            "Content-Type": "application/json",
            **self.sign(envelope["t"], message_id, payload, int(time.time())),
        }
        try:
            check_url(envelope["u"], allow_private=self._allow_private)
            async with self._open().post(envelope["u"], data=payload, headers=headers, allow_redirects=False) as answer:
                return 200 <= answer.status < 300
        except (aiohttp.ClientError, OSError, UrlRefused):
            return False

    def sign(self, tenant: str, message_id: str, payload: bytes, timestamp: int) -> dict[str, str]:
        signed = f"{message_id}.{timestamp}.".encode() + payload
        digest = hmac.new(self._key_of(tenant), signed, hashlib.sha256).digest()
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": "v1," + base64.b64encode(digest).decode(),
        }

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            resolver = None if self._allow_private else PublicResolver()
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=resolver, limit=50),
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session
