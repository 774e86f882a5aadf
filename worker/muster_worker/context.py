"""What a handler sees of its task, apart from the input."""

import asyncio
import logging
import sys
import time
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any

from muster_worker.contracts import NO_EVENTS
from muster_worker.errors import Cancelled
from muster_worker.files import TaskFiles
from muster_worker.outcome import StopReason
from muster_worker.running import CancelEvent, EventSink, Running
from muster_worker.task_events import STREAM, event_text
from muster_worker.task_lines import SENT, tell_record

MESSAGE_LENGTH_MAX = 2000
_log = logging.getLogger("muster_worker.task")


class TaskLog(logging.LoggerAdapter[logging.Logger]):
    """Adds `job_id`, `task_id` and `attempt` to every record, beside what the caller adds.

    Records from INFO on are lines of the task as well, whatever this process does with them.
    """

    def __init__(self, logger: logging.Logger, extra: Mapping[str, object], events: EventSink | None) -> None:
        super().__init__(logger, extra)
        self._events = events

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
        if self._events is not None and level >= logging.INFO:
            trace = _trace_of(kwargs.get("exc_info"))
            tell_record(self._events, self.logger.makeRecord(self.logger.name, level, "", 0, msg, args, trace))
            kwargs["extra"] = {**(kwargs.get("extra") or {}), SENT: True}
        super().log(level, msg, *args, **kwargs)

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
    def stop_reason(self) -> StopReason | None:
        """Why the handler should stop, once it should: `command`, `timeout`, `lost` (the lease) or `shutdown`."""
        return self._running.stopped

    @property
    def log(self) -> TaskLog:
        if self._log is None:
            extra = {"job_id": self.job_id, "task_id": self.task_id, "attempt": self.attempt}
            self._log = TaskLog(_log, extra, self._running.events)
        return self._log

    @property
    def files(self) -> TaskFiles:
        """Downloads what the input names by file id, and keeps files as artifacts of the job."""
        if self._running.files is None:
            raise RuntimeError("this task has no orchestrator to keep files at")
        return self._running.files

    def emit(self, kind: str, **fields: Any) -> None:
        """Tell an event of this task: `log`, `step` or `meta`, with the members that docs/logs.md shows.

        From any thread. Never waits; sent within some 20 ms, and in any case before the result. `ctx.emit("log",
        text="…")` is a line of stdout.
        """
        if self._running.events is not None:
            self._running.events.emit(kind, fields)

    def event(self, kind: str, data: Any = None) -> None:
        """Tell an event of a type of your own, with JSON data or a model: seen live and afterwards, in order.

        From any thread; never waits. Raises ValueError where the contract declares events and this is none of them or
        its data does not fit, and for more than 64 KiB.
        """
        contract = None if self._running.handler is None else self._running.handler.contract
        declared, task = (NO_EVENTS, "") if contract is None else (contract.events, contract.name)
        self.emit("log", stream=STREAM, text=event_text(kind, data, declared, task))

    async def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """For async handlers: `done` of `total`, or a fraction from 0 to 1. Raises Cancelled when it should stop."""
        self.progress_now(done, total, message)
        await asyncio.sleep(0)

    def progress_now(self, done: float, total: float | None = None, message: str = "") -> None:
        """The same for plain handlers. The next heartbeat carries it: cheap enough to call in a loop."""
        self.check_cancelled()
        self._running.sign()
        fraction = float(done) if total is None else (done / total if total > 0 else 1.0)
        self._running.progress = min(max(fraction, 0.0), 1.0)
        if message:
            self._running.message = message[:MESSAGE_LENGTH_MAX]

    def heartbeat(self) -> None:
        """Tell that the handler is at it, where the task has a `heartbeat` limit and there is no progress to tell.

        From any thread; cheap enough to call in a loop. The next heartbeat of the worker carries it. Raises Cancelled
        when the handler should stop.
        """
        self.check_cancelled()
        self._running.sign()

    def add_to_hot_cache(self, name: str) -> None:
        """This worker has *name* at hand from now on, such as a model in memory.

        Tasks with `prefer={"hot": name}` come here first. From any thread; an orchestrator is told at once. Of more
        than 32 names the oldest goes.

        Raises ValueError for what is no name of 1 to 256 characters.
        """
        if self._running.hot is not None:
            self._running.hot.add(name)

    def remove_from_hot_cache(self, name: str) -> None:
        """This worker has *name* at hand no more."""
        if self._running.hot is not None:
            self._running.hot.remove(name)

    def check_cancelled(self) -> None:
        """Raises Cancelled once the task should stop."""
        if self._running.stopped is not None:
            raise Cancelled(f"task {self.task_id} should stop: {self._running.stopped}")


def _trace_of(given: Any) -> Any:
    """`exc_info` as a record wants it."""
    if isinstance(given, BaseException):
        return type(given), given, given.__traceback__
    return sys.exc_info() if given and not isinstance(given, tuple) else given or None
