"""Query parameters and headers as numbers and words; every refusal names the parameter and its value."""

import re
from typing import Final

from muster.api.operations import Parameter
from muster.errors import ErrorCode, MusterError

_NUMBER: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")
_WHOLE: Final = re.compile(r"[0-9]{1,15}")


def seconds(name: str, text: str, *, maximum: float) -> float:
    """*text* as seconds from 0; more than *maximum* means *maximum*."""
    if _NUMBER.fullmatch(text) is None:
        raise refused(name, text, "a number of seconds, for example 30 or 0.5")
    return min(float(text), maximum)


def whole(name: str, text: str, *, minimum: int, maximum: int) -> int:
    """*text* as an integer from *minimum*; more than *maximum* means *maximum*."""
    if _WHOLE.fullmatch(text) is None or int(text) < minimum:
        raise refused(name, text, f"an integer of at least {minimum}")
    return min(int(text), maximum)


def refused(name: str, text: str, expected: str) -> MusterError:
    return MusterError(
        ErrorCode.INVALID_PARAMETER,
        f"{name}={text[:100]!r} is not {expected}.",
        extra={"parameter": name},
    )


def seconds_parameter(name: str, description: str) -> Parameter:
    return Parameter(name, description, {"type": "number", "minimum": 0})


def whole_parameter(name: str, description: str, *, minimum: int = 0) -> Parameter:
    return Parameter(name, description, {"type": "integer", "minimum": minimum})


def text_parameter(name: str, description: str, *, header: bool = False) -> Parameter:
    return Parameter(name, description, {"type": "string"}, "header" if header else "query")
