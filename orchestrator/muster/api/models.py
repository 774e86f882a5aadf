"""Bodies and answers of the public and client routes, as the reference shows them.

Requests are checked by these models. Answers are written by `wire.py`; tests hold them against these.
"""

from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from muster_worker.wire import LeasedTask, Number, Result, Wire
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    RootModel,
    StrictInt,
    StrictStr,
    model_validator,
)

from muster.api.approval_models import Approver, GivenAnswer, Step
from muster.core.admission import Debounce, Unique
from muster.core.limits import TAG_CHARACTERS_MAX, TAGS_MAX

URL_CHARACTERS_MAX: Final = 2048
BATCH_ID_CHARACTERS_MAX: Final = 128
BATCH_JOBS_MAX: Final = 1000
DEADLINE_SECONDS_MAX: Final = 366 * 86_400
_FLAT: Final = ("status", "data", "error")


def _absolute_http_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not text.isprintable() or " " in text or "\\" in text:
        raise ValueError("must be an absolute http or https URL, for example https://example.org/hook")
    return text


HttpUrlText = Annotated[StrictStr, Field(max_length=URL_CHARACTERS_MAX), AfterValidator(_absolute_http_url)]
TagText = Annotated[StrictStr, Field(min_length=1, max_length=TAG_CHARACTERS_MAX)]
KeyText = Annotated[StrictStr, Field(min_length=1, max_length=200)]


class Request(BaseModel):
    """Unknown members are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class UniqueKey(Request):
    """One job at most of the blueprint with this key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: KeyText
    while_: Annotated[
        Literal["live"] | Annotated[StrictInt, Field(ge=1, le=2_678_400)],
        Field(alias="while", description="`live`: until that job is over; or so many seconds from its submit."),
    ] = "live"
    on_conflict: Annotated[
        Literal["return", "refuse", "replace"],
        Field(description="Answer with that job, answer 409, or cancel that job and start this."),
    ] = "return"

    def value(self) -> Unique:
        return Unique(self.key, None if isinstance(self.while_, str) else self.while_, self.on_conflict)


class DebounceKey(Request):
    """A later submit with this key puts off the job, and gives it its input, while that has not begun."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: KeyText
    seconds: Annotated[float, Field(gt=0, le=86_400, description="It begins when no submit came for so long.")]
    max_seconds: Annotated[
        float | None, Field(gt=0, le=604_800, description="After the first submit at most; 10 times `seconds`.")
    ] = None

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        if self.max_seconds is not None and self.max_seconds < self.seconds:
            raise ValueError("max_seconds must not be less than seconds")
        return self

    def value(self) -> Debounce:
        most = min(10 * self.seconds, 604_800) if self.max_seconds is None else self.max_seconds
        return Debounce(self.key, round(self.seconds * 1000), round(most * 1000))


class CreateJob(Request):
    """Starts a job. No body at all means `{}`."""

    initial_data: Annotated[dict[str, Any], Field(description="Input of the job, as its blueprint wants it.")] = {}
    webhook_url: Annotated[
        HttpUrlText | None, Field(description="Told by POST when the job ended.", examples=["https://example.org/hook"])
    ] = None
    tags: Annotated[list[TagText], Field(max_length=TAGS_MAX, description="Words by which the job can be found.")] = []
    unique: UniqueKey | None = None
    debounce: DebounceKey | None = None
    deadline_seconds: Annotated[
        Annotated[Number, Field(ge=0.001, le=DEADLINE_SECONDS_MAX)] | None,
        Field(
            description="The job fails where it has not ended by then; null: as its blueprint says.", examples=[3600]
        ),
    ] = None


class BatchJob(Request):
    """One job of a batch. Unknown members are refused: `unique` and `deadline_seconds`, say, are for single submits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    blueprint: Annotated[StrictStr, Field(min_length=1, max_length=200, examples=["command"])]
    initial_data: Annotated[dict[str, Any], Field(description="Input of the job, as its blueprint wants it.")] = {}
    tags: Annotated[
        list[TagText], Field(max_length=TAGS_MAX - 1, description="Words by which the job can be found.")
    ] = []


