"""What a handler's return value or exception means for its task. Pure: no clock, no I/O."""

import traceback
from asyncio import CancelledError
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from pydantic_core import to_jsonable_python

from muster_worker.contracts import TaskContract
from muster_worker.errors import (
    INVALID_INPUT_ERROR,
    PERMANENT_ERROR,
    TIMEOUT_ERROR,
    TRANSIENT_ERROR,
    Cancelled,
    Failed,
    Permanent,
    Requeue,
    Retry,
)

MESSAGE_BYTES_MAX: Final = 4096
RETRY_AFTER_S_MAX: Final = 86_400
TYPE_LENGTH_MAX: Final = 200

ErrorCodes = Mapping[type[BaseException], str]
"""Error codes by the exceptions that stand for them; the first that fits counts."""
NO_CODES: Final[ErrorCodes] = MappingProxyType({})

StopReason = Literal["command", "timeout", "lost", "shutdown"]
"""Why the SDK stopped a handler."""

WireOutcome = dict[str, Any]
"""`result` of a report: {"status", "data"} or {"status", "error": {"code", "message", "retry_after_seconds"?}}."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Return it from a handler to take another transition of the waiting state: `Outcome("duplicate", {"of": 7})`.

    Its data is sent as it is, not held against the contract's output type.
    """

    status: str
    data: Any = None


def of_return(contract: TaskContract[Any, Any], value: object) -> WireOutcome:
    try:
        if isinstance(value, Outcome):
            return {"status": value.status, "data": to_jsonable_python(value.data)}
        return {"status": "success", "data": contract.dump_output(value)}
    except Exception as error:  # noqa: BLE001 - a validator or serializer of the user's may raise anything
        return failure(
            PERMANENT_ERROR, f"the result of task {contract.name!r} is not {type_name(contract.output)}: {error}"
        )


def of_exception(
    error: BaseException,
    stopped: StopReason | None,
    timeout_s: float,
    errors: ErrorCodes = NO_CODES,
    timeout_code: str = TIMEOUT_ERROR,
) -> WireOutcome:
    """`stopped` tells a handler that was stopped from one that failed; `errors` are the codes of exceptions."""
    if isinstance(error, Cancelled | CancelledError) and stopped is not None:
        return of_stop(stopped, timeout_s, timeout_code)
    if isinstance(error, Retry):
        return failure(TRANSIENT_ERROR, str(error), after_ms=error.after_ms)
    if isinstance(error, Requeue):
        return requeue(str(error), error.after_ms)
    if isinstance(error, Permanent):
        return failure(PERMANENT_ERROR, str(error))
    if isinstance(error, Failed):
        data = {} if error.data is None else {"data": to_jsonable_python(error.data)}
        return {**failure(error.code, str(error)), **data}
    code = next((code for kind, code in errors.items() if isinstance(error, kind)), TRANSIENT_ERROR)
    return failure(code, describe(error), kind=type(error).__name__)


def of_stop(stopped: StopReason, timeout_s: float, timeout_code: str = TIMEOUT_ERROR) -> WireOutcome:
    if stopped == "timeout":
        return failure(timeout_code, f"the task did not finish within its timeout of {timeout_s:g} s")
    if stopped == "shutdown":
        return failure(TRANSIENT_ERROR, "the worker was stopped before the task finished")
    return {"status": "cancelled"}


def of_invalid_input(contract: TaskContract[Any, Any], error: Exception) -> WireOutcome:
    return failure(
        INVALID_INPUT_ERROR, f"the input of task {contract.name!r} is not {type_name(contract.input)}: {error}"
    )


def of_unknown_task(name: str, known: list[str]) -> WireOutcome:
    return failure(PERMANENT_ERROR, f"this worker has no task {name!r}; it has {', '.join(known) or 'none'}")


def of_unsendable(error: Exception) -> WireOutcome:
    return failure(PERMANENT_ERROR, f"the result cannot be sent as JSON: {error}")


def of_refused(size_bytes: int, detail: str) -> WireOutcome:
    return failure(PERMANENT_ERROR, f"the orchestrator refused the result of {size_bytes} bytes: {detail}")


def requeue(message: str, after_ms: int | None) -> WireOutcome:
    """`{"status": "requeue", "error": {"message", "retry_after_seconds"?}}`: back into the queue, and no failure."""
    return {**failure("", message, after_ms=after_ms), "status": "requeue"}


def failure(code: str, message: str, *, after_ms: int | None = None, kind: str = "") -> WireOutcome:
    error: dict[str, Any] = {"code": code, "message": head(message)}
    if kind:
        error["type"] = kind[:TYPE_LENGTH_MAX]
    if after_ms is not None:
        error["retry_after_seconds"] = min(after_ms / 1000, RETRY_AFTER_S_MAX)
    return {"status": "failure", "error": error}


def describe(error: BaseException) -> str:
    """`Type: text`, then as much of the traceback's end as fits."""
    title = head("".join(traceback.format_exception_only(error)).strip(), MESSAGE_BYTES_MAX // 2)
    trace = "".join(traceback.format_exception(error)).rstrip()
    return f"{title}\n\n{tail(trace, MESSAGE_BYTES_MAX - len(title.encode()) - 2)}"


def head(text: str, bytes_max: int = MESSAGE_BYTES_MAX) -> str:
    """The beginning of a text. Lone surrogates become question marks: JSON cannot carry them."""
    return text.encode("utf-8", "replace")[:bytes_max].decode("utf-8", "ignore")


def tail(text: str, bytes_max: int) -> str:
    return text.encode("utf-8", "replace")[-bytes_max:].decode("utf-8", "ignore")


def type_name(kind: Any) -> str:
    """`Charge` for a class, `dict[str, int]` for anything with arguments, `nothing` for None."""
    if kind is None or kind is type(None):
        return "nothing"
    if isinstance(kind, type) and not getattr(kind, "__args__", None):
        return kind.__name__
    return str(kind).replace("typing.", "")
