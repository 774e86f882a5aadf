"""Which server a command talks to: flags, else the environment, else this folder's development server."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from muster.cli.devnote import data_dir, read_note
from muster.cli.exits import CommandFailed, Exit

if TYPE_CHECKING:
    from muster_worker.client import Client


@Parameter(name="*", group="Server")
@dataclass(frozen=True, slots=True)
class Server:
    """The server to talk to."""

    url: Annotated[str | None, Parameter(help="Its address, else MUSTER_URL, else `muster dev` of this folder.")] = None
    token: Annotated[str | None, Parameter(help="A client's token, else MUSTER_CLIENT_TOKEN.")] = None


HERE = Server()


@asynccontextmanager
async def connect(server: Server) -> AsyncIterator["Client"]:
    """A client of that server."""
    from muster_worker.client import Client

    url, token = address_of(server)
    async with Client(url, token) as client:
        yield client


def address_of(server: Server) -> tuple[str | None, str | None]:
    """Address and token to use; None leaves the choice to the client, which reads the environment."""
    note = read_note(data_dir())
    url = server.url or os.environ.get("MUSTER_URL") or (note.url if note else None)
    token = server.token or (None if _token_in_environment() or note is None else note.client_token)
    if token is None and not _token_in_environment():
        raise CommandFailed(
            "no client token: neither --token nor MUSTER_CLIENT_TOKEN is given, and no `muster dev` ran here",
            way_out="muster dev, or export MUSTER_CLIENT_TOKEN=…",
            code=Exit.NOT_ALLOWED,
        )
    return url, token


def _token_in_environment() -> bool:
    return bool(os.environ.get("MUSTER_CLIENT_TOKEN") or os.environ.get("MUSTER_CLIENT_TOKEN_FILE"))