class StartBatch(Request):
    """Starts many jobs, which run in parallel."""

    id: Annotated[
        Annotated[StrictStr, Field(min_length=1, max_length=BATCH_ID_CHARACTERS_MAX)] | None,
        Field(description="Names the batch; sent again with it, no job is started twice. Made up if not given."),
    ] = None
    order: Annotated[
        Literal["parallel"],
        Field(description="They run side by side. For one after the other start a job of the blueprint `sequence`."),
    ] = "parallel"
    jobs: Annotated[list[BatchJob], Field(min_length=1, max_length=BATCH_JOBS_MAX)]


class SignalData(RootModel[dict[str, JsonValue]]):
    """What the signal tells; any object. No body at all means `{}`."""


class PlanUpload(Request):
    """Asks for a URL by which a file can be sent without a token."""

    name: Annotated[StrictStr, Field(min_length=1, max_length=1024, examples=["data.csv"])]
    media_type: Annotated[StrictStr, Field(max_length=127)] | None = None


class ResultMessage(Result):
    """One result: `result` nested as documented, or flat with `status` at the top as the original SDK sends it."""

    @model_validator(mode="before")
    @classmethod
    def _nest(cls, message: Any) -> Any:
        if not isinstance(message, dict) or "result" in message or "status" not in message:
            return message
        return {**message, "result": {key: message[key] for key in _FLAT if key in message}}


class ResultsMessage(Wire):
    """Several results of one worker."""

    results: Annotated[list[ResultMessage], Field(min_length=1, max_length=100)]


class ReceiptWithTasks(Wire):
    """`tasks` only where the request had `?next=`."""

    status: str
    reason: str | None = None
    tasks: Annotated[list[LeasedTask], Field(default_factory=list)]


class Answer(BaseModel):
    """An answer may gain members."""

    model_config = ConfigDict(extra="allow")


class StatusOk(Answer):
    status: Literal["ok"]


class Health(Answer):
    status: Literal["ok", "unavailable"]
    version: str
    mode: Literal["development", "production"]
    ready: bool


class JobAccepted(Answer):
    status: Literal["accepted"]
    job_id: str


class Waiting(Answer):
    """What a job waits for."""

    kind: Literal["task", "tasks", "human", "timer", "child", "signal", "race"]
    message: str
    decisions: list[str]
    deadline_at: AwareDatetime | None
    approval_token: Annotated[str | None, Field(description="For one answer to this question.")]
    child_id: Annotated[
        str | None, Field(description="The job whose end it waits for; those of a race, separated by commas.")
    ]
    signal: Annotated[str | None, Field(description="The name of the signal it waits for.")]
    link: Annotated[str | None, Field(description="The page on which the question is answered.")] = None
    quorum: Annotated[dict[str, int] | None, Field(description="How many people must give which choice.")] = None
    forms: Annotated[
        dict[str, dict[str, JsonValue]] | None, Field(description="JSON Schema of the form, by choice.")
    ] = None
    approvers: Annotated[list[Approver] | None, Field(description="Who has a say; none: anybody.")] = None
    answers: list[GivenAnswer] | None = None
    escalations: list[Step] | None = None
    escalates_at: Annotated[AwareDatetime | None, Field(description="When the next ones are asked.")] = None


class Held(Answer):
    """Who paused the job, since when and why; `by_job`: the job above it that was meant."""

    at: AwareDatetime
    by: str
    reason: str
    status: Annotated[str, Field(description="Where it stood, and stands again when it is resumed.")]
    by_job: str | None


