"""Which surfaces there are. Each is a package here whose `routes.py` holds its rows of the table of operations.

How a surface is written:
* `routes.py`: `OPERATIONS: tuple[Operation, ...]`, as `muster.api.routes`. `auth` says who may call (see `Auth`);
  `unprocessable=True` where invalid bodies and parameters are 422. WebSockets: `client_socket.tell` or `converse`,
  with `auth=Auth.NONE` on the row (the socket itself refuses with 1008) and the guard `refuse_plain_requests`.
* `models.py`: bodies (pydantic) and answers; handlers in files named for what they answer, taking a `Call`.
* `words.py`, `output.py`, `command_job.py` here are shared. Nothing is kept in memory between requests.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from muster.api.call import Envelope
from muster.api.operations import Operation

OPERATIONS: Final[Mapping[str, tuple[Operation, ...]]] = {}
ENVELOPES: Final[Mapping[str, Mapping[str, Envelope]]] = {}
"""By surface: the paths below which errors have a shape of its own."""


def operations_of(surfaces: Sequence[str]) -> tuple[Operation, ...]:
    return tuple(row for name in surfaces for row in OPERATIONS.get(name, ()))


def envelopes_of(surfaces: Sequence[str]) -> dict[str, Envelope]:
    return {path: envelope for name in surfaces for path, envelope in ENVELOPES.get(name, {}).items()}
