"""Who is calling. Only SHA-256 digests of tokens are held; the raw ones are forgotten once read."""

import hashlib
import hmac
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from aiohttp import hdrs, web
from pydantic import SecretStr

from muster.api.nearby import why_far
from muster.api.operations import Auth
from muster.core.admission import QUOTA_KEYS, Quota, read_quota
from muster.core.ids import is_worker_id
from muster.errors import ErrorCode, MusterError
from muster.settings import PUBLIC_TOKENS, TOKEN_BYTES_MIN, Settings

CLIENT_HEADER: Final = "X-Client-Token"
WORKER_HEADER: Final = "X-Worker-Token"
APPROVAL_HEADER: Final = "X-Approval-Token"
DEFAULT_TENANT: Final = "default"
ANONYMOUS: Final = "anonymous"
"""The tenant of callers without a credential, where that is allowed."""
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_TENANT: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SECRET_KEYS: Final = ("token", "token_sha256")
_INDEX_BYTES: Final = 16
T = TypeVar("T")


class CredentialsError(ValueError):
    """Credentials that cannot be used. `problems` holds one sentence each and never a token."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class Client:
    """An entry of the clients file. Jobs belong to `tenant`, so a token may change and its jobs stay."""

    name: str
    tenant: str
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Further keys of the entry, as written."""
    is_operator: bool = False
    """Its entry says `operator = true`: it may do what concerns all tenants."""
    quota: Quota | None = None
    at_home: bool = False
    """Whether a client of the tenant has a quota: its jobs are all in one place then, to be counted exactly."""


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """What a worker token proves. `worker_id` is None for the global one, which says only: a worker."""

    worker_id: str | None


class Credentials:
    """All tokens that this server honours, by digest."""

    def __init__(
        self,
        *,
        clients: Mapping[bytes, Client] | None = None,
        workers: Mapping[bytes, str] | None = None,
        global_worker: bytes | None = None,
    ) -> None:
        self._clients = _indexed(clients or {})
        self._workers = _indexed(workers or {})
        self._global_worker = global_worker
        self._own_token = frozenset((workers or {}).values())

    @classmethod
    def load(cls, settings: Settings) -> "Credentials":
        """Credentials of the files and tokens that *settings* name.

        Raises:
            CredentialsError: a file cannot be read or an entry is wrong; names all of them.
        """
        return _Loader(production=settings.is_production).load(settings)

    def become(self, other: "Credentials") -> None:
        """Honour the tokens of *other*, and no others, from now on."""
        vars(self).update(vars(other))

    def client(self, token: bytes) -> Client | None:
        return _find(self._clients, digest_of(token))

    def worker(self, token: bytes) -> WorkerIdentity | None:
        digest = digest_of(token)
        worker_id = _find(self._workers, digest)
        if worker_id is not None:
            return WorkerIdentity(worker_id)
        if self._global_worker is not None and hmac.compare_digest(digest, self._global_worker):
            return WorkerIdentity(None)
        return None

    def has_own_token(self, worker_id: str) -> bool:
        return worker_id in self._own_token

    @property
    def client_count(self) -> int:
        return len(self._clients)


def digest_of(token: bytes) -> bytes:
    """A fast hash is right: tokens are random, not passwords."""
    return hashlib.sha256(token).digest()


def authenticate_client(
    request: web.Request, credentials: Credentials, api_key_header: str, *, key_in_url: bool = False
) -> Client:
    """The client whose token the request carries in any of the three ways, or where *key_in_url* as `?api_key=`.

    Raises:
        MusterError: UNAUTHENTICATED; INVALID_PARAMETER where one header came twice.
    """
    carried = list(_client_tokens(request, api_key_header))
    if key_in_url:
        carried += [_bytes(key) for key in request.query.getall("api_key", ())]
    if not carried:
        raise _unauthenticated(
            "A client token is missing.",
            f"Send it as {CLIENT_HEADER}, {api_key_header} or Authorization: Bearer.",
        )
    if any(not hmac.compare_digest(carried[0], other) for other in carried[1:]):
        raise _unauthenticated("The request carries different client tokens.", "Send one of them.")
    client = credentials.client(carried[0])
    if client is None:
        raise _unauthenticated("The client token is not valid.", "Ask whoever runs this server for one.")
    return client