class Job(Answer):
    id: str
    job_id: str
    blueprint_name: str
    status: Literal[
        "pending",
        "running",
        "waiting_for_worker",
        "waiting_for_parallel_tasks",
        "waiting_for_human",
        "waiting",
        "paused",
        "finished",
        "failed",
        "cancelled",
        "quarantined",
    ]
    current_state: str
    initial_data: dict[str, JsonValue]
    state_history: Annotated[dict[str, JsonValue], Field(description="Merged data of the task results so far.")]
    result: JsonValue
    error_message: str | None
    error_details: dict[str, JsonValue] | None
    webhook_url: str | None
    current_task_id: str | None
    task_worker_id: str | None
    retry_count: int
    batch_id: Annotated[str | None, Field(description="Of its tag `batch:…`, where it has one.")]
    tags: list[str]
    parent_id: Annotated[str | None, Field(description="The job that started this one and waits for its end.")]
    cost_micros: Annotated[int, Field(description="Of all runs of its tasks so far; a million are 1 EUR.")]
    version: Annotated[int, Field(description="Grows with every change; see `since`.")]
    progress: float | None
    progress_message: str | None
    cancel_requested: bool
    deadline_at: Annotated[AwareDatetime | None, Field(description="Where it has not ended by then it fails.")]
    waiting_for: Waiting | None
    paused: Held | None
    error_fingerprint: Annotated[str | None, Field(description="The same for errors of one kind.")]
    retried_from: Annotated[str | None, Field(description="The job that this one was made of, to start it again.")]
    retried_as: Annotated[list[str], Field(description="Jobs that were made of this one, to start it again.")]
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    finished_at: AwareDatetime | None
    updated_at: AwareDatetime


class Jobs(Answer):
    items: list[Job]
    next: Annotated[str | None, Field(description="`cursor` of the next page; null on the last.")]


class UploadedFile(Answer):
    file_id: str
    name: Annotated[str, Field(description="As kept: one segment of A-Z a-z 0-9 . _ -.")]
    size: int
    sha256: str
    media_type: str
    created_at: AwareDatetime
    expires_at: AwareDatetime


class SignedUpload(Answer):
    file_id: str
    upload_url: Annotated[str, Field(description="PUT the bare file here, once.")]
    expires_at: AwareDatetime


class SignedDownload(Answer):
    download_url: str
    expires_at: AwareDatetime


class Artifact(Answer):
    """A file that a task of the job kept."""

    artifact_id: str
    job_id: str
    task_id: str | None
    step: str | None
    description: str
    name: str
    size: int
    sha256: str
    media_type: str
    created_at: AwareDatetime
    expires_at: Annotated[AwareDatetime | None, Field(description="Null while the job runs.")]


class Artifacts(Answer):
    items: list[Artifact]


class SignalReceived(Answer):
    status: Literal["signal_received"]
    job_id: str


class CancelAnswer(Answer):
    status: Annotated[
        Literal["cancellation_request_sent", "cancellation_request_accepted"],
        Field(description="`sent`: the worker's live socket took the command."),
    ]


class ApprovalReceived(Answer):
    status: Literal["approval_received"]
    job_id: str


class Event(Answer):
    event_id: str
    job_id: str
    timestamp: AwareDatetime
    event_type: str
    state: str | None
    previous_state: str | None
    next_state: str | None
    task_id: str | None
    worker_id: str | None
    attempt_number: int | None
    duration_ms: int | None
    details: dict[str, JsonValue]


class LogLine(Answer):
    """`stream` is `notice` where `dropped` lines are missing."""

    seq: int
    at: AwareDatetime
    stream: Literal["stdout", "stderr", "notice", "event"]
    text: str
    task_id: str
    dropped: int


class LogLines(Answer):
    items: list[LogLine]
    next: Annotated[int | None, Field(description="`after` of the next page; null once the job's last line was read.")]
    dropped: Annotated[int, Field(description="Lines in between that are gone: the log was longer than is kept.")]


class JobStep(Answer):
    task_id: str
    attempt: int
    index: int
    name: str
    description: str
    status: Literal["pending", "running", "completed", "failed", "skipped"]
    exit_code: int | None
    error_message: str | None
    created_at: AwareDatetime | None
    started_at: AwareDatetime | None
    completed_at: AwareDatetime | None
    estimated_duration: float | None
    stop_on_error: bool
    duration_seconds: float | None
    metadata: dict[str, JsonValue]


class JobSteps(Answer):
    items: list[JobStep]
    metadata: Annotated[dict[str, str], Field(description="What tasks told about the job as a whole.")]


class Reason(Answer):
    """`since` and `until` where they are known."""

    code: Annotated[str, Field(description="Stable; docs/guides/why.md lists them.", examples=["no_worker"])]
    text: str
    since: AwareDatetime | None
    until: AwareDatetime | None
    details: dict[str, JsonValue]
    reasons: Annotated[list["Reason"], Field(description="Of the job that this one waits for.")]


