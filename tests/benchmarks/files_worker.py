"""The worker of the files benchmark: keeps a file, or sends it to the bare handler with the same block size."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
from muster_worker import Ctx, Worker
from muster_worker.file_transfer import BLOCK_BYTES

worker = Worker(slots=1)


@worker.task("bench.keep")
async def keep(ctx: Ctx, value: dict[str, Any]) -> dict[str, Any]:
    path, url = Path(value["path"]), value["url"]
    started = time.perf_counter()
    artifact = "" if url else (await ctx.files.upload(path)).artifact_id
    if url:
        await send(path, url)
    return {"seconds": time.perf_counter() - started, "artifact_id": artifact}


async def send(path: Path, url: str) -> None:
    async with aiohttp.ClientSession() as session, session.put(url, data=blocks(path)) as answer:
        answer.raise_for_status()


async def blocks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as source:
        while block := source.read(BLOCK_BYTES):
            yield block


if __name__ == "__main__":
    worker.run()
