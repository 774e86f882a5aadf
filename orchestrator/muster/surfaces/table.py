"""Which surfaces there are. Each is a package here whose `routes.py` holds its rows of the table of operations.

How a surface is written:
* `routes.py`: `OPERATIONS: tuple[Operation, ...]`, as `muster.api.routes`. `auth` says who may call (see `Auth`);
  `unprocessable=True` where invalid bodies and parameters are 422. WebSockets: `client_socket.tell` or `converse`,
  with `auth=Auth.NONE` on the row (the socket itself refuses with 1008) and the guard `refuse_plain_requests`.
* `models.py`: bodies (pydantic) and answers; handlers in files named for what they answer, taking a `Call`.
* `words.py`, `output.py`, `command_job.py` here are shared. Nothing is kept in memory between requests.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from aiohttp import web

from muster.api.call import Envelope
from muster.api.operations import Operation
from muster.settings import Settings, SettingsRefused
from muster.surfaces.cli import catalog as cli_catalog
from muster.surfaces.cli import routes as cli
from muster.surfaces.connections import routes as connections
from muster.surfaces.executions import routes as executions
from muster.surfaces.monitor import routes as monitor

OPERATIONS: Final[Mapping[str, tuple[Operation, ...]]] = {
    "cli": cli.OPERATIONS,
    "executions": executions.OPERATIONS,
    "connections": connections.OPERATIONS,
    "monitor": monitor.OPERATIONS,
}
PREPARE: Final[Mapping[str, Callable[[web.Application, Settings], None]]] = {
    "cli": cli_catalog.prepare,
}
"""By surface: what it reads before the server answers, kept under an `AppKey` of its own. Raises SettingsRefused."""
ENVELOPES: Final[Mapping[str, Mapping[str, Envelope]]] = {
    "monitor": monitor.ENVELOPES,
}
"""By surface: the paths below which errors have a shape of its own."""


def prepare(app: web.Application, settings: Settings) -> None:
    """Let every mounted surface read what it needs.

    Raises:
        SettingsRefused: with every problem of every surface.
    """
    problems: list[str] = []
    for name in settings.mounted_surfaces:
        try:
            PREPARE.get(name, _nothing)(app, settings)
        except SettingsRefused as refused:
            problems += refused.problems
    if problems:
        raise SettingsRefused(problems)


def _nothing(app: web.Application, settings: Settings) -> None:
    pass


def operations_of(surfaces: Sequence[str]) -> tuple[Operation, ...]:
    return tuple(row for name in surfaces for row in OPERATIONS[name])


def sockets_of(surfaces: Sequence[str]) -> tuple[Operation, ...]:
    """What a separate listener for WebSockets serves."""
    return monitor.SOCKETS if "monitor" in surfaces else ()


def envelopes_of(surfaces: Sequence[str]) -> dict[str, Envelope]:
    return {path: envelope for name in surfaces for path, envelope in ENVELOPES.get(name, {}).items()}
