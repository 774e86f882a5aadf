"""The composition root: the only place that builds and connects everything."""

import asyncio
import gc
import logging
import secrets
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from muster.api.app import create_app
from muster.api.auth import Credentials
from muster.api.credential_files import CredentialFiles
from muster.api.routes import OPERATIONS
from muster.blueprint.builtin import BUILTIN
from muster.blueprint.problems import BlueprintError
from muster.blueprint.registry import Registry
from muster.engine.connection_file import load_connections, with_planned
from muster.engine.engine import Engine
from muster.engine.limit_file import LimitFile, read_limits
from muster.engine.settings import EngineSettings, FileSettings
from muster.files.payloads import BlobPayloads
from muster.observe.logs import configure_logs
from muster.observe.metrics import Metrics
from muster.settings import Settings
from muster.store.redis import RedisStore
from muster.store.topology import inspect, locator
from muster.surfaces.table import envelopes_of, operations_of, prepare, sockets_of
from muster.tls import server_context
from muster.version import product_version

log = logging.getLogger("muster.main")

KEEP_ALIVE_S: Final = 75.0
SHUTDOWN_S: Final = 5.0
GARBAGE_LOOK_AFTER: Final = 20_000
"""New objects before cycles are looked for; Python's 700 are one large request."""
VERSION_FLOOR: Final = {"redis": (7, 0), "valkey": (8, 0)}


class StartRefused(Exception):
    """The server must not start like this; the text names the setting and the fix."""