class Why(Answer):
    job_id: str
    blueprint_name: str
    status: str
    current_state: str
    at: Annotated[AwareDatetime, Field(description="When it was so, by the store's clock.")]
    reasons: list[Reason]


class TaskDemand(Answer):
    """Of one task type; `workers` and `slots` are those that offer it and are not draining."""

    task: str
    queued: int
    running: int
    workers: int
    slots: int
    wanted_workers: int
    needs: Annotated[
        list[tuple[str, str, list[str]]], Field(description="Where these tasks ask more than their type.")
    ] = []


class Wanted(Answer):
    """Either of them: `value` where one task type was asked for."""

    items: list[TaskDemand] | None = None
    value: int | None = None


class BlueprintSummary(Answer):
    name: str
    version: str
    endpoint: Annotated[str, Field(examples=["jobs/orders"])]
    url: Annotated[str, Field(description="POST here to start a job.", examples=["/api/v1/jobs/orders"])]
    states: list[str]
    input_schema: dict[str, JsonValue]
    output_schema: Annotated[
        dict[str, JsonValue], Field(description="Of the result of a finished job; `{}` where it may be anything.")
    ]


class Blueprints(Answer):
    items: list[BlueprintSummary]


class Worker(Answer):
    worker_id: str
    worker_type: str | None
    supported_tasks: list[str]
    status: Literal["idle", "busy", "draining"]
    load: float
    current_tasks: list[str]
    max_concurrent_tasks: int
    cost_per_second: float
    resources: dict[str, JsonValue]
    capabilities: dict[str, JsonValue]
    registered_at: AwareDatetime
    last_seen_at: AwareDatetime


class DashboardAnswer(Answer):
    workers: dict[str, int]
    jobs: dict[str, int]
    tasks: dict[str, int]
    timestamp: AwareDatetime


class BatchStarted(Answer):
    batch_id: str
    jobs: Annotated[list[str], Field(description="Their ids, in the order they were given.")]


class RefusedLine(Answer):
    line: int
    code: str
    detail: str


class BatchLoaded(Answer):
    """What became of a stream of lines."""

    batch_id: str
    accepted: int
    already_there: Annotated[int, Field(description="Lines that were taken when the same batch was sent before.")]
    refused: int
    errors: Annotated[list[RefusedLine], Field(description="The first 1000 of them.")]


class BatchMember(Answer):
    job_id: str
    status: str


class BatchState(Answer):
    batch_id: str
    total: int
    counts: Annotated[dict[str, int], Field(description="By status, those that occur.")]
    cost_micros: int
    jobs: Annotated[
        list[BatchMember], Field(description="In the order of their creation; none of a stream: see its `results`.")
    ]
    live: Annotated[int | None, Field(description="Of a stream: jobs that are not over.")] = None
    state: Annotated[Literal["open", "running", "cancelling", "finished"] | None, Field(description="Of a stream.")] = (
        None
    )
    created_at: AwareDatetime | None = None
    finished_at: Annotated[AwareDatetime | None, Field(description="When its last job was over.")] = None


class BatchCancelled(Answer):
    batch_id: str
    cancelling: Annotated[int, Field(description="Jobs that were not over.")]


class CostOfDay(Answer):
    """One's jobs of one meter that were created on the day and are over."""

    date: str
    meter: Annotated[str, Field(description="The blueprint's name, or `blueprint|runtime`.")]
    jobs: int
    run_ms: Annotated[int, Field(description="Of all their tasks' attempts.")]
    cost_micros: int


class CostDays(Answer):
    days: list[CostOfDay]
    total_cost_micros: int


class WebhookSecret(Answer):
    secret: str
    """`whsec_` and base64, as Standard Webhooks libraries take it."""


class Flushed(Answer):
    status: Literal["db_flushed"]


class HeartbeatState(Worker):
    """The worker's state, or only `{"status": "ttl_refreshed"}` for an empty body."""

    cancel_task_ids: list[str] = []
    lost_task_ids: list[str] = []


class Problem(Answer):
    """RFC 9457. `error` repeats `detail`."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    error: str
    hint: str | None = None
