"""Wire types of the worker protocol: what both sides agree on. docs/worker-protocol.md shows them with curl.

The documented routes need nothing of the second half. A worker that registers with `protocol: 1` may use it.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr

from muster_worker.needs import VALUES_MAX, checked_labels

PROTOCOL: Final = 1

Number = StrictInt | StrictFloat
WorkerIdText = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,128}$", strict=True)]
TaskTypeText = Annotated[str, Field(min_length=1, max_length=256, strict=True)]
WorkerStatus = Literal["idle", "busy", "draining"]
FreeByType = Annotated[dict[TaskTypeText, Annotated[StrictInt, Field(ge=0)]], Field(max_length=256)]
"""How many tasks of a type a worker would take now."""


class Wire(BaseModel):
    """Unknown members are ignored, so that either side may be newer."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Registration(Wire):
    """Body of POST /_worker/workers/register."""

    worker_id: WorkerIdText
    supported_tasks: Annotated[list[TaskTypeText], Field(max_length=256)] = []
    worker_type: StrictStr | None = None
    address: StrictStr | None = None
    resources: dict[str, Any] = {}
    capabilities: dict[str, Any] = {}
    installed_software: dict[str, Any] = {}
    installed_models: list[Any] = []
    runtimes: list[StrictStr] = []
    labels: Annotated[dict[str, Any], AfterValidator(checked_labels)] = {}
    hot_cache: Annotated[list[StrictStr], Field(max_length=VALUES_MAX)] = []
    hot_skills: Annotated[list[StrictStr], Field(max_length=VALUES_MAX)] = []
    max_concurrent_tasks: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 1
    cost_per_second: Annotated[Number, Field(ge=0)] = 0
    cost_per_task: Annotated[dict[TaskTypeText, Annotated[Number, Field(ge=0)]], Field(max_length=256)] = {}
    """EUR per second of a task type, where that is not `cost_per_second`."""
    slots_per_task: Annotated[
        dict[TaskTypeText, Annotated[int, Field(ge=1, le=10_000, strict=True)]], Field(max_length=256)
    ] = {}
    """Of a task type no more than so many at a time. What is free of them the worker says when it asks for tasks."""
    protocol: Annotated[int, Field(ge=0, strict=True)] = 0


class Registered(Wire):
    """Answer to a registration; members after `status` only for `protocol: 1`."""

    status: Literal["registered"] = "registered"
    protocol: int | None = None
    heartbeat_seconds: float | None = None
    """How often to report running tasks."""
    lease_seconds: float | None = None
    """A running task not reported for this long is given to another worker."""
    poll_seconds: float | None = None
    """Longest wait of one poll."""
    features: list[str] | None = None
    """What else the server offers: `stream`, tasks over the WebSocket."""


class LeaseReport(Wire):
    """One running task in a heartbeat: the sign of life that keeps its lease."""

    task_id: StrictStr
    attempt: StrictInt
    fence: StrictStr
    progress: Annotated[Number, Field(ge=0, le=1)] | None = None
    message: Annotated[StrictStr, Field(max_length=2000)] | None = None
    silent_seconds: Annotated[Number, Field(ge=0)] | None = None
    """Since the handler's own last sign. Told progress is one; a task with a heartbeat limit needs them."""


class Heartbeat(Wire):
    """Body of PATCH /_worker/workers/{worker_id}; absent members stay as they are."""

    worker_id: WorkerIdText | None = None
    status: WorkerStatus | None = None
    load: Annotated[Number, Field(ge=0, le=1)] | None = None
    supported_tasks: Annotated[list[TaskTypeText], Field(max_length=256)] | None = None
    current_tasks: list[StrictStr] | None = None
    max_concurrent_tasks: Annotated[int, Field(ge=1, le=10_000, strict=True)] | None = None
    cost_per_second: Annotated[Number, Field(ge=0)] | None = None
    resources: dict[str, Any] | None = None
    labels: Annotated[dict[str, Any], AfterValidator(checked_labels)] | None = None
    hot_cache: Annotated[list[StrictStr], Field(max_length=VALUES_MAX)] | None = None
    leases: Annotated[list[LeaseReport], Field(max_length=1000)] | None = None


class HeartbeatAnswer(Wire):
    """What the SDK reads of the answer (the full answer is the worker's state)."""

    cancel_task_ids: list[str] = []
    lost_task_ids: list[str] = []
    """Leases this worker no longer holds: stop the work, drop its result."""
    order: str | None = None
    """`drain`, `disconnect` or nothing; None where the server gives no orders."""
    ordered_slots: int | None = None


class LeasedTask(Wire):
    """A task as handed to a worker. `fence` and `lease_seconds` only for `protocol: 1`."""

    job_id: str
    task_id: str
    type: str
    params: Any = None
    attempt: int = 1
    timeout_seconds: float = 300
    timeout_code: str = "TIMEOUT_ERROR"
    """What it means that they are over: SCHEDULE_TO_CLOSE_TIMEOUT where that limit comes first."""
    heartbeat_seconds: float | None = None
    """Longest time between two signs of the handler's own."""
    priority: int = 0
    tracing_context: dict[str, str] = {}
    fence: str | None = None
    lease_seconds: float | None = None


class LeasedTasks(Wire):
    """Answer of a poll with `?max=`."""

    tasks: list[LeasedTask] = []


class ErrorReport(Wire):
    code: StrictStr = "TRANSIENT_ERROR"
    message: StrictStr = ""
    retry_after_seconds: Annotated[Number, Field(ge=0, le=86_400)] | None = None
    type: Annotated[StrictStr, Field(max_length=200)] = ""
    """Name of the exception, where there was one: retry policies may name it."""


class Outcome(Wire):
    """`result` of a report. `status`: success, failure, cancelled, requeue or a transition of the waiting state.

    `requeue`: put the task back, to be handed out after `error.retry_after_seconds`; neither a failure nor a loss.
    """

    status: StrictStr = "success"
    data: Any = None
    error: ErrorReport | StrictStr | None = None


class Result(Wire):
    """Body of POST /_worker/tasks/result, nested as documented or flat as the original SDK sends it."""

    job_id: StrictStr
    task_id: StrictStr
    worker_id: StrictStr
    result: Outcome
    attempt: StrictInt | None = None
    fence: StrictStr | None = None


class Results(Wire):
    """Body of POST /_worker/tasks/results: several at once, all of one worker."""

    results: Annotated[list[Result], Field(min_length=1, max_length=100)]


class Receipt(Wire):
    """Answer to one result.

    `status`: result_accepted_success, _failure, _cancelled, _requeue; or result_ignored and a reason.
    """

    status: str
    reason: str | None = None
    task_id: str | None = None
    error: str | None = None
    """In a batch: the stable code where this one result was refused."""


class Receipts(Wire):
    """Answer to `?next=` and to a batch: the receipts, and tasks that could be had without waiting."""

    results: list[Receipt] = []
    tasks: list[LeasedTask] = []
