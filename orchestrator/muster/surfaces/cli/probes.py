"""Whether the server answers, and whether it can work: its files, its disk, its store."""

import asyncio
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from muster.api.call import Call, json_answer
from muster.api.health import READY_TIMEOUT_S
from muster.errors import MusterError
from muster.store.base import StoreUnavailable
from muster.version import product_version

DISK_FREE_MIN_MB: Final = 100
"""With less, uploads and results would soon be refused."""
_MB: Final = 1024 * 1024


async def cli_health(call: Call) -> web.Response:  # noqa: ARG001 -- every handler takes the call
    """The process answers."""
    return json_answer({"status": "ok", "version": product_version()})


async def cli_ready(call: Call) -> web.Response:
    """Whether uploads, the disk and the store are fit for work."""
    settings = call.edge.settings
    folder = settings.own_folder(settings.upload_dir) or settings.files_folder
    uploads, connected = await asyncio.gather(asyncio.to_thread(_look_at, folder), _is_connected(call))
    free_mb = uploads.pop("free_mb")
    checks = {
        "upload_dir": uploads,
        "disk": {"free_mb": free_mb, "min_mb": DISK_FREE_MIN_MB},
        "queue": {"mode": "redis", "connected": connected},
    }
    ready = connected and uploads["probe"] == "ok" and free_mb is not None and free_mb >= DISK_FREE_MIN_MB
    return json_answer(
        {"status": "ok" if ready else "error", "version": product_version(), "checks": checks},
        status=200 if ready else 503,
        headers=None if ready else {"Retry-After": "1"},
    )


def _look_at(folder: Path) -> dict[str, Any]:
    """Made when it is first needed, as everywhere else."""
    found: dict[str, Any] = {"path": str(folder), "exists": False, "writable": False, "probe": "", "free_mb": None}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found["exists"] = True
        found["writable"] = os.access(folder, os.W_OK)
        found["free_mb"] = shutil.disk_usage(folder).free // _MB
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"probe")
            file.flush()
        found["probe"] = "ok"
    except OSError as error:
        found["probe"] = error.strerror or type(error).__name__
    return found


async def _is_connected(call: Call) -> bool:
    try:
        return await asyncio.wait_for(call.engine.ready(), READY_TIMEOUT_S)
    except (MusterError, StoreUnavailable, TimeoutError):
        return False
