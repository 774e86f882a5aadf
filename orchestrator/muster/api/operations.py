"""What one operation of the HTTP interface is, and which operation a request means."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import unquote

from aiohttp import web
from pydantic import BaseModel

from muster.errors import ErrorCode, MusterError

if TYPE_CHECKING:
    from muster.api.call import Call
    from muster.api.ports import Blueprint, Blueprints

Handler: TypeAlias = "Callable[[Call], Awaitable[web.StreamResponse]]"
Guard: TypeAlias = "Callable[[Call], None]"
Schema: TypeAlias = Mapping[str, Any]

NDJSON: Final = "application/x-ndjson"
JSON: Final = "application/json"
INVALID: Final = frozenset({ErrorCode.INVALID_BODY, ErrorCode.INVALID_PARAMETER, ErrorCode.INVALID_INPUT})
"""Well-formed but wrong, as opposed to MALFORMED_JSON."""
KIBIBYTE: Final = 1024


class Auth(StrEnum):
    """Who may call."""

    NONE = "none"
    CLIENT = "client"
    CLIENT_IF_ANY = "client_if_any"
    """As CLIENT; where no client token is configured at all, anybody, as the anonymous tenant."""
    CLIENT_OR_BROKEN = "client_or_broken"
    """As CLIENT; where no client token is configured at all, the server says that it is not set up (500)."""
    MONITOR = "monitor"
    """As CLIENT; without any credential the anonymous tenant, where MUSTER_STEPFLOW_AUTH_ENABLED is off."""
    OPERATOR = "operator"
    """As CLIENT, for what concerns all tenants: in production only clients whose entry says `operator = true`."""
    WORKER = "worker"

    @property
    def is_client(self) -> bool:
        return self not in {Auth.NONE, Auth.WORKER}


class Tag(StrEnum):
    """Chapters of the reference."""

    PUBLIC = "public"
    JOBS = "jobs"
    APPROVALS = "approvals"
    BLUEPRINTS = "blueprints"
    FILES = "files"
    BATCHES = "batches"
    COST = "cost"
    LIMITS = "limits"
    FLEET = "fleet"
    WORKERS = "workers"
    HEALTH = "health"
    CLI = "cli"
    WS = "ws"
    SYSTEM = "system"
    EXECUTIONS = "executions"
    CONNECTIONS = "connections"
    MONITOR = "monitor"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter or header, for the reference; the handler reads it with `parameters.py`."""

    name: str
    description: str
    schema: Schema
    location: str = "query"


@dataclass(frozen=True, slots=True)
class Answer:
    """One successful answer. `model` or an `example` of another media type."""

    status: int
    description: str
    model: Any = None
    media_type: str = JSON
    example: Any = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table. A path segment in braces is a parameter; `{endpoint…}` takes the rest."""

    method: str
    path: str
    handler: Handler
    summary: str
    tag: Tag
    answers: tuple[Answer, ...]
    auth: Auth = Auth.NONE
    body: type[BaseModel] | None = None
    body_bytes_max: int | None = None
    """Tighter than the setting `max_body_bytes`, where nothing large is ever sent."""
    documents: tuple[str, ...] = ()
    """Media types of a body that the handler reads as a whole by itself."""
    takes_file: bool = False
    """The body is a file, which the handler reads piece by piece."""
    takes_lines: bool = False
    """The body may also be NDJSON, which the handler reads line by line."""
    takes_form: bool = False
    """The file is the part `file` of a form, and nothing else will do."""
    form: type[BaseModel] | None = None
    """The other parts of that form."""
    empty_body_is_none: bool = False
    """An empty body is told from `{}` (else it means the same)."""
    parameters: tuple[Parameter, ...] = ()
    errors: tuple[ErrorCode, ...] = ()
    guard: "Guard | None" = None
    """Refuses before the body is read."""
    development_only: bool = False
    head: bool = True
    """A GET that HEAD may ask for: it changes nothing."""
    open_to_blueprints: bool = False
    """POST on this path may be a blueprint's endpoint."""
    unprocessable: bool = False
    """A body or parameter that is well-formed but not valid is answered with 422, as FastAPI servers do, not 400."""
    hidden: bool = False
    """Left out of the reference: files of the docs page."""

    @property
    def name(self) -> str:
        handler_name: str = getattr(self.handler, "__name__", "operation")
        return handler_name


@dataclass(frozen=True, slots=True)
class Match:
    operation: Operation
    path: Mapping[str, str] = field(default_factory=dict[str, str])


