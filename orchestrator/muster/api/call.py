"""One request on its way to its handler: what the edge already knows about it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias, TypedDict, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel

from muster.api.auth import Client, Credentials, WorkerIdentity
from muster.api.openapi import Reference
from muster.api.operations import Operation, Router
from muster.api.ports import Engine
from muster.api.problems import problem_response
from muster.core.admission import Quota
from muster.errors import MusterError
from muster.observe.metrics import Metrics
from muster.settings import Settings

if TYPE_CHECKING:
    from muster.api.socket import WorkerSocket


class Admitted(TypedDict):
    quota: Quota | None
    at_home: bool


M = TypeVar("M", bound=BaseModel)
Envelope: TypeAlias = Callable[[MusterError, str], web.Response]
"""Makes the answer that tells an error on a path, in the shape that a surface documents."""


@dataclass(frozen=True, slots=True)
class Edge:
    """What every handler may use. One per application."""

    engine: Engine
    settings: Settings
    credentials: Credentials
    metrics: Metrics
    router: Router
    reference: Reference
    sockets: set["WorkerSocket"] = field(default_factory=set["WorkerSocket"])
    client_sockets: dict[web.WebSocketResponse, web.Request] = field(
        default_factory=dict[web.WebSocketResponse, web.Request]
    )
    background: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    """Closings under way: held so that they are not collected half done."""
    envelopes: Mapping[str, Envelope] = field(default_factory=dict[str, Envelope])
    """By the beginning of the path: who tells errors there. Elsewhere they are problem documents."""

    def error_answer(self, error: MusterError, path: str) -> web.Response:
        for prefix, envelope in self.envelopes.items():
            if path == prefix or path.startswith(prefix + "/"):
                return envelope(error, path)
        return problem_response(error, path)


EDGE: Final = web.AppKey("edge", Edge)


@dataclass(slots=True)
class Call:
    """A request, authenticated and checked as its operation asks."""

    request: web.Request
    edge: Edge
    operation: Operation
    path: Mapping[str, str]
    client: Client | None = None
    identity: WorkerIdentity | None = None
    payload: BaseModel | None = None

    @property
    def engine(self) -> Engine:
        return self.edge.engine

    @property
    def tenant(self) -> str:
        """The caller's tenant, on client routes."""
        assert self.client is not None, self.operation.path
        return self.client.tenant

    @property
    def admission(self) -> Admitted:
        """What the caller may submit: members of a `JobOrder`."""
        client = self.client
        assert client is not None, self.operation.path
        return {"quota": client.quota, "at_home": client.at_home}

    def body(self, model: type[M]) -> M:
        """The body, already checked by the operation's *model*."""
        assert isinstance(self.payload, model), self.operation.path
        return self.payload

    def query(self, name: str) -> str | None:
        """The query parameter *name*; the first where it came twice."""
        return self.request.query.get(name) if self.request.query_string else None


_JSON_HEADERS: Final = {"Content-Type": "application/json", "Cache-Control": "no-store"}
_BARE_HEADERS: Final = {"Content-Type": "application/json"}


def json_answer(value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """*value* for a client. Answers may hold approval tokens, so nobody on the way may keep them."""
    merged = _JSON_HEADERS if headers is None else {**_JSON_HEADERS, **headers}
    return web.Response(status=status, body=orjson.dumps(value, default=plain), headers=merged)


def worker_answer(value: object) -> web.Response:
    """*value* for a worker: the hot path, so no header that nobody reads."""
    return web.Response(body=orjson.dumps(value, default=plain), headers=_BARE_HEADERS)


def plain(value: object) -> object:
    """Other mappings than `dict`, which orjson does not know."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
