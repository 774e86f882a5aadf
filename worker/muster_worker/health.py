"""A worker's own HTTP port for whoever looks after its process: `GET /health` and `GET /ready`. Off unless wanted."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from muster_worker.codec import encode

if TYPE_CHECKING:
    from aiohttp import web

SILENT_AFTER_S: Final = 60.0
"""An idle worker is heard of every 20 s; three lost signs are no accident."""


@dataclass(frozen=True, slots=True)
class Health:
    """How the worker is at this moment. `takes_tasks`: it neither drains nor holds back."""

    worker_id: str
    running: int
    slots: int
    takes_tasks: bool
    heard_s: float
    """Monotonic time of the last heartbeat that an orchestrator answered."""

    def shown(self) -> dict[str, Any]:
        silent_s = time.monotonic() - self.heard_s
        connected = silent_s < SILENT_AFTER_S
        return {
            "status": "disconnected" if not connected else "ok" if self.takes_tasks else "paused",
            "worker_id": self.worker_id,
            "running": self.running,
            "slots": self.slots,
            "heartbeat_seconds_ago": round(silent_s, 1),
        }


@asynccontextmanager
async def health_port(address: tuple[str, int] | None, look: Callable[[], Health]) -> AsyncIterator[int | None]:
    """Answer on *address* as long as this is entered; gives the port, None where there is no address.

    `/health` is 200 while the process answers at all, so that nobody restarts a worker, and what runs in it, because
    its orchestrator is away. `/ready` is 503 unless it takes tasks. Raises OSError where the port is taken.
    """
    if address is None:
        yield None
        return
    from aiohttp import web

    def answer(status: int, shown: dict[str, Any]) -> "web.Response":
        return web.Response(status=status, body=encode(shown), content_type="application/json")

    async def health(_: "web.Request") -> "web.Response":
        return answer(200, look().shown())

    async def ready(_: "web.Request") -> "web.Response":
        shown = look().shown()
        return answer(200 if shown["status"] == "ok" else 503, shown)

    app = web.Application()
    app.router.add_get("/health", health)
    app.router.add_get("/ready", ready)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, *address).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