def authenticate_caller(
    request: web.Request, credentials: Credentials, settings: Settings, auth: Auth, *, key_in_url: bool = False
) -> Client:
    """The client who calls an operation of *auth*. A wrong credential is never taken for none.

    Raises:
        MusterError: as `authenticate_client`; NO_CLIENT_CONFIGURED.
    """
    if credentials.client_count == 0 and auth is Auth.CLIENT_OR_BROKEN:
        raise MusterError(
            ErrorCode.NO_CLIENT_CONFIGURED,
            "This server has no API key configured.",
            hint="Whoever runs it must set DATAPIPELINES_API_KEY, MUSTER_CLIENT_TOKEN or MUSTER_CLIENTS_FILE.",
        )
    if not _carries_key(request, settings.api_key_header, key_in_url=key_in_url):
        is_open = auth is Auth.CLIENT_IF_ANY and credentials.client_count == 0 and not settings.is_production
        if is_open or (auth is Auth.MONITOR and not settings.monitor_needs_key):
            return _anonymous(request, settings.api_key_header)
    return authenticate_client(request, credentials, settings.api_key_header, key_in_url=key_in_url)


def authorize_operator(client: Client, settings: Settings) -> None:
    """Refuse a client that may not do what concerns all tenants. In development everybody may.

    Raises:
        MusterError: FORBIDDEN.
    """
    if settings.is_production and not client.is_operator:
        raise MusterError(
            ErrorCode.FORBIDDEN,
            f"Client {client.name!r} is no operator.",
            hint="Whoever runs this server may write `operator = true` into its entry of MUSTER_CLIENTS_FILE.",
        )


def _anonymous(request: web.Request, api_key_header: str) -> Client:
    """Only for who is on this machine: else any page that a developer opens could run commands here."""
    far = why_far(request)
    if far is None:
        return Client(ANONYMOUS, ANONYMOUS)
    raise _unauthenticated(
        f"Only programs and pages of this machine may call without a client token. {far}",
        f"Call http://localhost or http://127.0.0.1 from this machine, or send a token as {CLIENT_HEADER}, "
        f"{api_key_header} or Authorization: Bearer.",
    )


def _carries_key(request: web.Request, api_key_header: str, *, key_in_url: bool) -> bool:
    """A worker's token counts: it is a wrong credential here, and not none."""
    names = (CLIENT_HEADER, api_key_header, hdrs.AUTHORIZATION, WORKER_HEADER)
    in_header = any(name in request.headers for name in names)
    return in_header or (key_in_url and "api_key" in request.query)


def authenticate_worker(request: web.Request, credentials: Credentials) -> WorkerIdentity:
    """What the request's worker token proves, or the certificate that its connection was opened with.

    Raises:
        MusterError: UNAUTHENTICATED; FORBIDDEN where certificate and token are of two workers; INVALID_PARAMETER where
            the header came twice.
    """
    token = _only_value(request, WORKER_HEADER)
    certified = certified_worker(request.get_extra_info("peercert"))
    if token is None and certified is not None:
        return WorkerIdentity(certified)
    if token is None:
        raise _unauthenticated("A worker token is missing.", f"Send it as {WORKER_HEADER}.")
    identity = credentials.worker(_bytes(token))
    if identity is None:
        raise _unauthenticated("The worker token is not valid.", "A client token is not a worker token.")
    if certified is None:
        return identity
    if identity.worker_id is not None:
        authorize_worker(identity, credentials, certified)
    return WorkerIdentity(certified)


def certified_worker(certificate: Mapping[str, Any] | None) -> str | None:
    """The worker that a verified certificate, as `SSLSocket.getpeercert` tells it, stands for by its common name."""
    subject = (certificate or {}).get("subject", ())
    names = [value for part in subject for key, value in part if key == "commonName"]
    return names[0] if len(names) == 1 and is_worker_id(names[0]) else None


