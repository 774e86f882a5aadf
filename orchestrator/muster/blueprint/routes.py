"""Which routes a blueprint may not have, because the server has them already."""

import re
from typing import Final

VERSIONS_REFUSED: Final = frozenset({"executions", "artifacts", "health"})
"""`/api/<word>/...` belongs to another API document."""

_FIXED: Final = (
    "artifacts", "batches", "blueprints", "cost", "dashboard", "estimate", "executions", "health", "workers",
)  # fmt: skip
"""First segments below `/api/{version}/`, with everything behind them."""
_FIXED_JOBS: Final = ("cancel", "decision", "history")
"""`/api/{version}/jobs/{id}/<word>`."""

_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._~-]{0,127}")


def version_fault(api_version: str) -> str | None:
    """What is wrong with an `api_version`, or None."""
    if api_version in VERSIONS_REFUSED:
        return f"api_version {api_version!r} is taken by other routes below /api"
    if _VERSION.fullmatch(api_version) is None:
        return f"api_version {api_version!r} is no word for an address"
    return None


def endpoint_fault(endpoint: str) -> str | None:
    """What is wrong with an endpoint, or None."""
    segments = endpoint.split("/")
    if not all(_SEGMENT.fullmatch(segment) for segment in segments):
        return f"endpoint {endpoint!r} is no path; write words with slashes in between, such as 'jobs/orders'"
    if fixed := _fixed_route(segments):
        return f"endpoint {endpoint!r} collides with the server's own route {fixed}"
    return None


def _fixed_route(segments: list[str]) -> str | None:
    if segments[0] in _FIXED:
        return f"/api/{{version}}/{segments[0]}"
    if segments[0] != "jobs" or len(segments) == 2:
        return None
    if len(segments) == 1:
        return "/api/{version}/jobs"
    return f"/api/{{version}}/jobs/{{id}}/{segments[2]}" if segments[2] in _FIXED_JOBS and len(segments) == 3 else None
