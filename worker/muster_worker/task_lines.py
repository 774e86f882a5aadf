"""Log records among the lines of the task that is running where they are made."""

import logging
from contextvars import ContextVar
from typing import Final

from muster_worker.running import EventSink

SENT: Final = "is_task_line"
"""Set on records that are among a task's lines already."""
running_events: Final[ContextVar[EventSink | None]] = ContextVar("running_events", default=None)
"""Of the task whose handler runs in this context."""
_FORMAT: Final = logging.Formatter("%(levelname)s %(message)s")


class TaskLogHandler(logging.Handler):
    """For loggers of yours: `logging.getLogger("shop").addHandler(TaskLogHandler())`. `ctx.log` needs none.

    Records that are made outside a task are left alone.
    """

    def __init__(self, level: int = logging.INFO) -> None:
        super().__init__(level)
        self.setFormatter(_FORMAT)

    def emit(self, record: logging.LogRecord) -> None:
        events = running_events.get()
        if events is None or getattr(record, SENT, False):
            return
        try:
            tell_record(events, record, self.format(record))
        except Exception:  # noqa: BLE001 - as every handler: a bad record must not end the task
            self.handleError(record)


def tell_record(events: EventSink, record: logging.LogRecord, text: str = "") -> None:
    """A line of stderr for each line of the record."""
    for line in (text or _FORMAT.format(record)).splitlines() or [""]:
        events.emit("log", {"stream": "stderr", "text": line, "at": int(record.created * 1000)})
