"""The worker's signs of life, on a thread of their own: a handler that keeps the main loop busy loses no lease."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from muster_worker.backoff import Backoff
from muster_worker.errors import ClientError
from muster_worker.hot import HotCache
from muster_worker.outcome import StopReason
from muster_worker.running import Running, RunningTasks
from muster_worker.settings import WorkerSettings
from muster_worker.transport import Transport
from muster_worker.worker_api import Timing, WorkerApi

IDLE_HEARTBEAT_S: Final = 20.0
JOIN_TIMEOUT_S: Final = 5.0
_log = logging.getLogger("muster_worker")

StopTask = Callable[[Running, StopReason], None]
"""Called on the pulse's thread."""


class Pulse:
    """Heartbeats. `start` and `close` belong to the main loop."""

    def __init__(
        self,
        settings: WorkerSettings,
        registration: dict[str, Any],
        timing: Timing,
        running: RunningTasks,
        stop_task: StopTask,
        hot: HotCache | None = None,
    ) -> None:
        self._settings = settings
        self._hot = HotCache() if hot is None else hot
        self._hot.on_change = self._wake
        self.heard_s = time.monotonic()
        """When an orchestrator answered last; the registration has just been."""
        self._registration = registration
        self._timing = timing
        self._running = running
        self._stop_task = stop_task
        self._draining = False
        self._paused = False
        self._slots = settings.slots
        self.on_order: Callable[[str | None, int | None], None] = lambda _order, _slots: None
        """Told on this thread what is ordered of the worker now."""
        self._last_beat_s = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._nudge: asyncio.Event | None = None
        self._closing = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, name="muster-pulse", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def drain(self) -> None:
        """Tell the orchestrator, without waiting for the next heartbeat, to send nothing more."""
        self._draining = True
        self._wake()

    def tell(self, *, paused: bool, slots: int) -> None:
        """How an order was obeyed."""
        self._paused, self._slots = paused, slots
        self._wake()

    async def close(self) -> None:
        self._closing.set()
        self._wake()
        await asyncio.to_thread(self._thread.join, JOIN_TIMEOUT_S)

    def _wake(self) -> None:
        if self._ready.is_set() and self._loop is not None and self._nudge is not None:
            with contextlib.suppress(RuntimeError):  # its loop has just ended
                self._loop.call_soon_threadsafe(self._nudge.set)

    def _main(self) -> None:
        try:
            asyncio.run(self._live())
        except Exception:  # noqa: BLE001 - nobody above this thread would hear of it
            _log.exception("the heartbeat thread ended; running tasks will be given to other workers")

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._nudge = asyncio.Event()
        self._ready.set()
        headers = worker_headers(self._settings.token)
        async with Transport(self._settings.addresses, headers, self._settings.tls) as transport:
            api = WorkerApi(transport, self._settings.worker_id, self._registration, self._hot)
            api.timing = self._timing
            await self._beat_until_closed(api, self._nudge)

    async def _beat_until_closed(self, api: WorkerApi, nudge: asyncio.Event) -> None:
        backoff = Backoff()
        pause_s = api.timing.heartbeat_s
        while not self._closing.is_set():
            nudged = await _is_set_within(nudge, pause_s)
            nudge.clear()
            if self._closing.is_set():
                return
            pause_s = api.timing.heartbeat_s
            try:
                await self._beat_if_due(api, nudged)
                backoff.reset()
            except ClientError as error:
                _log.warning("heartbeat failed: %s", error)
                pause_s = min(pause_s, backoff.next_delay_s(error.retry_after_s))
            except Exception:  # noqa: BLE001 - one bad answer must not stop the heartbeat
                _log.exception("heartbeat failed")

    async def _beat_if_due(self, api: WorkerApi, nudged: bool) -> None:
        running = self._running.snapshot()
        idle_for_s = time.monotonic() - self._last_beat_s
        if not running and not nudged and idle_for_s < IDLE_HEARTBEAT_S:
            return
        status = "draining" if self._draining or self._paused else "busy" if running else "idle"
        resized = None if self._slots == self._settings.slots else self._slots
        answer = await api.heartbeat(status, self._slots, running, resized)
        self._last_beat_s = self.heard_s = time.monotonic()
        self.on_order(answer.order, answer.ordered_slots)
        for task_id in answer.cancel_task_ids:
            if (cancelled := self._running.get(task_id)) is not None:
                self._stop_task(cancelled, "command")
        lost = set(answer.lost_task_ids)
        for task in running:  # those that were reported: a newer lease of the same task is not meant
            if task.task_id in lost:
                self._stop_task(task, "lost")


def worker_headers(token: str) -> dict[str, str]:
    """Without a token its certificate says who the worker is."""
    return {**({"X-Worker-Token": token} if token else {}), "Content-Type": "application/json"}


async def _is_set_within(event: asyncio.Event, timeout_s: float) -> bool:
    wait: Awaitable[bool] = event.wait()
    try:
        return await asyncio.wait_for(wait, timeout_s)
    except TimeoutError:
        return False
