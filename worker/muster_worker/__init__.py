"""The worker SDK and client of Muster: contracts, handlers, and talking to an orchestrator."""

from muster_worker.client import Client, JobList, JobState, LiveEvent, SignedUpload, WaitingFor
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
    Failed,
    NotAllowed,
    NotFound,
    Permanent,
    Requeue,
    Retry,
    Unreachable,
)
from muster_worker.files import Artifact, TaskFiles, UploadedFile
from muster_worker.loading import load_worker
from muster_worker.log_stream import JobStep, JobSteps, LogLine, LogPage
from muster_worker.middleware import CallNext
from muster_worker.needs import Choose, InvalidNeeds, Needs, Prefer
from muster_worker.outcome import Outcome
from muster_worker.reasons import Reason, TaskDemand, Why
from muster_worker.retry_policy import AT_ONCE, NEVER, RetryPolicy
from muster_worker.settings import WorkerSettings
from muster_worker.task_events import TaskEvent
from muster_worker.task_lines import TaskLogHandler
from muster_worker.worker import Worker

__all__ = [
    "AT_ONCE",
    "INVALID_INPUT_ERROR",
    "NEVER",
    "PERMANENT_ERROR",
    "TIMEOUT_ERROR",
    "TRANSIENT_ERROR",
    "Artifact",
    "Call",
    "CallNext",
    "Cancelled",
    "Choose",
    "Client",
    "ClientError",
    "Conflict",
    "Ctx",
    "Failed",
    "InvalidNeeds",
    "JobList",
    "JobState",
    "JobStep",
    "JobSteps",
    "LiveEvent",
    "LogLine",
    "LogPage",
    "Needs",
    "NotAllowed",
    "NotFound",
    "Outcome",
    "Permanent",
    "Prefer",
    "Reason",
    "Requeue",
    "Retry",
    "RetryPolicy",
    "SignedUpload",
    "TaskContract",
    "TaskDemand",
    "TaskEvent",
    "TaskFiles",
    "TaskLogHandler",
    "Unreachable",
    "UploadedFile",
    "WaitingFor",
    "Why",
    "Worker",
    "WorkerSettings",
    "load_worker",
    "parse_duration_ms",
    "task",
]
