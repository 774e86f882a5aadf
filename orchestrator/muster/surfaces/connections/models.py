"""Answers of this surface, as the reference shows them."""

from typing import Any, Literal

from pydantic import AwareDatetime

from muster.api.models import Answer


class ConnectionEntry(Answer):
    name: str
    type: str
    enabled: bool
    schema_name: str
    last_run_at: AwareDatetime | None


class RunResult(Answer):
    """`report` only where it was asked for."""

    success: bool
    duration_ms: int
    rows_inserted: int
    error: str | None
    report: str | None
    attempts: int | None
    records_reported: int | None
    progress_counts: dict[str, Any] | None
    run_id: str | None


class StartedOne(Answer):
    message: str
    task_id: str
    connection: str


class StartedBatch(Answer):
    """`task_id` is null where no connection is enabled."""

    message: str
    task_id: str | None
    connections: list[str]


class Told(Answer):
    message: str


class TaskStatus(Answer):
    """`connections`, `current` and `completed` of a batch; `connection`, `result` and `error` of a single run."""

    status: Literal["queued", "running", "finished", "cancelled"]
    kind: Literal["batch", "single"]
    canceled: bool
    started_at: AwareDatetime
    finished_at: AwareDatetime | None
    active: bool
    connections: list[str] | None = None
    current: str | None = None
    completed: list[str] | None = None
    connection: str | None = None
    result: RunResult | None = None
    error: str | None = None


class HistoryEntry(Answer):
    id: int
    run_id: str
    connection_name: str
    connection_type: str
    schema_name: str
    success: bool
    started_at: AwareDatetime
    finished_at: AwareDatetime
    duration_ms: int
    attempts: int | None
    error: str | None
    progress_counts: dict[str, Any] | None


class ConnectionStatus(ConnectionEntry):
    last_run_success: bool | None
    last_run_error: str | None
    last_run_duration_ms: int | None
    last_run_attempts: int | None