async def serve(
    settings: Settings,
    *,
    ready: Callable[[str], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Bind and serve until *stop* is set or SIGTERM or SIGINT comes.

    Args:
        settings: complete; `redis_url` must be set.
        ready: called with the base URL once the port is bound.
        stop: ends the server when set.

    Raises:
        StartRefused: the store is not fit for the mode.
        SettingsRefused: a file that a surface or TLS needs cannot be used.
        StoreUnavailable: nobody answers at `redis_url`.
        BlueprintError: every problem of every blueprint.
        ConnectionsRefused: every problem of the file of connections.
        LimitsRefused: every problem of the file of limits.
        OSError: the port cannot be bound.
    """
    stop = stop or asyncio.Event()
    _stop_on_signals(stop)
    configure_logs(level=settings.log_level, log_format=settings.log_format)
    tls = server_context(settings)
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(running_engine(settings))
        credentials = Credentials.load(settings)
        app = create_app(
            engine,
            settings,
            credentials,
            operations=(*OPERATIONS, *operations_of(settings.mounted_surfaces)),
            envelopes=envelopes_of(settings.mounted_surfaces),
        )
        prepare(app, settings)
        url = await stack.enter_async_context(_listening(app, settings.host, settings.port, tls))
        sockets = sockets_of(settings.mounted_surfaces)
        if settings.stepflow_ws_port is not None and sockets:
            apart = create_app(engine, settings, credentials, operations=sockets)
            await stack.enter_async_context(
                _listening(apart, settings.stepflow_ws_host, settings.stepflow_ws_port, tls)
            )
        _spare_the_collector()
        stack.enter_context(_cancelled_at_exit(CredentialFiles(credentials, settings).watch()))
        if settings.reload:
            stack.enter_context(_cancelled_at_exit(_reload_on_change(engine, settings)))
        if ready is not None:
            ready(url)
        log.info("server_started", extra={"url": url, "blueprints": engine.blueprints.names()})
        await stop.wait()
        log.info("server_stopping")
        engine.drain()


def _spare_the_collector() -> None:
    """What start-up made stays, and what a request makes is mostly gone with it, by its count of references."""
    gc.freeze()
    gc.set_threshold(GARBAGE_LOOK_AFTER, 20, 20)


def run(settings: Settings) -> None:
    """`serve` on uvloop where there is one."""
    try:
        from muster.event_loop import SendfileLoop
    except ImportError:
        asyncio.run(serve(settings))
    else:
        with asyncio.Runner(loop_factory=SendfileLoop) as runner:
            runner.run(serve(settings))


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop.set)
        except (RuntimeError, ValueError, NotImplementedError):
            log.debug("signals_not_ours")  # not in the main thread: whoever is there stops us


@asynccontextmanager
async def running_engine(settings: Settings) -> AsyncIterator[Engine]:
    """Blueprints loaded, store connected and checked, loops running."""
    assert settings.redis_url is not None, "whoever calls decides where the store is"
    registry = Registry()
    for blueprint in BUILTIN:
        registry.add(blueprint)
    for place in settings.blueprints:
        registry.load(place)
    connections = with_planned(load_connections(settings.connections_file, registry), registry)
    if settings.limits_file is not None:
        read_limits(settings.limits_file)  # what is wrong with it is told before anything else is done
    replica = secrets.token_hex(6)
    wiring = _Wiring()
    store = RedisStore(
        settings.redis_url,
        namespace=settings.namespace,
        partitions=settings.partitions,
        replica=replica,
        on_message=wiring.on_message,
        on_reconnect=wiring.on_reconnect,
    )
    await store.open()
    try:
        check_store(await inspect(await locator(settings.redis_url)()), settings)
        secret = settings.secret.get_secret_value() if settings.secret else await store.secret(secrets.token_hex(32))
        metrics = Metrics(version=product_version())
        rules = replace(engine_settings(settings, replica), connections=connections)
        engine = Engine(store, registry, rules, metrics, secret)
        wiring.engine = engine
        store.keep_large_values(BlobPayloads(engine.files.blobs), settings.payload_inline_bytes)
        metrics.count_store_traffic(store.traffic)
        await engine.publish_blueprints()
        file = None if settings.limits_file is None else LimitFile(settings.limits_file, engine.limits)
        if file is not None:
            await file.apply()
        engine.start()
        try:
            async with AsyncExitStack() as stack:
                if file is not None:
                    stack.enter_context(_cancelled_at_exit(file.watch()))
                yield engine
        finally:
            await engine.stop()
    finally:
        await store.close()


class _Wiring:
    """The store speaks to an engine that is built after it."""

    engine: Engine | None = None

    def on_message(self, partition: int, text: str) -> None:
        if self.engine is not None:
            self.engine.on_message(partition, text)

    def on_reconnect(self) -> None:
        if self.engine is not None:
            self.engine.on_reconnect()


def base_url_of(settings: Settings) -> str:
    """Where this deployment is reached, as far as that is known without a request; empty where it is not."""
    if settings.public_url is not None or settings.is_production or not settings.port:
        return settings.public_url or ""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{'http' if settings.tls_cert is None else 'https'}://{host}:{settings.port}"


def engine_settings(settings: Settings, replica: str) -> EngineSettings:
    def ms(seconds: float) -> int:
        return int(seconds * 1000)

    return EngineSettings(
        replica=replica,
        partitions=settings.partitions,
        registration_ttl_ms=ms(settings.registration_ttl_seconds),
        heartbeat_ms=ms(settings.sdk_heartbeat_seconds),
        lease_ms=ms(settings.lease_seconds),
        delivery_lease_ms=ms(settings.delivery_lease_seconds),
        poll_ms=ms(settings.worker_poll_timeout_seconds),
        cancel_grace_ms=ms(settings.cancel_grace_seconds),
        task_retries=settings.job_max_retries,
        task_timeout_ms=ms(settings.task_timeout_seconds),
        retention_ms=ms(settings.retention_seconds),
        history=settings.history_enabled,
        approvals_need_token=settings.approval_token_required,
        webhooks_allow_private=settings.private_webhooks_allowed,
        public_url=base_url_of(settings),
        log_bytes_max=settings.log_max_bytes,
        files=FileSettings(
            folder=settings.files_folder,
            upload_bytes_max=settings.max_upload_bytes,
            artifact_bytes_max=settings.max_artifact_bytes,
            quota_bytes=settings.files_quota_bytes,
            bucket_url=settings.files_url,
            upload_folder=settings.own_folder(settings.upload_dir),
            artifact_folder=settings.own_folder(settings.artifact_dir),
            artifact_ttl_ms=None if settings.results_ttl_seconds is None else ms(settings.results_ttl_seconds),
            clean_every_ms=ms(settings.clean_interval_seconds),
            upload_ttl_ms=ms(settings.upload_ttl_seconds),
        ),
    )


def check_store(info: dict[str, str], settings: Settings) -> None:
    """Refuse a server that would lose jobs silently; in development only say so.

    Raises:
        StartRefused: in production, with every fault and its fix; in any mode for a version below the floor.
    """
    kind = "valkey" if "valkey_version" in info else "redis"
    version = info.get(f"{kind}_version", "0")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < VERSION_FLOOR[kind]:
        floor = ".".join(map(str, VERSION_FLOOR[kind]))
        raise StartRefused(f"MUSTER_REDIS_URL names a {kind} {version}; Muster needs {floor} or newer")
    faults = []
    policy = info.get("maxmemory-policy", "noeviction")
    if policy != "noeviction":
        faults.append(
            f"the server evicts keys (maxmemory-policy {policy}), so jobs would vanish: "
            "CONFIG SET maxmemory-policy noeviction"
        )
    if faults and settings.is_production:
        raise StartRefused("; ".join(faults))
    if info.get("aof_enabled") == "0":
        faults.append("appendonly is off: a crash of the server loses what came after its last snapshot")
    for fault in faults:
        log.warning("store_not_durable", extra={"fault": fault})


@asynccontextmanager
async def _listening(app: web.Application, host: str, port: int, tls: ssl.SSLContext | None) -> AsyncIterator[str]:
    runner = web.AppRunner(
        app,
        handler_cancellation=True,
        keepalive_timeout=KEEP_ALIVE_S,
        shutdown_timeout=SHUTDOWN_S,
        access_log=None,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=1024, ssl_context=tls)
        await site.start()
        bound = runner.addresses[0][1] if runner.addresses else port
        name = f"[{host}]" if ":" in host else host
        yield f"{'http' if tls is None else 'https'}://{name}:{bound}"
    finally:
        await runner.cleanup()


class _cancelled_at_exit:  # noqa: N801  reads as a phrase
    def __init__(self, coroutine: Any) -> None:
        self._task = asyncio.get_running_loop().create_task(coroutine)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._task.cancel()


async def _reload_on_change(engine: Engine, settings: Settings) -> None:
    """Load blueprints again when their files change. Jobs under way stay on the version they began with."""
    from watchfiles import PythonFilter, awatch

    paths = _watched(engine, settings)
    if not paths:
        return
    # Only source: the folder may also hold .muster, where the embedded engine writes all the time.
    async for _ in awatch(*paths, watch_filter=PythonFilter(extra_extensions=(".yaml", ".yml"))):
        for place in settings.blueprints:
            try:
                loaded = engine.blueprints.reload(place)
            except BlueprintError as error:
                log.error("blueprints_not_reloaded", extra={"problems": str(error)})  # noqa: TRY400  no traceback: the text is all
            else:
                log.info("blueprints_reloaded", extra={"names": [b.name for b in loaded]})
                await engine.publish_blueprints()


def _watched(engine: Engine, settings: Settings) -> set[Path]:
    places = {Path(place).resolve() for place in settings.blueprints if Path(place).exists()}
    return places | {Path(b.file).parent for b in engine.blueprints.all() if b not in BUILTIN}
