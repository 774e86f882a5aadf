"""What a handler sees of its task, apart from the input."""

import asyncio
import logging
import time
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any

from muster_worker.errors import Cancelled
from muster_worker.running import CancelEvent, Running

MESSAGE_LENGTH_MAX = 2000
_log = logging.getLogger("muster_worker.task")


class TaskLog(logging.LoggerAdapter[logging.Logger]):
    """Adds `job_id`, `task_id` and `attempt` to every record, beside what the caller adds."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(self.extra or {}), **kwargs.get("extra", {})}
        return msg, kwargs


class Ctx:
    """The first argument of a handler that asks for it."""

    __slots__ = ("_log", "_running")

    def __init__(self, running: Running) -> None:
        self._running = running
        self._log: TaskLog | None = None

    @classmethod
    def for_test(cls, task_id: str = "test.1", *, attempt: int = 1, timeout_seconds: float = 300) -> "Ctx":
        """A context for calling a handler in a test, without a worker."""
        job_id = task_id.rpartition(".")[0] or task_id
        leased = {"job_id": job_id, "task_id": task_id, "attempt": attempt, "timeout_seconds": timeout_seconds}
        return cls(Running(leased, None))

    @property
    def task_id(self) -> str:
        return self._running.task_id

    @property
    def job_id(self) -> str:
        return self._running.job_id

    @property
    def attempt(self) -> int:
        """1 for the first run of this task."""
        return self._running.attempt

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this task: give it to services that must not act twice."""
        return self._running.task_id

    @property
    def deadline(self) -> datetime:
        """When this attempt times out, by this machine's clock (UTC)."""
        return datetime.fromtimestamp(self._running.deadline_s, UTC)

    @property
    def seconds_left(self) -> float:
        left_s: float = self._running.deadline_s - time.time()
        return max(0.0, left_s)

    @property
    def tracing_context(self) -> Mapping[str, str]:
        """W3C trace headers of the job, for example `traceparent`."""
        return self._running.tracing_context

    @property
    def cancelled(self) -> CancelEvent:
        """Set when the handler should stop: cancelled, timed out, lease lost or worker stopping."""
        return self._running.cancelled

    @property
    def log(self) -> TaskLog:
        if self._log is None:
            self._log = TaskLog(_log, {"job_id": self.job_id, "task_id": self.task_id, "attempt": self.attempt})
        return self._log

    async def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """For async handlers: `done` of `total`, or a fraction from 0 to 1. Raises Cancelled when it should stop."""
        self.progress_now(done, total, message)
        await asyncio.sleep(0)

    def progress_now(self, done: float, total: float | None = None, message: str = "") -> None:
        """The same for plain handlers. The next heartbeat carries it: cheap enough to call in a loop."""
        self.check_cancelled()
        fraction = float(done) if total is None else (done / total if total > 0 else 1.0)
        self._running.progress = min(max(fraction, 0.0), 1.0)
        if message:
            self._running.message = message[:MESSAGE_LENGTH_MAX]

    def check_cancelled(self) -> None:
        """Raises Cancelled once the task should stop."""
        if self._running.stopped is not None:
            raise Cancelled(f"task {self.task_id} should stop: {self._running.stopped}")