class RouteCollisionError(ValueError):
    """Blueprints whose URL is taken. `problems` has one sentence each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


RESERVED_VERSIONS: Final = frozenset({"executions", "artifacts", "health"})
"""These words stand where a version would: `/api/health` is a fixed URL."""


class Router:
    """Finds the operation of a request. Fixed paths first, then blueprints' endpoints."""

    def __init__(self, operations: Iterable[Operation], blueprints: "Blueprints") -> None:
        self._exact: dict[str, dict[str, Operation]] = {}
        self._patterns: dict[int, list[tuple[tuple[str, ...], dict[str, Operation]]]] = {}
        self._blueprints = blueprints
        self._endpoint: Operation | None = None
        for operation in operations:
            self._add(operation)

    def resolve(self, method: str, raw_path: str) -> Match:
        """The operation that *method* on *raw_path* (still percent-encoded) means.

        Raises:
            MusterError: NOT_FOUND, or METHOD_NOT_ALLOWED with `allow` in `extra`.
        """
        found = self._exact.get(raw_path)
        if found is not None and (operation := _by_method(found, method)) is not None:
            return Match(operation)
        segments = [unquote(part) if "%" in part else part for part in raw_path[1:].split("/")]
        fixed = list(self._matching(self._as_v1(segments)))
        for operations, path in fixed:
            if (operation := _by_method(operations, method)) is not None:
                return Match(operation, path)
        if method == "POST" and all(_leaves_room(operations) for operations, _ in fixed):
            endpoint = self._blueprint_endpoint(segments)
            if endpoint is not None:
                return endpoint
        if fixed:
            raise _not_allowed(method, fixed)
        raise MusterError(
            ErrorCode.NOT_FOUND,
            "There is nothing at this URL.",
            hint="GET /openapi.json lists every URL; a person may prefer /_public/docs.",
        )

    def check_blueprints(self) -> None:
        """Refuse blueprints whose endpoint equals or shadows a fixed URL.

        Raises:
            RouteCollisionError: names all of them.
        """
        problems: list[str] = []
        for name in self._blueprints.names():
            blueprint = self._blueprints.get(name)
            if blueprint is not None and not is_data(blueprint):  # what is data was checked when it was saved
                problems += self.problems_of(blueprint)
        if problems:
            raise RouteCollisionError(problems)

    def problems_of(self, blueprint: "Blueprint") -> Iterable[str]:
        """Why *blueprint* cannot be served at its URL."""
        url = f"/api/{blueprint.api_version}/{blueprint.endpoint}"
        if blueprint.api_version in RESERVED_VERSIONS:
            yield f"Blueprint {blueprint.name}: {blueprint.api_version!r} cannot be an API version. Use 'v1'."
        # Every version that a blueprint brings has the common routes: those of this one too.
        for operations, _ in self._matching(["api", "v1", *blueprint.endpoint.split("/")]):
            if not _leaves_room(operations):
                taken = next(iter(operations.values())).path
                yield f"Blueprint {blueprint.name}: its URL {url} is that of {taken}. Give it another endpoint."

    def _add(self, operation: Operation) -> None:
        if "…}" in operation.path:
            self._endpoint = operation
            return
        if "{" not in operation.path:
            self._exact.setdefault(operation.path, {})[operation.method] = operation
            return
        segments = tuple(operation.path[1:].split("/"))
        rows = self._patterns.setdefault(len(segments), [])
        for known, operations in rows:
            if known == segments:
                operations[operation.method] = operation
                return
        rows.append((segments, {operation.method: operation}))

    def _matching(self, segments: Sequence[str]) -> Iterable[tuple[dict[str, Operation], dict[str, str]]]:
        exact = self._exact.get("/" + "/".join(segments))
        if exact is not None:
            yield exact, {}
        for pattern, operations in self._patterns.get(len(segments), ()):
            path = _fit(pattern, segments)
            if path is not None:
                yield operations, path

    def _as_v1(self, segments: Sequence[str]) -> Sequence[str]:
        """The common client routes exist under every version that some blueprint uses."""
        if len(segments) < 3 or segments[0] != "api" or segments[1] == "v1":
            return segments
        if segments[1] in RESERVED_VERSIONS or segments[1] not in self._versions():
            return segments
        return [segments[0], "v1", *segments[2:]]

    def _versions(self) -> set[str]:
        known = (self._blueprints.get(name) for name in self._blueprints.names())
        return {blueprint.api_version for blueprint in known if blueprint is not None}

    def _blueprint_endpoint(self, segments: Sequence[str]) -> Match | None:
        if self._endpoint is None or len(segments) < 3 or segments[0] != "api":
            return None
        return Match(self._endpoint, {"api_version": segments[1], "endpoint": "/".join(segments[2:])})


def is_data(blueprint: "Blueprint") -> bool:
    return hasattr(blueprint, "to_dict")


def _by_method(operations: Mapping[str, Operation], method: str) -> Operation | None:
    operation = operations.get(method)
    if operation is None and method == "HEAD":
        reading = operations.get("GET")
        return reading if reading is not None and reading.head else None
    return operation


def _fit(pattern: Sequence[str], segments: Sequence[str]) -> dict[str, str] | None:
    path: dict[str, str] = {}
    for expected, given in zip(pattern, segments, strict=True):
        if expected[:1] == "{":
            if not given:
                return None
            path[expected[1:-1]] = given
        elif expected != given:
            return None
    return path


def _leaves_room(operations: Mapping[str, Operation]) -> bool:
    return any(operation.open_to_blueprints for operation in operations.values())


def _not_allowed(method: str, fixed: Sequence[tuple[Mapping[str, Operation], Mapping[str, str]]]) -> MusterError:
    allowed = {method for operations, _ in fixed for method in operations}
    allowed |= {"HEAD" for operations, _ in fixed if _by_method(operations, "HEAD") is not None}
    return MusterError(
        ErrorCode.METHOD_NOT_ALLOWED,
        f"{method} is not possible here.",
        hint=f"Use {' or '.join(sorted(allowed))}.",
        extra={"allowed": sorted(allowed)},
    )


def reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
