"""Where the orchestrators are, which token to show, and how a worker behaves; from arguments, then the environment."""

import os
import re
import secrets
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from muster_worker.durations import Duration, parse_duration_ms
from muster_worker.needs import labels_from_text, resources_from_text

DEFAULT_URL: Final = "http://127.0.0.1:8080"
DEFAULT_SLOTS: Final = 10
DEFAULT_HEALTH_HOST: Final = "127.0.0.1"
DEFAULT_DRAIN_TIMEOUT: Final = "25s"
SLOTS_MAX: Final = 10_000
PRICE_MAX: Final = 1_000_000.0
"""EUR per second; more is a mistake."""
WORKER_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")

Environment = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How a worker runs.

    Attributes: `addresses` without trailing slash, tried in order; `drain_timeout_s` from SIGTERM to the end;
    `price_per_second` in EUR.
    """

    addresses: tuple[str, ...]
    token: str
    worker_id: str
    slots: int
    drain_timeout_s: float
    price_per_second: float = 0.0
    labels: Mapping[str, Any] = field(default_factory=dict[str, Any])
    resources: Mapping[str, Any] = field(default_factory=dict[str, Any])
    health: tuple[str, int] | None = None
    """Host and port of `GET /health`."""
    tls: ssl.SSLContext | None = None
    """With the worker's own certificate."""


def worker_settings(
    *,
    url: str | Sequence[str] | None = None,
    token: str | None = None,
    worker_id: str | None = None,
    slots: int | None = None,
    drain_timeout: Duration | None = None,
    price_per_second: float | None = None,
    labels: str | None = None,
    resources: str | None = None,
    health: str | int | None = None,
    env: Environment = os.environ,
) -> WorkerSettings:
    """Arguments win over MUSTER_URL and MUSTER_WORKER_TOKEN, _ID, _SLOTS, _PRICE_PER_SECOND and the like.

    Raises ValueError naming the setting and what it should be.
    """
    tls = _certificate(env)
    has_token = token or env.get("MUSTER_WORKER_TOKEN") or env.get("MUSTER_WORKER_TOKEN_FILE")
    return WorkerSettings(
        addresses=addresses(url, env),
        token=token_from(token, "MUSTER_WORKER_TOKEN", env) if tls is None or has_token else "",
        worker_id=_worker_id(worker_id or env.get("MUSTER_WORKER_ID") or default_worker_id()),
        slots=_slots(slots if slots is not None else env.get("MUSTER_WORKER_SLOTS", DEFAULT_SLOTS)),
        drain_timeout_s=parse_duration_ms(DEFAULT_DRAIN_TIMEOUT if drain_timeout is None else drain_timeout) / 1000,
        price_per_second=_price(
            price_per_second if price_per_second is not None else env.get("MUSTER_WORKER_PRICE_PER_SECOND") or 0
        ),
        labels=labels_from_text(labels if labels is not None else env.get("MUSTER_WORKER_LABELS", "")),
        resources=resources_from_text(resources if resources is not None else env.get("MUSTER_WORKER_RESOURCES", "")),
        tls=tls,
        health=_health(health if health is not None else env.get("MUSTER_WORKER_HEALTH") or None),
    )


def addresses(url: str | Sequence[str] | None, env: Environment = os.environ) -> tuple[str, ...]:
    """One or several orchestrators; MUSTER_URL separates them with commas."""
    given = url if url is not None else env.get("MUSTER_URL") or DEFAULT_URL
    parts = given.split(",") if isinstance(given, str) else given
    cleaned = tuple(part.strip().rstrip("/") for part in parts if part.strip())
    if not cleaned:
        raise ValueError(f"no orchestrator address; set MUSTER_URL, for example {DEFAULT_URL}")
    for address in cleaned:
        split = urlsplit(address)
        if split.scheme not in {"http", "https"} or not split.hostname:
            raise ValueError(f"{address!r} is not the address of an orchestrator; write it like {DEFAULT_URL}")
    return cleaned


def token_from(given: str | None, name: str, env: Environment = os.environ) -> str:
    """The argument, the variable `name`, or the content of the file that `<name>_FILE` names."""
    if given:
        return given
    if text := env.get(name):
        return text
    if path := env.get(f"{name}_FILE"):
        return _token_in_file(f"{name}_FILE", path)
    raise ValueError(f"no token; set {name}, or {name}_FILE to a file that holds it")


def default_worker_id() -> str:
    """Host, process and four random bytes: new at every start, so that two processes never share one."""
    host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:64] or "worker"
    return f"{host}-{os.getpid()}-{secrets.token_hex(4)}"


def _token_in_file(name: str, path: str) -> str:
    try:
        token = Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(f"{name} names {path!r}, which cannot be read: {error.strerror}") from error
    if not token:
        raise ValueError(f"{name} names {path!r}, which is empty")
    return token


def _worker_id(text: str) -> str:
    if WORKER_ID.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not a worker id; use 1 to 128 of letters, digits and . _ : -")
    return text


def _slots(given: Any) -> int:
    try:
        slots = int(given)
    except (TypeError, ValueError):
        slots = 0
    if not 1 <= slots <= SLOTS_MAX:
        raise ValueError(f"slots must be a whole number from 1 to {SLOTS_MAX}, not {given!r}")
    return slots


def _certificate(env: Environment) -> ssl.SSLContext | None:
    cert, key = env.get("MUSTER_WORKER_TLS_CERT"), env.get("MUSTER_WORKER_TLS_KEY")
    if not cert and not key:
        return None
    if not cert or not key:
        raise ValueError("MUSTER_WORKER_TLS_CERT and MUSTER_WORKER_TLS_KEY belong together; set both, or none")
    context = ssl.create_default_context()
    try:
        context.load_cert_chain(cert, key)
    except OSError as error:  # SSLError is one
        raise ValueError(
            f"MUSTER_WORKER_TLS_CERT={cert} and MUSTER_WORKER_TLS_KEY={key} cannot be used: {error}"
        ) from error
    return context


def _health(given: str | int | None) -> tuple[str, int] | None:
    if given is None:
        return None
    host, _, port = str(given).rpartition(":")
    if not port.isdecimal() or not int(port) < 65536 or (":" in host and not host.startswith("[")):
        raise ValueError(f"{given!r} is no port for a worker's health; write it like 8083 or 0.0.0.0:8083")
    return host.strip("[]") or DEFAULT_HEALTH_HOST, int(port)


def _price(given: Any) -> float:
    try:
        price = float(given)
    except (TypeError, ValueError):
        price = -1.0
    if not 0 <= price <= PRICE_MAX:
        raise ValueError(f"the price per second must be a number of EUR from 0 to {PRICE_MAX:g}, not {given!r}")
    return price
