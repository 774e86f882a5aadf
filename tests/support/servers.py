"""Real servers for tests: one of each kind a session, started when first asked for."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import pytest
import redis
from muster.embedded import EmbeddedEngine, EngineNotStarted, find_binary

ServerKind = Literal["valkey", "redis"]
SERVER_KINDS: tuple[ServerKind, ...] = ("valkey", "redis")


def engine_of(kind: ServerKind, folder: Path, *, appendonly: bool = False) -> EmbeddedEngine:
    """An engine that is not started yet. The test is skipped where the machine has none; in CI that is an error."""
    try:
        return EmbeddedEngine(folder, binary=find_binary(kind), appendonly=appendonly)
    except EngineNotStarted as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))


class Server:
    """A running engine, with a plain client to look at what is really there."""

    def __init__(self, engine: EmbeddedEngine) -> None:
        self.engine = engine
        self.url = engine.start()
        self.client = redis.Redis(unix_socket_path=self.url.removeprefix("unix://"))

    def stop(self) -> None:
        self.client.close()
        self.engine.stop()


class Servers:
    def __init__(self, folder: Path, cleanup: ExitStack) -> None:
        self._folder = folder
        self._cleanup = cleanup
        self._running: dict[ServerKind, Server] = {}

    def get(self, kind: ServerKind) -> Server:
        if kind not in self._running:
            server = Server(engine_of(kind, self._folder / kind))
            self._cleanup.callback(server.stop)
            self._running[kind] = server
        return self._running[kind]


def servers_in(folder: Path) -> Iterator[Servers]:
    with ExitStack() as cleanup:
        yield Servers(folder, cleanup)
