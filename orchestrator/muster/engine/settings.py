"""What a deployment decides about the engine."""

from dataclasses import dataclass


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
