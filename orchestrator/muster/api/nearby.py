"""Whether a request was meant for this machine: any page that someone here opens can send requests to it."""

from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from muster.settings import is_loopback

_READS: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})


def host_name(host: str) -> str:
    """Without the port: `[::1]:8080` is `::1`."""
    return _name_in(f"//{host}")


def why_far(request: web.Request) -> str | None:
    """Why the request may come from a page of another site; None: from a program or a page of this machine.

    The name in Host tells of a foreign name that was made to lead here (DNS rebinding), Origin and Sec-Fetch-Site of
    a page. Browsers leave Origin out of plain reads only, whose answer the page never gets to see.
    """
    if not is_loopback(host_name(request.host)):
        return f"The Host {request.host[:200]!r} is not a name of this machine."
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None:
        return None if is_loopback(_name_in(origin)) else f"{origin[:200]!r} is not a page of this machine."
    foreign = request.headers.get("Sec-Fetch-Site", "none") == "cross-site"
    return "It comes from a page of another site." if foreign and request.method not in _READS else None


def _name_in(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
