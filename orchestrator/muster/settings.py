"""Every setting of the server: what it means, its unit, its default and why that default.

A setting comes from a flag, else from the environment (`MUSTER_` and its name), else from its default.
A secret may also come from a file: `MUSTER_SECRET_FILE=/run/secrets/muster`. A misspelt variable is an error.
"""

import difflib
import ipaddress
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, PrivateAttr, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from muster.core.ids import PARTITIONS_MAX
from muster.setting_reasons import kubernetes_hint, reason_of

REDIS_SCHEMES: Final = frozenset({"redis", "rediss", "valkey", "valkeys", "unix", "redis+sentinel", "valkey+sentinel"})
PREFIX: Final = "MUSTER_"
TOKEN_BYTES_MIN: Final = 16
"""A shorter token can be guessed; `muster token new` makes 32 bytes."""
PUBLIC_TOKENS: Final = frozenset(
    {"secure-orchestrator-token", "secure-worker-token", "dev-client-token", "dev-worker-token", "changeme"}
)
"""Tokens that stand in documents and examples: everybody knows them."""
FROM_A_FILE: Final = ("client_token", "global_worker_token", "secret", "redis_url", "datavizhub_key", "pipelines_key")
"""Settings that `MUSTER_<NAME>_FILE` may give, so that no secret need stand in an environment."""
_FILES: Final = ("clients_file", "workers_file", "limits_file")
OF_OTHERS: Final = frozenset(
    {
        "MUSTER_URL",
        "MUSTER_CLIENT_TOKEN_2",
        "MUSTER_WORKER_TOKEN",
        "MUSTER_WORKER_TOKEN_FILE",
        "MUSTER_CLIENT_TOKEN_FILE",
        "MUSTER_WORKER_ID",
        "MUSTER_WORKER_SLOTS",
        "MUSTER_WORKER_HEALTH",
        "MUSTER_WORKER_TLS_CERT",
        "MUSTER_WORKER_TLS_KEY",
        "MUSTER_WORKER_LABELS",
        "MUSTER_WORKER_PRICE_PER_SECOND",
        "MUSTER_WORKER_RESOURCES",
        "MUSTER_COMMANDS_FILE",
        "MUSTER_WORKER_TYPE",
    }
)
"""Variables of the worker SDK, the client and the conformance profile share the prefix and are no mistake."""
_OF_OTHERS_BEGIN: Final = ("MUSTER_TEST_", "MUSTER_BENCH_", "MUSTER_SERVICE_", "MUSTER_PORT_")
"""Tests and benchmarks; the last two are set by Kubernetes beside a Service that is called `muster`."""

SURFACES: Final = ("cli", "executions", "connections", "monitor")
"""The API documents that are served beside the core's, by the names of their packages in `muster.surfaces`."""
DOCUMENT_VARIABLES: Final[Mapping[str, str]] = {
    "DATAVIZHUB_API_KEY": "datavizhub_key",
    "DATAVIZHUB_API_KEY_HEADER": "api_key_header",
    "DATAVIZHUB_REQUIRE_KEY_FOR_EXAMPLES": "require_key_for_examples",
    "DATAVIZHUB_CORS_ALLOW_ALL": "cors_allow_all",
    "DATAVIZHUB_CORS_ORIGINS": "cors_origins",
    "DATAVIZHUB_UPLOAD_DIR": "upload_dir",
    "DATAVIZHUB_RESULTS_DIR": "artifact_dir",
    "DATAVIZHUB_RESULTS_TTL_SECONDS": "results_ttl_seconds",
    "DATAVIZHUB_RESULTS_CLEAN_INTERVAL_SECONDS": "clean_interval_seconds",
    "DATAVIZHUB_REDIS_URL": "redis_url",
    "DATAVIZHUB_QUEUE": "namespace",
    "DATAPIPELINES_API_KEY": "pipelines_key",
    "STEPFLOW_LOG_LEVEL": "log_level",
    "STEPFLOW_STORAGE_PATH": "data_dir",
    "STEPFLOW_WEBSOCKET_HOST": "stepflow_ws_host",
    "STEPFLOW_WEBSOCKET_PORT": "stepflow_ws_port",
    "STEPFLOW_AUTH_ENABLED": "stepflow_auth_enabled",
}
"""Variables that the documents name, and the settings they stand for. A setting's own variable wins."""
_CLIENT_KEYS: Final = {name: DOCUMENT_VARIABLES[name] for name in ("DATAVIZHUB_API_KEY", "DATAPIPELINES_API_KEY")}
"""The documents' keys of a client."""
USE_REDIS: Final = "DATAVIZHUB_USE_REDIS"
"""`0`: DATAVIZHUB_REDIS_URL is not looked at, so the embedded engine serves. Else the address alone decides."""

