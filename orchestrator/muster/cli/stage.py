"""A whole Muster for a while: engine, orchestrator and workers as processes of their own, gone afterwards.

The demo and the conformance server run on it.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from muster.cli.devnote import new_token
from muster.cli.exits import CommandFailed
from muster.cli.processes import MUSTER, Children
from muster.embedded import EmbeddedEngine

if TYPE_CHECKING:
    from muster_worker.client import Client

HOST: Final = "127.0.0.1"
READY_SECONDS_MAX: Final = 20.0
WORKER_SLOTS: Final = 2
"""Few, so that one worker does not take everything before the others have asked."""
POLL_SECONDS: Final = 0.05


@dataclass(slots=True)
class Stage:
    """Its folder is deleted with it. `children` holds the processes beside the engine."""

    folder: Path
    store_url: str
    port: int
    children: Children
    client_token: str = field(default_factory=lambda: new_token("client"))
    worker_token: str = field(default_factory=lambda: new_token("worker"))

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def start_server(self, blueprints: Sequence[Path], **variables: str) -> None:
        """An orchestrator in development mode with these blueprints and settings."""
        self.children.start(
            f"orchestrator-{len(self.children.started) + 1}",
            [*MUSTER, "server"],
            {
                "MUSTER_MODE": "development",
                "MUSTER_HOST": HOST,
                "MUSTER_PORT": str(self.port),
                "MUSTER_REDIS_URL": self.store_url,
                "MUSTER_DATA_DIR": str(self.folder),
                "MUSTER_BLUEPRINTS": ",".join(map(str, blueprints)),
                "MUSTER_GLOBAL_WORKER_TOKEN": self.worker_token,
                **variables,
            },
            serves=True,  # a worker that ends hands in what it has done
        )

    def start_worker(self, name: str, *what: str, **variables: str) -> None:
        """`muster worker run` of *what*: a module's path, or `--commands`."""
        self.children.start(
            name,
            [*MUSTER, "worker", "run", *what],
            {
                "MUSTER_URL": self.url,
                "MUSTER_WORKER_TOKEN": self.worker_token,
                "MUSTER_WORKER_ID": name,
                "MUSTER_WORKER_SLOTS": str(WORKER_SLOTS),
                **variables,
            },
        )

    async def wait_until(self, what: str, holds: Callable[[], Awaitable[bool]]) -> None:
        """Ask until *holds*; Unreachable counts as not yet.

        Raises:
            CommandFailed: a process ended by itself, or it took too long; with the ends of the logs.
        """
        from muster_worker.errors import Unreachable

        deadline = time.monotonic() + READY_SECONDS_MAX
        while True:
            self.fail_if_a_process_ended()
            try:
                if await holds():
                    return
            except Unreachable:
                pass  # not listening yet
            if time.monotonic() > deadline:
                raise CommandFailed(
                    f"{what} did not come up within {READY_SECONDS_MAX:g} s\n{self.children.log_tails()}",
                    way_out="read the lines above",
                )
            await asyncio.sleep(POLL_SECONDS)

    def fail_if_a_process_ended(self) -> None:
        for child in self.children.ended():
            raise CommandFailed(
                f"{child.name} ended with exit code {child.process.returncode}\n{child.log_tail()}",
                way_out="read the lines above",
            )

    async def wait_until_ready(self, client: "Client", *, workers: int) -> None:
        """The server answers from its store, and so many workers have come."""

        async def there() -> bool:
            found: int = (await client.dashboard())["workers"]["total"]
            return found >= workers

        await self.wait_until("the server" if not workers else f"the server with {workers} workers", there)


@contextmanager
def stage(port: int, *, log_to_files: bool) -> Iterator[Stage]:
    """An empty engine in a temporary folder; everything started on it is stopped and deleted in the end."""
    folder = Path(tempfile.mkdtemp(prefix="muster-"))
    try:
        with EmbeddedEngine(folder / "state") as engine, Children(folder if log_to_files else None) as children:
            yield Stage(folder, engine.url, port, children)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def example(name: str) -> Path:
    """A file of the `blueprints` folder: in the repository, or as installed."""
    import muster

    package = Path(muster.__file__).parent
    for folder in (package.parent.parent / "blueprints", package / "examples"):
        if (folder / name).is_file():
            return folder / name
    raise CommandFailed(f"the example {name} is not installed", way_out="run this in a clone of the repository")
