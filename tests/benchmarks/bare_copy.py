"""What files are measured against: an aiohttp handler that writes the body to a file, and one that sends it."""

import asyncio
import os
import sys
from pathlib import Path

from aiohttp import web

BLOCK_BYTES = 256 * 1024


async def receive(request: web.Request) -> web.Response:
    """To the disk, synced: what is acknowledged is kept."""
    loop = asyncio.get_running_loop()
    with (Path(sys.argv[2]) / request.match_info["name"]).open("wb") as target:
        async for chunk in request.content.iter_chunked(BLOCK_BYTES):
            await loop.run_in_executor(None, target.write, chunk)
        target.flush()
        await loop.run_in_executor(None, os.fsync, target.fileno())
    return web.Response()


async def send(request: web.Request) -> web.FileResponse:
    return web.FileResponse(Path(sys.argv[2]) / request.match_info["name"], chunk_size=BLOCK_BYTES)


def main() -> None:
    app = web.Application(client_max_size=1 << 40)
    app.router.add_put("/{name}", receive)
    app.router.add_get("/{name}", send)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)


if __name__ == "__main__":
    main()