def authorize_worker(identity: WorkerIdentity, credentials: Credentials, worker_id: str) -> None:
    """Refuse an identity that may not act as *worker_id*.

    Raises:
        MusterError: FORBIDDEN.
    """
    if identity.worker_id is None:
        if not credentials.has_own_token(worker_id):
            return
        raise MusterError(
            ErrorCode.FORBIDDEN,
            f"Worker {worker_id!r} has a token of its own; the global one does not stand for it.",
            hint="Use the worker's own token.",
        )
    if identity.worker_id != worker_id:
        raise MusterError(
            ErrorCode.FORBIDDEN,
            f"This token belongs to another worker than {worker_id!r}.",
            hint="Use the token of the worker that is named in the request.",
        )


def _client_tokens(request: web.Request, api_key_header: str) -> Iterator[bytes]:
    for header in (CLIENT_HEADER, api_key_header):
        value = _only_value(request, header)
        if value is not None:
            yield _bytes(value)
    authorization = _only_value(request, hdrs.AUTHORIZATION)
    if authorization is not None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise _unauthenticated("Only Authorization: Bearer is understood.", "Send Bearer and the token.")
        yield _bytes(token.strip())


def _only_value(request: web.Request, header: str) -> str | None:
    """The header's value. Twice is refused: a proxy before us may have looked at the other one."""
    values: Sequence[str] = request.headers.getall(header, ())
    if len(values) > 1:
        raise MusterError(ErrorCode.INVALID_PARAMETER, f"{header} was sent {len(values)} times. Send it once.")
    return values[0] if values else None


def _bytes(text: str) -> bytes:
    """As it came over the wire: aiohttp decodes what is not UTF-8 to surrogates."""
    return text.encode("utf-8", "surrogateescape")


def _indexed(owners: Mapping[bytes, T]) -> dict[bytes, tuple[bytes, T]]:
    """By the digest's first bytes: the lookup need not be constant in time, the comparison after it is."""
    return {digest[:_INDEX_BYTES]: (digest, owner) for digest, owner in owners.items()}


def _find(index: Mapping[bytes, tuple[bytes, T]], digest: bytes) -> T | None:
    known, owner = index.get(digest[:_INDEX_BYTES], (b"", None))
    return owner if hmac.compare_digest(digest, known) else None


def _unauthenticated(detail: str, hint: str) -> MusterError:
    return MusterError(ErrorCode.UNAUTHENTICATED, detail, hint=hint)


