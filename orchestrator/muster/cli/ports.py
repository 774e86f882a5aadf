"""TCP ports: is one taken, and which is the next free one."""

import socket
from typing import Final

from muster.cli.exits import CommandFailed

TRIED_MAX: Final = 50


def is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as a server binds
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def first_free_port(host: str, wanted: int) -> int:
    """*wanted*, or the next one that nobody listens on; 0 finds any."""
    if wanted == 0:
        return any_free_port(host)
    for port in range(wanted, min(wanted + TRIED_MAX, 65536)):
        if is_free(host, port):
            return port
    raise CommandFailed(f"ports {wanted} to {wanted + TRIED_MAX - 1} are all taken", way_out="--port 0")


def any_free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
