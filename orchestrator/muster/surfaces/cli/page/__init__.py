"""`/examples`: a page for people. It loads nothing from elsewhere, and holds no script in its HTML."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from aiohttp import web

from muster.api.auth import authenticate_caller
from muster.api.call import Call
from muster.api.operations import Auth
from muster.errors import ErrorCode, MusterError

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SAFETY: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_MEDIA_TYPES: Final[Mapping[str, str]] = {
    "page.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_PAGE: Final = "page.html"
HEADER_MARK: Final = "{api_key_header}"


def refuse_without_key(call: Call) -> None:
    """A guard: where the settings ask for it, the page needs a key as everything else does."""
    settings, credentials = call.edge.settings, call.edge.credentials
    if settings.require_key_for_examples:
        authenticate_caller(call.request, credentials, settings, Auth.CLIENT_IF_ANY, key_in_url=True)


async def examples_page(call: Call) -> web.Response:
    """Upload, run, follow and download in a browser."""
    page = _content(_PAGE).replace(HEADER_MARK.encode(), call.edge.settings.api_key_header.encode())
    return _answer(_PAGE, page)


async def examples_file(call: Call) -> web.Response:
    """A file of the page. The list is closed: no path of a request ever reaches the disk."""
    name = call.path["file"]
    if name not in _MEDIA_TYPES or name == _PAGE:
        raise MusterError(ErrorCode.NOT_FOUND, "There is nothing at this URL.")
    return _answer(name, _content(name))


def _answer(name: str, content: bytes) -> web.Response:
    return web.Response(body=content, headers={**_SAFETY, "Content-Type": _MEDIA_TYPES[name]})


@cache
def _content(name: str) -> bytes:
    return files(__name__).joinpath(name).read_bytes()
