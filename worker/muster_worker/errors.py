"""What a handler may raise, and what a request to an orchestrator may raise."""

from collections.abc import Mapping
from typing import Any, Final

from muster_worker.codec import decode_object
from muster_worker.durations import Duration, parse_duration_ms

TRANSIENT_ERROR: Final = "TRANSIENT_ERROR"
"""Tried again up to the task's retries, then the job is quarantined."""
PERMANENT_ERROR: Final = "PERMANENT_ERROR"
"""Not tried again: the job goes to its error state, else into quarantine."""
INVALID_INPUT_ERROR: Final = "INVALID_INPUT_ERROR"
"""The input does not fit the task: the job goes to its error state, else it fails."""
TIMEOUT_ERROR: Final = "TIMEOUT_ERROR"
"""The task took longer than its timeout."""
SCHEDULE_TO_START_TIMEOUT: Final = "SCHEDULE_TO_START_TIMEOUT"
"""No worker fetched the task in time."""
SCHEDULE_TO_CLOSE_TIMEOUT: Final = "SCHEDULE_TO_CLOSE_TIMEOUT"
"""All attempts and the pauses between them took too long."""
HEARTBEAT_TIMEOUT: Final = "HEARTBEAT_TIMEOUT"
"""The handler gave no sign of its own in time."""
POISON_TASK: Final = "POISON_TASK"
"""The task has cost three workers."""
TOO_MANY_REQUEUES: Final = "TOO_MANY_REQUEUES"
"""Workers put the task back 1,000 times."""


class Retry(Exception):
    """Raise it to have the task tried again, `after` a while if given (default: the server's back-off)."""

    def __init__(self, message: str, *, after: Duration | None = None) -> None:
        super().__init__(message)
        self.after_ms = None if after is None else parse_duration_ms(after)


class Requeue(Exception):
    """Raise it to put the task back into its queue, to be handed out again `after` a while (default: 10 s).

    Neither a failure nor a loss: a partner is closed, a licence is taken, a file is not there yet. At most 1,000 times
    for one task; then it fails with TOO_MANY_REQUEUES.
    """

    def __init__(self, message: str = "", *, after: Duration | None = None) -> None:
        super().__init__(message)
        self.after_ms = None if after is None else parse_duration_ms(after)


class Permanent(Exception):
    """Raise it when trying again cannot help."""


class Failed(Exception):
    """Raise it to fail with an error code of your own, and with data that is kept with the job's results.

    A code that the orchestrator does not know is taken for passing trouble and tried again.
    """

    def __init__(self, message: str, *, code: str, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


class Cancelled(BaseException):
    """Raised inside a handler whose task was cancelled.

    A BaseException like asyncio.CancelledError, so that `except Exception` does not swallow it.
    """


class ClientError(Exception):
    """An orchestrator refused a request, or none could be reached (`Unreachable`).

    Attributes:
        status: HTTP status; 0 when there was no answer.
        code: stable machine word, for example `job_not_found`.
        detail: one sentence naming the offending value.
        hint: what to do about it; may be empty.
        retry_after_s: when the server says when to try again.
        problem: the whole problem document, with members such as `errors` or `allowed`.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        hint: str = "",
        *,
        retry_after_s: float | None = None,
        problem: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{detail} ({hint})" if hint else detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.hint = hint
        self.retry_after_s = retry_after_s
        self.problem: dict[str, Any] = problem or {}


class NotFound(ClientError):
    """404: no such job, blueprint or worker, or it belongs to another client."""


class NotAllowed(ClientError):
    """401 or 403: the token is missing, wrong, or not for this."""


class Conflict(ClientError):
    """409: the object is in a state that does not allow this."""


class Unreachable(ClientError):
    """No address gave a usable answer (no connection, no answer in time, 502, 503, 504). Trying again may help."""


_CLASS_OF_STATUS: Final[dict[int, type[ClientError]]] = {
    401: NotAllowed,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    502: Unreachable,
    503: Unreachable,
    504: Unreachable,
}


def error_from_answer(status: int, body: bytes, *, retry_after_s: float | None = None) -> ClientError:
    """The error for an answer of status >= 400, whatever its body is."""
    problem = _problem(body)
    detail = problem.get("detail")
    if not isinstance(detail, str):
        detail = body[:200].decode("utf-8", "replace") or f"the server answered {status}"
    return _CLASS_OF_STATUS.get(status, ClientError)(
        status,
        str(problem.get("code", f"http_{status}")),
        detail,
        str(problem.get("hint", "")),
        retry_after_s=retry_after_s,
        problem=problem,
    )


def _problem(body: bytes) -> dict[str, Any]:
    try:
        return decode_object(body)
    except ValueError:
        return {}