Origin: TypeAlias = Literal["flag", "environment", "file", "default"]
Words: TypeAlias = Annotated[tuple[str, ...], NoDecode]


class SettingsRefused(Exception):
    """Settings that cannot be used. `problems` holds one sentence each, all of them at once."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class Settings(BaseSettings):
    """All settings, validated and frozen. Use `load_settings`: its errors name what a person typed."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        validate_default=False,
    )
    _origins: dict[str, Origin] = PrivateAttr(default_factory=dict[str, Origin])

    mode: Literal["development", "production"] = "development"
    """`development`: convenient, this machine only. `production`: refuses to start unless it is safe."""
    host: str = "127.0.0.1"
    """Address to listen on. This machine only, so that nothing is open before somebody decides so."""
    port: int = Field(default=8080, ge=0, le=65535)
    """TCP port to listen on; 0 takes any free one."""
    redis_url: str | None = Field(default=None, repr=False)
    """Address of Redis (7.0 or newer) or Valkey (8 or newer): `redis://`, `rediss://` or `unix://`.
    Without it `muster dev` runs an engine of its own; production needs it."""
    namespace: str = Field(default="muster", pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    """Prefix of every key, so that several fleets, or anything else, can share one Redis."""
    partitions: int = Field(default=1, ge=1, le=PARTITIONS_MAX)
    """Into how many hash slots jobs are spread: 1 suits one Redis, 64 a cluster. Fixed once there are
    jobs."""
    data_dir: Path = Path(".muster")
    """Folder of the embedded engine's data and the development tokens: beside the project, kept
    between runs."""
    blueprints: Words = ()
    """Blueprints to serve: files, folders or importable modules, separated by commas."""
    clients_file: Path | None = None
    """TOML file of clients: a name, a tenant, the SHA-256 of a token. `muster token new` writes the lines. Read
    again when it changes."""
    limits_file: Path | None = None
    """TOML file of limits on how many tasks run and start, read again when it changes. An empty one takes
    away what it said before; without one nothing is changed."""
    workers_file: Path | None = None
    """TOML file of workers that have a token of their own, read again when it changes."""
    tls_cert: Path | None = None
    """PEM file of the server's certificate and those above it: with MUSTER_TLS_KEY the server speaks HTTPS itself."""
    tls_key: Path | None = None
    """PEM file of the certificate's key."""
    tls_worker_ca: Path | None = None
    """PEM file of the authority that signs workers' certificates. A worker that shows one is who its common name
    says, and needs no token."""
    tls_require_certificate: bool = False
    """Whether whoever connects must show such a certificate, clients and browsers too."""
    client_token: SecretStr | None = None
    """A single client's token, where a file of clients would be too much."""
    global_worker_token: SecretStr | None = None
    """A token that any worker may use."""
    secret: SecretStr | None = None
    """Key that signs approvals and webhooks. Without it one is made once and kept in Redis."""
    worker_poll_timeout_seconds: float = Field(default=30, gt=0, le=300)
    """Longest a worker's poll is held open, in seconds. Below the 60 s after which most proxies give up."""
    heartbeat_interval_seconds: float = Field(default=60, gt=0, le=3600)
    """How often a worker that knows only the documented routes is expected to be heard of, in seconds.
    It is forgotten after twice this time."""
    lease_seconds: float = Field(default=8, ge=1, le=3600)
    """A running task of an SDK worker that is not heard of for so many seconds goes to another worker.
    With the default a killed worker's task runs again within 10 s."""
    delivery_lease_seconds: float = Field(default=5, ge=1, le=3600)
    """A task that was sent to an SDK worker must show a first sign of life within so many seconds."""
    sdk_heartbeat_seconds: float = Field(default=2, gt=0, le=3600)
    """How often SDK workers report running tasks, in seconds: a quarter of the lease, so three may be
    lost."""
    job_max_retries: int = Field(default=3, ge=0, le=100)
    """How often a task that failed for a passing reason is tried again, where the task does not say."""
    task_timeout_seconds: float = Field(default=300, gt=0, le=31_536_000)
    """How long one attempt of a task may take, in seconds, where the task does not say."""
    retention_seconds: float = Field(default=604_800, ge=1, le=31_536_000)
    """How long an ended job can still be read, in seconds. A week: longer costs Redis memory."""
    history_enabled: bool = True
    """Whether each job's events are kept. Off saves about half of a job's memory."""
    max_body_bytes: int = Field(default=1_048_576, ge=1024, le=104_857_600)
    """Largest JSON body that is read, in bytes. Jobs are held in memory: send large things by reference."""
    files_dir: Path | None = None
    """Folder of uploads and artifacts. Replicas on several machines must share it. Unset: `files` below the data
    folder."""
    files_url: str | None = Field(default=None, pattern=r"^s3a?://[^\s/?#]+(/[^\s?#]*)?$")
    """Bucket of uploads and artifacts instead of a folder, for example `s3://bucket/path`; needs the extra `s3`.
    Credentials, region and endpoint come from the variables of every S3 client (`AWS_ACCESS_KEY_ID`, …)."""
    max_upload_bytes: int = Field(default=104_857_600, ge=1)
    """Largest file that a client may upload, in bytes."""
    max_artifact_bytes: int = Field(default=5_368_709_120, ge=1)
    """Largest file that a task may keep, in bytes."""
    files_quota_bytes: int = Field(default=53_687_091_200, ge=0)
    """How many bytes of files one tenant may keep; more is refused until some expire or are deleted."""
    upload_ttl_seconds: float = Field(default=86_400, ge=1, le=31_536_000)
    """How long a client's upload is kept, in seconds. Artifacts live as long as their job."""
    public_url: str | None = Field(default=None, pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$")
    """How clients reach this server, for signed URLs, for example `https://muster.example.org`. Unset: as the
    request named it."""
    payload_inline_bytes: int = Field(default=65_536, ge=1024, le=4_194_304)
    """Largest value of a job (input, result, what it carries) that is kept in Redis, in bytes. Larger ones are kept
    with the files, which all servers must share."""
    log_max_bytes: int = Field(default=67_108_864, ge=65_536, le=1_073_741_824)
    """Most that is kept of one job's log, in bytes of Redis memory. Beyond it the oldest lines go, and readers are
    told how many."""
    approval_tokens: Literal["optional", "required"] | None = None
    """Whether an approval needs its one-time token. Unset: `required` in production, else `optional`."""
    webhook_allow_private: bool | None = None
    """Whether job webhooks may go to private addresses, which reach your network. Unset: in
    development only."""
    cors_allow_all: bool | None = None
    """Whether pages of every origin may call the API. Unset: yes in development only."""
    cors_origins: Words = ()
    """Origins whose pages may call the API, separated by commas, for example `https://ops.example.org`."""
    api_key_header: str = Field(default="X-API-Key", pattern=r"^[A-Za-z0-9-]{1,64}$")
    """Name of the header that also carries a client token."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe log line that is written."""
    log_format: Literal["auto", "json", "console"] = "auto"
    """`json`: an object per line; `console`: for reading. `auto` takes `console` at a terminal, else
    `json`."""
    cancel_grace_seconds: float = Field(default=30, gt=0, le=3600)
    """How long a worker may take to stop a cancelled task, in seconds; then the job is cancelled
    without it."""
    surfaces: Words | None = None
    """Which API documents are served beside the core's: any of `cli`, `executions`, `connections`, `monitor`.
    Unset: all in development, none in production, as they let clients name the programs that workers run."""
    cli_file: Path | None = None
    """TOML file of the stages and commands of the `cli` surface."""
    connections_file: Path | None = None
    """TOML file of connections: saved, named jobs that may have a schedule."""
    require_key_for_examples: bool = False
    """Whether the page `/examples` needs a client token, where any is configured."""
    datavizhub_key: SecretStr | None = None
    """Token of a client `datavizhub`. Usually given as DATAVIZHUB_API_KEY."""
    pipelines_key: SecretStr | None = None
    """Token of a client `pipelines`. Usually given as DATAPIPELINES_API_KEY."""
    stepflow_auth_enabled: bool | None = None
    """Whether the `monitor` surface needs a client token. Unset: in production only. Without one, callers share the
    tenant `anonymous`."""
    stepflow_ws_host: str = "127.0.0.1"
    """Address of the separate listener for the `monitor` surface's WebSocket."""
    stepflow_ws_port: int | None = Field(default=None, ge=0, le=65535)
    """Port of that listener. Unset: none; the socket is at `/ws` in any case."""
    sync_wait_seconds: float = Field(default=300, gt=0, le=86_400)
    """How long a request that runs a job and waits for it is held, in seconds; the job goes on."""
    runtimes: Words = ("python:3.11",)
    """Runtimes that the `executions` surface accepts, the first being its default, separated by commas. A worker that
    offers one must be there for its executions to run."""
    price_per_second: float = Field(default=0, ge=0, le=1_000_000)
    """Price in EUR that estimates assume where no worker that is there declares one."""
    upload_dir: Path | None = None
    """Folder of uploads alone. Unset: with all files, see MUSTER_FILES_DIR."""
    artifact_dir: Path | None = None
    """Folder of artifacts alone. Unset: with all files, see MUSTER_FILES_DIR."""
    results_ttl_seconds: float | None = Field(default=None, ge=1, le=31_536_000)
    """How long artifacts are kept after they were made, in seconds. Unset: as long as their job."""
    clean_interval_seconds: float = Field(default=300, ge=1, le=86_400)
    """How often files that nobody can read any more are removed, in seconds."""
    reload: bool = False
    """Whether blueprints are loaded again when their files change. `muster dev` turns it on."""

    @property
    def is_production(self) -> bool:
        return self.mode == "production"

    @property
    def files_folder(self) -> Path:
        """One for each namespace: fleets that share a folder must not prune each other's files."""
        return (self.files_dir or self.data_dir / "files") / f"{self.namespace}-files"

    def own_folder(self, chosen: Path | None) -> Path | None:
        """For one kind of files: below *chosen*, apart from those of other fleets."""
        return None if chosen is None else chosen / f"{self.namespace}-files"

    @property
    def registration_ttl_seconds(self) -> float:
        """After this silence a worker that knows only the documented routes is forgotten."""
        return 2 * self.heartbeat_interval_seconds

    @property
    def approval_token_required(self) -> bool:
        return (self.approval_tokens or ("required" if self.is_production else "optional")) == "required"

    @property
    def private_webhooks_allowed(self) -> bool:
        return not self.is_production if self.webhook_allow_private is None else self.webhook_allow_private

    @property
    def any_origin_allowed(self) -> bool:
        return not self.is_production if self.cors_allow_all is None else self.cors_allow_all

    @property
    def monitor_needs_key(self) -> bool:
        return self.is_production if self.stepflow_auth_enabled is None else self.stepflow_auth_enabled

    @property
    def mounted_surfaces(self) -> tuple[str, ...]:
        if self.surfaces is None:
            return () if self.is_production else SURFACES
        return self.surfaces

    def origin(self, name: str) -> Origin:
        """Where the value of setting *name* came from."""
        return self._origins.get(name, "default")

    def remember_origins(self, origins: Mapping[str, Origin]) -> None:
        self._origins.update(origins)

    @field_validator("surfaces")
    @classmethod
    def _known_surfaces(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        unknown = [name for name in value or () if name not in SURFACES]
        if unknown:
            raise ValueError(f"knows no surface {unknown[0]!r}; there are {', '.join(SURFACES)}")
        return value

    @field_validator("runtimes")
    @classmethod
    def _any_runtime(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("must name at least one runtime, for example python:3.11")
        return value

    @field_validator("blueprints", "cors_origins", "surfaces", "runtimes", mode="before")
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part.strip() for part in value.split(",") if part.strip())

    @field_validator("log_level", "log_format", "mode", "approval_tokens", mode="before")
    @classmethod
    def _any_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("redis_url")
    @classmethod
    def _known_scheme(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).scheme not in REDIS_SCHEMES:
            raise ValueError("must start with redis://, rediss://, valkey://, valkeys://, unix:// or redis+sentinel://")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- no .env: it would be a second environment
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- replaced by _FILE variables
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _SecretFiles(settings_cls), _DocumentVariables(settings_cls)


class _SecretFiles(PydanticBaseSettingsSource):
    """`MUSTER_X_FILE`: the value of X is the file's content without surrounding blank space."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        return {name: Path(file).read_text().strip() for name, file in _secret_files()}


class _DocumentVariables(PydanticBaseSettingsSource):
    """The variables of the API documents."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        return {name: os.environ[document] for name, document in _document_variables().items()}


def load_settings(**flags: object) -> Settings:
    """The settings of this process. A flag that is None was not given.

    Raises:
        SettingsRefused: a variable is misspelt or a value is not valid; names all of them.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    problems = [*_misspelt(os.environ), *_secret_file_problems()]
    if problems:
        raise SettingsRefused(problems)
    try:
        settings = Settings(**given)  # type: ignore[arg-type]  # flags are validated like any other value
    except ValidationError as invalid:
        errors = invalid.errors(include_url=False, include_context=True)
        raise SettingsRefused(_explain(error, given) for error in errors) from None
    except SettingsError as invalid:
        raise SettingsRefused([str(invalid)]) from None
    settings.remember_origins({name: _origin(name, given) for name in Settings.model_fields})
    return settings


def variable(name: str) -> str:
    """The environment variable of setting *name*."""
    return PREFIX + name.upper()


def shown(settings: Settings, name: str) -> str:
    """The value of setting *name* as text that may be printed: secrets and passwords are hidden."""
    value = getattr(settings, name)
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return "(set, hidden)"
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    return _without_password(value) if name == "redis_url" else str(value)


def refusals(settings: Settings) -> list[str]:
    """Why a server must not start with these settings; each names the setting and the fix. Empty: it may."""
    return production_refusals(settings) if settings.is_production else _development_refusals(settings)


def production_refusals(settings: Settings) -> list[str]:
    """Why these settings are not safe for production."""
    found = [_redis_refusal(settings), _clients_refusal(settings), _workers_refusal(settings)]
    found += [_token_refusal(settings, name) for name in ("client_token", "global_worker_token", "secret")]
    found += [_token_refusal(settings, name, document) for document, name in _CLIENT_KEYS.items()]
    found += [_file_refusal(settings, name) for name in _FILES]
    found += [_shared_token_refusal(settings)]
    return [refusal for refusal in found if refusal is not None]


def _development_refusals(settings: Settings) -> list[str]:
    listeners = [("host", settings.host)]
    if settings.stepflow_ws_port is not None:
        listeners.append(("stepflow_ws_host", settings.stepflow_ws_host))
    return [
        f"{variable(name)}={host} would open the development mode to the network. "
        f"Use {variable(name)}=127.0.0.1, or MUSTER_MODE=production with tokens."
        for name, host in listeners
        if not is_loopback(host)
    ]


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _redis_refusal(settings: Settings) -> str | None:
    if settings.redis_url is not None:
        return None
    return (
        "MUSTER_REDIS_URL is not set, and the embedded engine is for development. "
        "Set it to a Redis 7.0 or Valkey 8 that keeps its data, for example redis://10.0.0.5:6379/0."
    )


def _clients_refusal(settings: Settings) -> str | None:
    tokens = (settings.client_token, *(getattr(settings, name) for name in _CLIENT_KEYS.values()))
    if settings.clients_file is not None or any(token is not None for token in tokens):
        return None
    return (
        "MUSTER_CLIENTS_FILE is not set, so no client could post a job. "
        "Run `muster token new --client NAME`, put its lines into a file, and name that file."
    )


def _workers_refusal(settings: Settings) -> str | None:
    if (settings.global_worker_token or settings.workers_file or settings.tls_worker_ca) is not None:
        return None
    return (
        "MUSTER_GLOBAL_WORKER_TOKEN is not set, and neither is MUSTER_WORKERS_FILE, so no worker could join. "
        "Set one of them; `muster token new` makes a token."
    )


def _token_refusal(settings: Settings, name: str, document: str | None = None) -> str | None:
    shown_as = document or variable(name)
    secret: SecretStr | None = getattr(settings, name)
    if secret is None:
        return None
    value = secret.get_secret_value()
    fix = "Make one with `muster token new`."
    if value in PUBLIC_TOKENS:
        return f"{shown_as} is a token that stands in public documents. {fix}"
    if len(value.encode()) < TOKEN_BYTES_MIN:
        return f"{shown_as} is shorter than {TOKEN_BYTES_MIN} bytes and could be guessed. {fix}"
    return None


def _file_refusal(settings: Settings, name: str) -> str | None:
    path: Path | None = getattr(settings, name)
    if path is None or path.is_file():
        return None
    return f"{variable(name)}={path} is not a file. Create it, or unset the variable."


def _shared_token_refusal(settings: Settings) -> str | None:
    client, worker = settings.client_token, settings.global_worker_token
    if client is None or worker is None or client.get_secret_value() != worker.get_secret_value():
        return None
    return (
        "MUSTER_CLIENT_TOKEN and MUSTER_GLOBAL_WORKER_TOKEN are the same, so every worker could post jobs. "
        "Give each its own; `muster token new` makes one."
    )


def _known_variables() -> frozenset[str]:
    fields = {variable(name) for name in Settings.model_fields}
    return frozenset(fields | {variable(name) + "_FILE" for name in FROM_A_FILE} | OF_OTHERS)


def _misspelt(environ: Mapping[str, str]) -> list[str]:
    known = _known_variables()
    names = [name for name in sorted(environ) if name.startswith(PREFIX) and name not in known]
    return [_not_a_setting(name, known) for name in names if not name.startswith(_OF_OTHERS_BEGIN)]


def _not_a_setting(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.7)
    way_out = f"Did you mean {close[0]}?" if close else "`muster config show` lists all settings."
    return f"{name} is not a setting. {way_out}"


def _secret_files() -> list[tuple[str, str]]:
    """(setting, file) of every `_FILE` variable that is set."""
    named = [(name, os.environ.get(variable(name) + "_FILE", "")) for name in FROM_A_FILE]
    return [(name, file) for name, file in named if file]


def _secret_file_problems() -> list[str]:
    problems: list[str] = []
    for name, file in _secret_files():
        both = os.environ.get(variable(name))
        if both:
            problems.append(f"{variable(name)} and {variable(name)}_FILE are both set. Keep one of them.")
        elif not os.access(file, os.R_OK) or not Path(file).is_file():
            problems.append(f"{variable(name)}_FILE={file} cannot be read. Name a readable file.")
    return problems


def _document_variables() -> dict[str, str]:
    """Setting to the document's variable that gives it. No address where Redis is not to be used."""
    given = {name: document for document, name in DOCUMENT_VARIABLES.items() if os.environ.get(document)}
    if os.environ.get(USE_REDIS) in {"0", "false", "no"}:
        given.pop("redis_url", None)
    return given


def _origin(name: str, flags: Mapping[str, object]) -> Origin:
    if name in flags:
        return "flag"
    if os.environ.get(variable(name)):
        return "environment"
    if name in dict(_secret_files()):
        return "file"
    return "environment" if name in _document_variables() else "default"


_SOURCE: Final[Mapping[Origin, str]] = {
    "flag": "from the command line",
    "environment": "from the environment",
    "file": "from a file",
    "default": "the default",
}


def _explain(error: ErrorDetails, flags: Mapping[str, object]) -> str:
    name = str(error["loc"][0])
    if error["type"] == "extra_forbidden":
        return f"{name} is not a setting."
    origin = _origin(name, flags)
    hidden = name in FROM_A_FILE
    source = variable(name) if os.environ.get(variable(name)) else _document_variables().get(name, variable(name))
    value = "…" if hidden else flags.get(name, os.environ.get(source, ""))
    typed = f"--{name.replace('_', '-')} {value}" if origin == "flag" else f"{source}={value}"
    return f"{typed} is not valid: {reason_of(error)}{kubernetes_hint(name, str(value))}   {_SOURCE[origin]}"


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user, _, place = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:(hidden)@{place}"))
