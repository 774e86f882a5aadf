"""The interactive reference: Swagger UI from an installed package. Nothing is loaded from elsewhere."""

import asyncio
from collections.abc import Mapping
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Final

from aiohttp import web

from muster.api.call import Call
from muster.api.openapi import OPENAPI_3_0, OPENAPI_3_1
from muster.api.operations import JSON
from muster.api.stored_file import NearFile
from muster.errors import ErrorCode, MusterError

HTML: Final = "text/html; charset=utf-8"
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SAFETY: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_MEDIA_TYPES: Final[Mapping[str, str]] = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
_START_UP: Final = """\
window.ui = SwaggerUIBundle({
  url: "docs/openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  validatorUrl: null,
  persistAuthorization: false,
  presets: [SwaggerUIBundle.presets.apis],
});
"""
_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Muster API</title>
<link rel="icon" type="image/png" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="reference"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
<noscript>
<h1>Muster API</h1>
<p>Without JavaScript this page only lists the URLs.
The whole reference is in <a href="../openapi.json">openapi.json</a>.</p>
<table>
<tr><th>Method</th><th>URL</th><th>What it does</th></tr>
{rows}
</table>
</noscript>
</body>
</html>
"""


async def openapi_json(call: Call) -> web.Response:
    body = await asyncio.to_thread(call.edge.reference.json, OPENAPI_3_1)
    return web.Response(body=body, headers={"Content-Type": JSON})


async def docs_page(call: Call) -> web.Response:
    rows = await asyncio.to_thread(_rows, call)
    page = _PAGE.replace("{rows}", "\n".join(rows))
    return web.Response(body=page.encode(), headers={"Content-Type": HTML, **_SAFETY})


async def docs_file(call: Call) -> web.StreamResponse:
    """A file of the page. The list is closed: no path of a request ever reaches the disk."""
    name = call.path["file"]
    if name == "start.js":
        return web.Response(body=_START_UP.encode(), headers=_typed("text/javascript; charset=utf-8"))
    if name == "openapi.json":
        body = await asyncio.to_thread(call.edge.reference.json, OPENAPI_3_0)
        return web.Response(body=body, headers=_typed(JSON))
    media_type = _MEDIA_TYPES.get(name)
    if media_type is None:
        raise MusterError(ErrorCode.NOT_FOUND, "There is nothing at this URL.")
    return NearFile(_assets() / name, _typed(media_type))


def _rows(call: Call) -> list[str]:
    return [
        f"<tr><td>{method}</td><td><code>{escape(path)}</code></td><td>{escape(summary)}</td></tr>"
        for method, path, summary in call.edge.reference.rows
    ]


def _typed(media_type: str) -> dict[str, str]:
    return {"Content-Type": media_type, "Cache-Control": "no-cache", **_SAFETY}


@cache
def _assets() -> Path:
    """The folder of Swagger UI's files inside the installed package, whatever its version is called."""
    vendor = Path(str(files("swagger_ui_bundle"))) / "vendor"
    return next(script.parent for script in sorted(vendor.glob("*/swagger-ui-bundle.js"), reverse=True))
