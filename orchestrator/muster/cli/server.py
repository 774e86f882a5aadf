"""`muster server`: one orchestrator process."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from muster.cli.exits import CommandFailed, Exit
from muster.settings import Settings, load_settings, refusals


def server(
    *,
    host: Annotated[str | None, Parameter(help="Address to listen on.")] = None,
    port: Annotated[int | None, Parameter(help="TCP port to listen on.")] = None,
    redis_url: Annotated[str | None, Parameter(help="Address of Redis or Valkey.")] = None,
    blueprints: Annotated[str | None, Parameter(help="Files, folders or modules, separated by commas.")] = None,
    clients_file: Annotated[Path | None, Parameter(help="TOML file of clients.")] = None,
) -> None:
    """Run one orchestrator process until it is told to stop. All other settings: `muster config show`."""
    settings = load_settings(
        host=host, port=port, redis_url=redis_url, blueprints=blueprints, clients_file=clients_file
    )
    refuse_unsafe(settings)
    if settings.redis_url is None:
        raise CommandFailed(
            "MUSTER_REDIS_URL is not set, and `muster server` runs no engine of its own",
            way_out="muster dev, or export MUSTER_REDIS_URL=redis://127.0.0.1:6379/0",
            code=Exit.USAGE,
        )
    from muster.main import run

    run(settings)


def refuse_unsafe(settings: Settings) -> None:
    found = refusals(settings)
    if found:
        raise CommandFailed(
            "\n".join(["this server must not start:", *(f"  {refusal}" for refusal in found)]),
            way_out="muster config show",
            code=Exit.USAGE,
        )