class _Loader:
    """Collects every problem before it refuses."""

    def __init__(self, *, production: bool) -> None:
        self._production = production
        self._problems: list[str] = []
        self._owner_of: dict[bytes, str] = {}
        self._clients: dict[bytes, Client] = {}
        self._workers: dict[bytes, str] = {}

    def load(self, settings: Settings) -> Credentials:
        for name, entry in self._entries(settings.clients_file):
            self._add_client(name, entry)
        for name, entry in self._entries(settings.workers_file):
            self._add_worker(name, entry)
        default = Client(DEFAULT_TENANT, DEFAULT_TENANT)
        for digest in self._setting("MUSTER_CLIENT_TOKEN", settings.client_token):
            self._clients[digest] = default
        for variable, name, key in (
            ("DATAVIZHUB_API_KEY", "datavizhub", settings.datavizhub_key),
            ("DATAPIPELINES_API_KEY", "pipelines", settings.pipelines_key),
        ):
            for digest in self._setting(variable, key):
                self._clients[digest] = Client(name, name)
        shared = list(self._setting("MUSTER_GLOBAL_WORKER_TOKEN", settings.global_worker_token))
        if self._production and not self._clients and not self._problems:
            place = settings.clients_file or "MUSTER_CLIENTS_FILE"
            fix = "Add the lines that `muster token new --client NAME` prints."
            self._problems.append(f"{place} names no client, so nobody could post a job. {fix}")
        if self._problems:
            raise CredentialsError(self._problems)
        homes = {client.tenant for client in self._clients.values() if client.quota is not None}
        clients = {key: replace(one, at_home=one.tenant in homes) for key, one in self._clients.items()}
        return Credentials(clients=clients, workers=self._workers, global_worker=shared[0] if shared else None)

    def _entries(self, path: Path | None) -> Iterator[tuple[str, Mapping[str, Any]]]:
        if path is None:
            return
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            self._problems.append(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}.")
            return
        except tomllib.TOMLDecodeError as error:
            self._problems.append(f"{path} is not TOML: {error}.")
            return
        for name, entry in content.items():
            if isinstance(entry, dict):
                yield name, entry
            else:
                self._problems.append(f"{path}: {name!r} is not a table. Write [{name}] and a token below it.")

    def _add_client(self, name: str, entry: Mapping[str, Any]) -> None:
        tenant = entry.get("tenant", name)
        if not isinstance(tenant, str) or _TENANT.fullmatch(tenant) is None:
            self._problems.append(
                f"Client {name!r}: its tenant must be 1 to 64 characters of A-Z a-z 0-9 . _ - (the name, if not given)."
            )
            return
        if tenant == ANONYMOUS:
            self._problems.append(f"Client {name!r}: the tenant {ANONYMOUS!r} is for callers without a token.")
            return
        is_operator = entry.get("operator", False)
        if not isinstance(is_operator, bool):
            self._problems.append(f"Client {name!r}: operator must be true or false, not {is_operator!r}.")
            return
        extra = {
            key: value for key, value in entry.items() if key not in (*_SECRET_KEYS, *QUOTA_KEYS, "tenant", "operator")
        }
        try:
            quota = read_quota(name, entry)
        except ValueError as error:
            self._problems.append(f"Client {name!r}: {error}.")
            return
        for digest in self._digests(f"Client {name!r}", entry):
            self._clients[digest] = Client(name, tenant, extra, is_operator, quota)

    def _add_worker(self, name: str, entry: Mapping[str, Any]) -> None:
        if not is_worker_id(name):
            self._problems.append(f"Worker {name!r}: an id is 1 to 128 characters of A-Z a-z 0-9 . _ : -.")
            return
        for digest in self._digests(f"Worker {name!r}", entry):
            self._workers[digest] = name

    def _setting(self, name: str, secret: SecretStr | None) -> Iterator[bytes]:
        if secret is not None:
            yield from self._accept(name, digest_of(secret.get_secret_value().encode()))

    def _digests(self, owner: str, entry: Mapping[str, Any]) -> Iterator[bytes]:
        """Of `token` and `token_sha256`; each may be a list, so that a token can be changed without a gap."""
        tokens, hashes = (_texts(entry.get(key)) for key in _SECRET_KEYS)
        if tokens is None or hashes is None or not (tokens or hashes):
            hint = ' A name with a dot needs quotes: ["a.b"].' if _holds_tables(entry) else ""
            self._problems.append(f'{owner}: write token = "…" or token_sha256 = "…".{hint}')
            return
        for token in tokens:
            if self._production and (token in PUBLIC_TOKENS or len(token.encode()) < TOKEN_BYTES_MIN):
                self._problems.append(f"{owner}: its token is public or too short. `muster token new` makes one.")
            yield from self._accept(owner, digest_of(token.encode()))
        for text in hashes:
            if _SHA256.fullmatch(text.lower()) is None:
                self._problems.append(f"{owner}: token_sha256 must be 64 hexadecimal digits.")
            else:
                yield from self._accept(owner, bytes.fromhex(text))

    def _accept(self, owner: str, digest: bytes) -> Iterator[bytes]:
        other = self._owner_of.setdefault(digest, owner)
        if other != owner:
            self._problems.append(f"{owner} has the same token as {other}. Give each its own.")
        else:
            yield digest


def _texts(value: object) -> list[str] | None:
    """A text or a list of texts, none of them empty; None where it is neither."""
    if value is None:
        return []
    items: list[object] = value if isinstance(value, list) else [value]
    texts = [item for item in items if isinstance(item, str) and item]
    return texts if len(texts) == len(items) else None


def _holds_tables(entry: Mapping[str, Any]) -> bool:
    return any(isinstance(value, dict) for value in entry.values())
