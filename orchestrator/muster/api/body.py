"""Reading JSON bodies that strangers send: bounded in bytes and depth, strict JSON, checked by a model."""

from collections.abc import Sequence
from itertools import chain
from typing import Any, TypeVar

import orjson
from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import PayloadEncodingError
from pydantic import BaseModel, ValidationError

from muster.core.limits import JSON_DEPTH_MAX
from muster.errors import ErrorCode, MusterError

M = TypeVar("M", bound=BaseModel)


async def read_bytes(request: web.Request, bytes_max: int) -> bytes:
    """The whole body.

    Raises:
        MusterError: BODY_TOO_LARGE, or INVALID_BODY where it is compressed or ends early.
    """
    if "Content-Encoding" in request.headers:
        raise MusterError(
            ErrorCode.INVALID_BODY,
            f"A body with Content-Encoding {request.headers['Content-Encoding']!r} is not read.",
            hint="Send it uncompressed.",
        )
    if request.content_length is not None and request.content_length > bytes_max:
        raise _too_large(bytes_max)
    try:
        data = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise _too_large(bytes_max) from None
    except (PayloadEncodingError, ClientPayloadError, web.RequestPayloadError):
        raise MusterError(ErrorCode.INVALID_BODY, "The body ended before it was complete.") from None
    if len(data) > bytes_max:
        raise _too_large(bytes_max)
    return data


def parse_json(data: bytes) -> Any:
    """The value of *data*: strict JSON, at most JSON_DEPTH_MAX deep, finite numbers, no lone surrogates.

    Raises:
        MusterError: MALFORMED_JSON.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as bad:
        raise MusterError(
            ErrorCode.MALFORMED_JSON,
            f"The body is not JSON: {bad.msg} (line {bad.lineno}, column {bad.colno}).",
            hint="NaN, Infinity and comments are no JSON; text must be UTF-8.",
        ) from None
    if data.count(b"{") + data.count(b"[") > JSON_DEPTH_MAX and _deeper_than(value, JSON_DEPTH_MAX):
        raise MusterError(
            ErrorCode.MALFORMED_JSON,
            f"The body is nested deeper than {JSON_DEPTH_MAX} levels.",
            hint="Flatten it, or send a reference to the data.",
        )
    return value


def parse_object(data: bytes) -> dict[str, Any]:
    """As `parse_json`, for a JSON object; nothing at all means `{}`."""
    value = parse_json(data) if data else {}
    if not isinstance(value, dict):
        raise MusterError(ErrorCode.INVALID_BODY, f"The body must be a JSON object, not {_json_name(value)}.")
    return value


def validated(model: type[M], value: object) -> M:
    """*value* as *model*.

    Raises:
        MusterError: INVALID_BODY with `errors`: `[{"pointer", "detail"}]`.
    """
    try:
        return model.model_validate(value)
    except ValidationError as invalid:
        raise _invalid(invalid) from None


def _invalid(invalid: ValidationError) -> MusterError:
    found = invalid.errors(include_url=False, include_context=False, include_input=False)[:20]
    errors = [{"pointer": _pointer(error["loc"]), "detail": error["msg"]} for error in found]
    first = errors[0]
    where = f"{first['pointer']}: " if first["pointer"] else ""
    return MusterError(
        ErrorCode.INVALID_BODY,
        f"The body is not valid: {where}{first['detail']}.",
        hint="The schema of every body is in /openapi.json.",
        extra={"errors": errors},
    )


def _pointer(location: Sequence[str | int]) -> str:
    """RFC 6901."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def _too_large(bytes_max: int) -> MusterError:
    return MusterError(
        ErrorCode.BODY_TOO_LARGE,
        f"The body is larger than {bytes_max} bytes.",
        hint="Send large data by reference.",
        extra={"bytes_max": bytes_max},
    )


def _deeper_than(value: object, levels: int) -> bool:
    """Level by level, so that no depth can exhaust the stack; a thousand events in a body are worth a quick look."""
    layer: list[Any] = [value]
    for _ in range(levels):
        children = chain.from_iterable(parent.values() if type(parent) is dict else parent for parent in layer)
        layer = [child for child in children if type(child) is dict or type(child) is list]  # parsed: no subclasses
        if not layer:
            return False
    return True


def _json_name(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
