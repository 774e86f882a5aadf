"""What a deployment decides about the engine."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from muster.core.connection import Connection
from muster.core.ids import UnixMs
from muster.engine.clock import unix_ms


@dataclass(frozen=True, slots=True)
class FileSettings:
    """Where files lie and how many bytes may be kept. See muster.settings for the reasons."""

    folder: Path = Path(".muster/files")
    upload_bytes_max: int = 104_857_600
    artifact_bytes_max: int = 5_368_709_120
    quota_bytes: int = 53_687_091_200
    """Per tenant."""
    bucket_url: str | None = None
    """Where files lie instead: `s3://bucket/path`; `folder` is for those on their way in."""
    upload_folder: Path | None = None
    artifact_folder: Path | None = None
    """Where the two kinds lie, where not both under `folder`."""
    artifact_ttl_ms: int | None = None
    """Less than their job's; None: as long as that."""
    clean_every_ms: int = 300_000
    upload_ttl_ms: int = 86_400_000
    signed_upload_ms: int = 3_600_000


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Durations in ms. See muster.settings for the defaults and their reasons."""

    replica: str
    partitions: int = 1
    registration_ttl_ms: int = 120_000
    heartbeat_ms: int = 2_000
    lease_ms: int = 8_000
    delivery_lease_ms: int = 5_000
    poll_ms: int = 30_000
    cancel_grace_ms: int = 30_000
    task_retries: int = 3
    task_timeout_ms: int = 300_000
    retention_ms: int = 604_800_000
    history: bool = True
    approvals_need_token: bool = False
    webhooks_allow_private: bool = True
    public_url: str = ""
    """Where clients reach this deployment: the beginning of links in webhooks, which have none without it."""
    log_bytes_max: int = 67_108_864
    """Of one job's log; its oldest lines go first."""
    connections: tuple[Connection, ...] = ()
    """Those of the server's file."""
    files: FileSettings = field(default_factory=FileSettings)
    now: Callable[[], UnixMs] = unix_ms
