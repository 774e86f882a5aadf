"""The one shape of every JSON answer of this surface: `{"success", "data", "error", "timestamp"}`."""

import time
from collections.abc import Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from muster.api.call import json_answer, plain
from muster.api.problems import error_headers
from muster.api.wire import time_text
from muster.core.ids import UnixMs
from muster.errors import ErrorCode, MusterError

PATHS: Final = ("/api/executions", "/api/artifacts", "/api/health")
"""Errors below these have this shape too, whichever part of the server found them."""
_WORDS: Final = {ErrorCode.JOB_NOT_FOUND: "Execution not found", ErrorCode.FILE_NOT_FOUND: "Artifact not found"}


def answer(data: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return json_answer(enveloped(data, None), status=status, headers=headers)


def error_answer(error: MusterError, path: str) -> web.Response:  # noqa: ARG001 - an envelope is asked for a path
    """Any error; `error` is its sentence, and what to do about it."""
    return web.Response(
        status=error.status,
        body=orjson.dumps(enveloped(None, error_text(error)), default=plain),
        headers={**error_headers(error), "Content-Type": "application/json"},
    )


def error_text(error: MusterError) -> str:
    text = _WORDS.get(error.code, error.detail)
    if not error.hint:
        return text
    return f"{text if text.endswith('.') else text + '.'} {error.hint}"


def enveloped(data: Mapping[str, Any] | None, error: str | None) -> dict[str, Any]:
    return {"success": error is None, "data": data, "error": error, "timestamp": now_text()}


def now_text() -> str:
    text = time_text(UnixMs(int(time.time() * 1000)))
    assert text is not None, "a moment was given"
    return text
