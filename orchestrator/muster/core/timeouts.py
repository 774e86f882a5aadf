"""The four limits of a task's time: what each is called where it has passed."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Timeout(StrEnum):
    """Which limit of a task's time has passed."""

    SCHEDULE_TO_START = "schedule_to_start"
    START_TO_CLOSE = "start_to_close"
    SCHEDULE_TO_CLOSE = "schedule_to_close"
    HEARTBEAT = "heartbeat"


CODE_OF: Final[Mapping[Timeout, str]] = {
    Timeout.SCHEDULE_TO_START: "SCHEDULE_TO_START_TIMEOUT",
    Timeout.START_TO_CLOSE: "TIMEOUT_ERROR",
    Timeout.SCHEDULE_TO_CLOSE: "SCHEDULE_TO_CLOSE_TIMEOUT",
    Timeout.HEARTBEAT: "HEARTBEAT_TIMEOUT",
}
"""The stable code of the failure that it is."""


def said(timeout: Timeout, worker: str) -> str:
    """The failure's message."""
    match timeout:
        case Timeout.SCHEDULE_TO_START:
            return "no worker fetched the task within its schedule_to_start"
        case Timeout.SCHEDULE_TO_CLOSE:
            return "the task did not end within its schedule_to_close, over all attempts and the pauses between them"
        case Timeout.HEARTBEAT:
            return f"the handler at worker {worker!r} gave no sign (ctx.progress, ctx.heartbeat) within its heartbeat"
        case Timeout.START_TO_CLOSE:
            return f"worker {worker!r} did not finish within the task's timeout"
