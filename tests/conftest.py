"""Fixtures of every test: real servers, and deployments of the store on them."""

import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.deployment import Backend, Deployment
from tests.support.servers import Servers, servers_in

# Some images forbid it, and then each of the hundreds of processes that are started here compiles everything anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

MakeDeployment = Callable[..., Deployment]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    yield from servers_in(tmp_path_factory.mktemp("servers"))


@pytest.fixture
async def deploy(servers: Servers) -> AsyncIterator[MakeDeployment]:
    """`deploy("valkey", partitions=4)`; afterwards every key must be explained, and is deleted."""
    made: list[Deployment] = []

    def make(backend: Backend, *, partitions: int = 1) -> Deployment:
        made.append(Deployment(None if backend == "memory" else servers.get(backend), partitions))
        return made[-1]

    yield make
    for deployment in made:
        await deployment.close()


WHOLE_SYSTEMS = ("benchmarks", "chaos", "conformance", "docs", "e2e", "surface", "system")
"""Folders whose tests run whole systems of processes."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    from tests.support.spreading import GroupScheduling  # where xdist is there

    return GroupScheduling(config, log)


PROCESSES_AND_SOCKETS = {"api", "cli", "command", "embedded", "files", "worker"}
"""Folders whose tests run single processes, or speak through sockets. As those of whole systems they depend on when the
machine lets them run, and so have a second try; the run names those that needed it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent
    for item in items:
        folder = item.path.relative_to(tests).parts[0] if item.path.is_relative_to(tests) else ""
        if folder in WHOLE_SYSTEMS or folder in PROCESSES_AND_SOCKETS:
            item.add_marker(pytest.mark.flaky(reruns=1))
