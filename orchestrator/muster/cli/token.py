"""The commands `muster token …`."""

import hashlib
import re
import secrets
from typing import Annotated

from cyclopts import App, Parameter

from muster.cli.exits import CommandFailed, Exit
from muster.cli.output import Format, hint, print_json

app = App(name="token", help="Make tokens.", help_format="plaintext")


@app.command
def new(
    *,
    client: Annotated[str | None, Parameter(help="For a client of this name.")] = None,
    worker: Annotated[str | None, Parameter(help="For the worker of this id.")] = None,
    tenant: Annotated[str | None, Parameter(help="Who owns the client's jobs; the client's name by default.")] = None,
    operator: Annotated[
        bool, Parameter(negative="", help="The client may do what concerns all tenants, such as save blueprints.")
    ] = False,
    output: Format = "table",
) -> None:
    """Make a random token, shown this once, and the lines that let a server know it by its hash."""
    name = client or worker
    if name is None or (client and worker):
        raise CommandFailed(
            "say whom the token is for, a client or a worker", way_out="muster token new --client NAME", code=Exit.USAGE
        )
    for text in (name, tenant or name):
        if re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", text) is None:
            raise CommandFailed(f"{text!r} is not a name", way_out="1 to 64 of A-Z a-z 0-9 . _ : -", code=Exit.USAGE)
    token = secrets.token_urlsafe(32)
    digest = hashlib.sha256(token.encode()).hexdigest()
    lines = client_lines(name, tenant or name, digest) if client else worker_lines(name, digest)
    if client and operator:
        lines += "\noperator = true"
    if output == "json":
        print_json({"token": token, "token_sha256": digest, "toml": lines})
        return
    print(f"{token}\n\n{lines}")
    file = "MUSTER_CLIENTS_FILE" if client else "MUSTER_WORKERS_FILE"
    hint(f"Give the first line to {name}: it is not kept. Add the others to the file that {file} names.")


def client_lines(name: str, tenant: str, digest: str) -> str:
    return f'[{_key(name)}]\ntenant = "{tenant}"\ntoken_sha256 = "{digest}"'


def worker_lines(worker_id: str, digest: str) -> str:
    return f'[{_key(worker_id)}]\ntoken_sha256 = "{digest}"'


def _key(name: str) -> str:
    """*name* as a TOML key; one with a dot would be read as a table inside a table."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f'"{name}"'
