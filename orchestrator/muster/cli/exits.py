"""How a command ends when it does not end well: one sentence, one way out, one exit code."""

from enum import IntEnum
from typing import Final


class Exit(IntEnum):
    DONE = 0
    FAILED = 1
    USAGE = 2
    JOB_FAILED = 3
    JOB_CANCELLED = 4
    NOT_FOUND = 5
    NOT_ALLOWED = 6
    UNREACHABLE = 7
    TOO_LATE = 124
    INTERRUPTED = 130


class CommandFailed(Exception):
    """Ends the command. `way_out` follows `try:` and is something to type or do."""

    def __init__(self, detail: str, *, way_out: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(detail)
        self.way_out = way_out
        self.code = code


EXIT_OF_STATUS: Final = {
    "finished": Exit.DONE,
    "failed": Exit.JOB_FAILED,
    "quarantined": Exit.JOB_FAILED,
    "cancelled": Exit.JOB_CANCELLED,
}
"""What a command that waited for a job ends with; statuses that are not final are missing."""
