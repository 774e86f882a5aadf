"""`python -m muster.cli.conformance`: a server exactly as a conformance suite expects it, until it is stopped.

All five API documents, two tenants, two blueprints, three connections, and a worker that runs commands for a price.

On stdout, once it is ready: the `export` lines of its address and tokens, and nothing else. Logs go to stderr.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Final

from muster.cli.app import explain
from muster.cli.devnote import new_token
from muster.cli.exits import CommandFailed, Exit
from muster.cli.ports import any_free_port, is_free
from muster.cli.stage import HOST, Stage, example, stage

DEFAULT_PORT: Final = "8080"
SLOTS: Final = "8"
PRICE_PER_SECOND: Final = "0.001"
"""EUR; what the command worker costs."""
RETENTION_S: Final = 30 * 86_400
"""The documents keep artifacts for 30 days."""


def main() -> None:
    """Run until SIGTERM or SIGINT; ends the process."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    try:
        _run(_port())
    except Exception as error:  # noqa: BLE001 -- the last resort of a program: everything becomes a message
        sys.exit(explain(error))


def _run(port: int) -> None:
    tokens = new_token("client"), new_token("client")
    with stage(port, log_to_files=False) as place:
        clients_file = _write_clients(place.folder, tokens)
        place.start_server(
            [example("conformance.py")],
            MUSTER_CLIENTS_FILE=str(clients_file),
            MUSTER_CONNECTIONS_FILE=str(example("conformance_connections.toml")),
            MUSTER_RETENTION_SECONDS=str(RETENTION_S),
        )
        place.start_worker(
            "command-worker", "--commands", MUSTER_WORKER_SLOTS=SLOTS, MUSTER_WORKER_PRICE_PER_SECOND=PRICE_PER_SECOND
        )
        asyncio.run(_wait_until_ready(place, tokens[0]))
        print(f"export MUSTER_URL={place.url}")
        print(f"export MUSTER_CLIENT_TOKEN={tokens[0]}")
        print(f"export MUSTER_CLIENT_TOKEN_2={tokens[1]}")
        print(f"export MUSTER_WORKER_TOKEN={place.worker_token}", flush=True)
        place.children.started[0].process.wait()
        place.fail_if_a_process_ended()


async def _wait_until_ready(place: Stage, token: str) -> None:
    from muster_worker.client import Client

    async with Client(place.url, token) as client:
        await place.wait_until_ready(client, workers=1)


def _write_clients(folder: Path, tokens: tuple[str, str]) -> Path:
    """Two clients of two tenants."""
    path = folder / "clients.toml"
    path.write_text("".join(f'[conformance-{n}]\ntoken = "{token}"\n' for n, token in enumerate(tokens, 1)))
    path.chmod(0o600)
    return path


def _port() -> int:
    text = os.environ.get("MUSTER_PORT") or DEFAULT_PORT
    if not text.isdecimal() or int(text) > 65535:
        raise CommandFailed(f"MUSTER_PORT={text} is not a port", way_out="MUSTER_PORT=8080", code=Exit.USAGE)
    port = int(text) or any_free_port(HOST)
    if not is_free(HOST, port):
        raise CommandFailed(f"port {port} is taken", way_out=f"MUSTER_PORT={port + 1} make conformance-server")
    return port


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """Leave the `with` blocks, which stop and delete everything; a second signal must not disturb that."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(Exit.DONE)


if __name__ == "__main__":
    main()
