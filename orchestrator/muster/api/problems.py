"""Errors as RFC 9457 problem documents. `detail` and `error` say the same: both kinds of client read one."""

import traceback
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
from aiohttp import web

from muster.api.operations import reason
from muster.errors import ErrorCode, MusterError
from muster.store.base import StoreFull, StoreUnavailable

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_FULL_S: Final = 5
RETRY_AFTER_S: Final = 1
"""What a 503 asks for where its cause does not say."""
_OF_HTTP: Final[Mapping[int, ErrorCode]] = {
    400: ErrorCode.INVALID_BODY,
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.METHOD_NOT_ALLOWED,
    413: ErrorCode.BODY_TOO_LARGE,
}


def problem_response(error: MusterError, instance: str) -> web.Response:
    """The answer that tells *error*; *instance* is the request's path."""
    return web.Response(
        status=error.status,
        body=orjson.dumps(problem_document(error, instance), default=str),
        headers=error_headers(error),
    )


def problem_document(error: MusterError, instance: str) -> dict[str, Any]:
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": reason(error.status),
        "status": error.status,
        "detail": error.detail,
        "instance": instance,
        "code": str(error.code),
        "error": error.detail,
    }
    if error.hint:
        document["hint"] = error.hint
    return {**error.extra, **document}


def from_http(refusal: web.HTTPException) -> MusterError:
    """The framework's own refusals (a body over the limit, a bad handshake) in our words."""
    code = _OF_HTTP.get(refusal.status, ErrorCode.INTERNAL if refusal.status >= 500 else ErrorCode.INVALID_BODY)
    return MusterError(code, refusal.text or refusal.reason)


def from_store(error: StoreUnavailable | StoreFull) -> MusterError:
    """The store's troubles pass: the caller should come again."""
    if isinstance(error, StoreFull):
        return MusterError(
            ErrorCode.STORE_FULL,
            "The store has no memory left; nothing was written.",
            hint="Whoever runs this server must give it more memory or shorten the retention.",
            retry_after_s=RETRY_AFTER_FULL_S,
        )
    return MusterError(
        ErrorCode.STORE_UNAVAILABLE,
        "The store cannot be reached.",
        hint="Send the request again; with an Idempotency-Key it cannot happen twice.",
    )


def unexpected(error: BaseException, request_id: str, *, show_traceback: bool) -> MusterError:
    """The answer to a mistake of ours: nothing of its cause, outside development."""
    extra: dict[str, object] = {"request_id": request_id}
    if show_traceback:
        extra["traceback"] = "".join(traceback.format_exception(error))
    return MusterError(
        ErrorCode.INTERNAL,
        "Something went wrong in the server.",
        hint="The server's log tells more under this request_id.",
        extra=extra,
    )


def error_headers(error: MusterError) -> dict[str, str]:
    """What an error says beside its body."""
    headers = {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store"}
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE or error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s or RETRY_AFTER_S)
    allowed = error.extra.get("allowed")
    if error.code is ErrorCode.METHOD_NOT_ALLOWED and isinstance(allowed, list):
        headers["Allow"] = ", ".join(map(str, allowed))
    return headers
