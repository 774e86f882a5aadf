"""The worker SDK and client of Muster: contracts, handlers, and talking to an orchestrator."""

from muster_worker.client import Client, JobList, JobState, WaitingFor
from muster_worker.context import Ctx
from muster_worker.contracts import Call, TaskContract, task
from muster_worker.durations import parse_duration_ms
from muster_worker.errors import (
    INVALID_INPUT_ERROR,
    PERMANENT_ERROR,
    TIMEOUT_ERROR,
    TRANSIENT_ERROR,
    Cancelled,
    ClientError,
    Conflict,
    NotAllowed,
    NotFound,
    Permanent,
    Retry,
    Unreachable,
)
from muster_worker.loading import load_worker
from muster_worker.outcome import Outcome
from muster_worker.settings import WorkerSettings
from muster_worker.worker import Worker

__all__ = [
    "INVALID_INPUT_ERROR",
    "PERMANENT_ERROR",
    "TIMEOUT_ERROR",
    "TRANSIENT_ERROR",
    "Call",
    "Cancelled",
    "Client",
    "ClientError",
    "Conflict",
    "Ctx",
    "JobList",
    "JobState",
    "NotAllowed",
    "NotFound",
    "Outcome",
    "Permanent",
    "Retry",
    "TaskContract",
    "Unreachable",
    "WaitingFor",
    "Worker",
    "WorkerSettings",
    "load_worker",
    "parse_duration_ms",
    "task",
]
