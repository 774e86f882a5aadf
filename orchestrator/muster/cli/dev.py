"""`muster dev`: engine, orchestrator and, if asked, a worker on this machine, with nothing to set up."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter
from pydantic import SecretStr
from rich.console import Console

from muster.cli.devnote import DevNote, new_token, read_note, write_note
from muster.cli.exits import CommandFailed, Exit
from muster.cli.ports import first_free_port
from muster.cli.processes import MUSTER, Children
from muster.cli.server import refuse_unsafe
from muster.embedded import EmbeddedEngine, describe_binary
from muster.settings import Settings, load_settings, shown
from muster.version import product_version

BLUEPRINT_FOLDER: Final = Path("blueprints")
WORKER_PATIENCE_S: Final = 2.0
"""The server has ended by then: what the worker still does is handed out again at the next start."""


@dataclass(frozen=True, slots=True)
class Store:
    """Where the state is: an address, and words about it for people."""

    url: str
    description: str


def dev(
    *,
    blueprints: Annotated[
        str | None,
        Parameter(help="Files, folders or modules, separated by commas; else the folder `blueprints`."),
    ] = None,
    worker: Annotated[str | None, Parameter(help="Also run this worker, for example `shop.worker`.")] = None,
    port: Annotated[int | None, Parameter(help="Port to listen on; the next free one if it is taken.")] = None,
    redis_url: Annotated[str | None, Parameter(help="Use this Redis or Valkey instead of one of our own.")] = None,
    fresh: Annotated[bool, Parameter(negative="", help="Forget all jobs of earlier runs first.")] = False,
) -> None:
    """Run everything on this machine. Blueprints are loaded again when they change. Ctrl-C stops it all."""
    wanted = load_settings(mode="development", port=port, redis_url=redis_url, blueprints=blueprints)
    refuse_unsafe(wanted)
    with ExitStack() as stack:
        store = stack.enter_context(_store(wanted, fresh=fresh))
        settings = _settings(wanted, store)
        note = DevNote(f"http://{_in_url(settings.host)}:{settings.port}", *_tokens_of(settings))
        write_note(settings.data_dir, note)
        children = stack.enter_context(Children(patience_s=WORKER_PATIENCE_S))
        announcement = _announcement(settings, store, wanted.port, worker)

        def ready(_: str) -> None:
            Console(highlight=False, markup=False).print(announcement, soft_wrap=True)
            if worker is not None:
                children.start("worker", [*MUSTER, "worker", "run", worker], _worker_variables(note))

        from muster.main import serve

        asyncio.run(serve(settings, ready=ready))


@contextmanager
def _store(settings: Settings, *, fresh: bool) -> Iterator[Store]:
    if settings.redis_url is not None:
        if fresh:
            raise CommandFailed(
                "--fresh erases the engine of `muster dev` only, never a Redis of yours",
                way_out="muster dev --fresh, without MUSTER_REDIS_URL and --redis-url",
                code=Exit.USAGE,
            )
        yield Store(settings.redis_url, shown(settings, "redis_url"))
        return
    folder = settings.data_dir / "state"
    engine = EmbeddedEngine(folder)
    if fresh:
        engine.erase()
    with engine:
        yield Store(engine.url, f"{describe_binary(engine.binary)} · {folder} · kept between runs")


def _settings(wanted: Settings, store: Store) -> Settings:
    """What was asked for, with everything a development server can find out by itself."""
    note = read_note(wanted.data_dir)
    client = wanted.client_token or SecretStr(note.client_token if note else new_token("client"))
    worker = wanted.global_worker_token or SecretStr(note.worker_token if note else new_token("worker"))
    folder = (str(BLUEPRINT_FOLDER),) if BLUEPRINT_FOLDER.is_dir() else ()
    return wanted.model_copy(
        update={
            "redis_url": store.url,
            "port": first_free_port(wanted.host, wanted.port),
            "blueprints": wanted.blueprints or folder,
            "client_token": client,
            "global_worker_token": worker,
            "reload": True,
        }
    )


def _tokens_of(settings: Settings) -> tuple[str, str]:
    assert settings.client_token is not None
    assert settings.global_worker_token is not None
    return settings.client_token.get_secret_value(), settings.global_worker_token.get_secret_value()


def _announcement(settings: Settings, store: Store, wanted_port: int, worker: str | None) -> str:
    base = f"http://{_in_url(settings.host)}:{settings.port}"
    client_token, worker_token = _tokens_of(settings)
    moved = "" if wanted_port in {0, settings.port} else f"     port {wanted_port} is taken"
    where = ", ".join(settings.blueprints) or f"none yet: make a folder {BLUEPRINT_FOLDER}/ or give --blueprints"
    return f"""\
muster {product_version()} · development server (this machine only)

  API          {base}/api/v1     docs  {base}/_public/docs{moved}
  State        {store.description}
  Blueprints   {where}
  Worker       {worker or "none: give --worker MODULE, or in another terminal: muster worker run MODULE"}

  Commands in this folder need no setup. Elsewhere:
    export MUSTER_URL={base}
    export MUSTER_CLIENT_TOKEN={client_token}
    export MUSTER_WORKER_TOKEN={worker_token}

  Try this in another terminal:
    muster blueprint ls
    muster job start NAME --input '{{}}' --watch
"""


def _worker_variables(note: DevNote) -> dict[str, str]:
    """Settings of the worker that people make are kept; address and token are ours."""
    own = {name: value for name, value in os.environ.items() if name.startswith("MUSTER_WORKER_")}
    return {**own, "MUSTER_URL": note.url, "MUSTER_WORKER_TOKEN": note.worker_token}


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
