"""The tasks a worker holds right now: shared by the event loop that runs them and the thread that reports them."""

import asyncio
import threading
import time
from typing import Any, Protocol

from muster_worker.errors import TIMEOUT_ERROR
from muster_worker.files import TaskFiles
from muster_worker.handlers import Handler
from muster_worker.hot import HotCache
from muster_worker.outcome import StopReason


class CancelEvent(threading.Event):
    """Set once the task should stop. `if ctx.cancelled:` works as well as `ctx.cancelled.wait(1)`."""

    def __bool__(self) -> bool:
        return self.is_set()


class EventSink(Protocol):
    """What a task tells its events to; `events.EventSender` in a worker."""

    def emit(self, kind: str, fields: dict[str, Any]) -> None: ...

    @property
    def is_pending(self) -> bool: ...

    async def settle(self) -> None: ...

    async def flush(self) -> None: ...

    def close(self) -> None: ...


class Running:
    """One task from its lease until its result is taken. Members are written by one thread at a time."""

    __slots__ = (
        "_event",
        "attempt",
        "body",
        "deadline_s",
        "events",
        "fence",
        "files",
        "future",
        "handler",
        "heartbeat_s",
        "hot",
        "job_id",
        "kind",
        "message",
        "progress",
        "progress_sent",
        "replaced",
        "reported_since_s",
        "signed_s",
        "stopped",
        "task_id",
        "timeout_code",
        "timeout_s",
        "timer",
        "tracing_context",
    )

    def __init__(self, leased: dict[str, Any], handler: Handler | None) -> None:
        """`leased` is a task as it comes over the wire (wire.LeasedTask)."""
        self.job_id: str = leased["job_id"]
        self.task_id: str = leased["task_id"]
        self.kind: str = leased.get("type", "")
        self.attempt: int = leased.get("attempt", 1)
        self.fence: str | None = leased.get("fence")
        self.timeout_s: float = leased.get("timeout_seconds", 300)
        self.timeout_code: str = leased.get("timeout_code", TIMEOUT_ERROR)
        self.heartbeat_s: float | None = leased.get("heartbeat_seconds")
        """Longest time between two signs of the handler's own, where there is such a limit."""
        self.signed_s = time.monotonic()
        self.tracing_context: dict[str, str] = leased.get("tracing_context") or {}
        self.deadline_s = time.time() + self.timeout_s
        self.handler = handler
        self.future: asyncio.Future[Any] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.progress: float | None = None
        self.message: str | None = None
        self.progress_sent: tuple[float | None, str | None] = (None, None)
        self.stopped: StopReason | None = None
        self.body: bytes = b""
        """The encoded result, once there is one."""
        self.replaced = False
        """The result was refused and a failure report stands in for it."""
        self.reported_since_s: float | None = None
        self.files: TaskFiles | None = None
        """None where there is no orchestrator, or one that gave no fence."""
        self.hot: HotCache | None = None
        """The worker's; None in a test of a handler."""
        self.events: EventSink | None = None
        """Takes what the task tells; None where nobody listens, as in a test of a handler."""
        self._event: CancelEvent | None = None

    @property
    def cancelled(self) -> CancelEvent:
        # Made on demand: most tasks never look. Assigned before `stopped` is read, and `stop` writes `stopped`
        # before it reads this, so one of the two sets the event.
        event = self._event
        if event is None:
            event = self._event = CancelEvent()
        if self.stopped is not None:
            event.set()
        return event

    def sign(self) -> None:
        """The handler itself is at it; callable from any thread."""
        self.signed_s = time.monotonic()

    def stop(self, reason: StopReason) -> None:
        """Ask the handler to stop; callable from any thread. The first reason stays, except that `lost` wins."""
        if self.stopped is None or reason == "lost":
            self.stopped = reason
        if self._event is not None:
            self._event.set()

    @property
    def is_lost(self) -> bool:
        return self.stopped == "lost"


class RunningTasks:
    """By task id. Safe to use from any thread."""

    def __init__(self) -> None:
        self._by_id: dict[str, Running] = {}
        self._lock = threading.Lock()

    def add(self, running: Running) -> Running | None:
        """Returns the run of an earlier lease of the same task, if it is still here."""
        with self._lock:
            before = self._by_id.get(running.task_id)
            self._by_id[running.task_id] = running
            return before

    def remove(self, running: Running) -> None:
        with self._lock:
            if self._by_id.get(running.task_id) is running:
                del self._by_id[running.task_id]

    def get(self, task_id: str) -> Running | None:
        with self._lock:
            return self._by_id.get(task_id)

    def snapshot(self) -> list[Running]:
        with self._lock:
            return list(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)
