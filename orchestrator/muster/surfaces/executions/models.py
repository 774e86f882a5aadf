"""Bodies that clients send, and the answers as the reference shows them; `shapes.py` writes those."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field, StrictInt, StrictStr

from muster.api.models import Request

TIMEOUT_S: Final = 300
TIMEOUT_S_MAX: Final = 3600
BATCH_ID_MAX: Final = 128
INPUTS_MAX: Final = 1000
"""Of one execution: as many as a command takes."""
NAME_MAX: Final = 1024
SEQUENCE_MAX: Final = 10**12
"""The largest number of a line that a runner may give: leaves room for those that come after it."""
MESSAGE_BYTES_MAX: Final = 65_536

ScriptText = Annotated[StrictStr, Field(min_length=1, description="The script, kept in a file of its own.")]
FileText = Annotated[StrictStr, Field(min_length=1, max_length=NAME_MAX)]
TextByName = dict[StrictStr, StrictStr]


def _short_enough(text: str) -> str:
    if len(text.encode("utf-8", "surrogatepass")) > MESSAGE_BYTES_MAX:
        raise ValueError(f"must have at most {MESSAGE_BYTES_MAX} bytes")
    return text


def _moment(text: str) -> str:
    moment_of(text)
    return text


def moment_of(text: str) -> datetime:
    """*text*, ISO 8601; without a zone it is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    if moment.year < 1971 or moment.year > 9998:
        raise ValueError("is too far from now")
    return moment


class CreateExecution(Request):
    """A script to run. Inputs lie beside it; what it writes there becomes an artifact."""

    script_content: ScriptText
    runtime: Annotated[
        StrictStr | None, Field(min_length=1, max_length=200, examples=["python:3.11"], description="Else the default.")
    ] = None
    args: Annotated[tuple[StrictStr, ...], Field(max_length=4096)] = ()
    env_vars: TextByName = Field(default_factory=dict)
    timeout_seconds: Annotated[StrictInt, Field(ge=1, le=TIMEOUT_S_MAX)] = TIMEOUT_S
    input_files: Annotated[
        tuple[FileText, ...],
        Field(max_length=INPUTS_MAX, description="Names of files to come: the answer has an `upload_url` for each."),
    ] = ()
    batch_id: Annotated[StrictStr, Field(min_length=1, max_length=BATCH_ID_MAX)] | None = None
    requirements_content: Annotated[
        StrictStr | None, Field(description="A requirements.txt; only on workers that allow it.")
    ] = None
    user_metadata: TextByName | None = None
    cached_input_refs: Annotated[
        dict[FileText, StrictStr] | None,
        Field(max_length=INPUTS_MAX, description="Inputs that are here already: name to the `file_path` of a file."),
    ] = None


class WantDownloadUrl(Request):
    """One of both, as the list of artifacts has them."""

    s3_key: Annotated[Any, Field(description="`file_path` of an artifact, a text.")] = None
    artifact_id: Annotated[Any, Field(description="`artifact_id` of an artifact, a text.")] = None


class StreamLogLine(Request):
    """One line of output. Each member may also be a query parameter."""

    sequence_number: Annotated[Any, Field(description="Integer from 0, required.")] = None
    stream: Annotated[Any, Field(description="`stdout` or `stderr`, required.")] = None
    message: Annotated[Any, Field(description="The line, up to 64 KiB, required.")] = None
    timestamp: Annotated[Any, Field(description="ISO 8601; now, if not given.")] = None


class LogLine(Request):
    """A line with all it needs."""

    sequence_number: Annotated[StrictInt, Field(ge=0, le=SEQUENCE_MAX)]
    stream: Literal["stdout", "stderr"]
    message: Annotated[StrictStr, AfterValidator(_short_enough)]
    timestamp: Annotated[StrictStr, AfterValidator(_moment)] | None = None


class Execution(Request):
    """An execution. `stdout` and `stderr` are null where they were not asked for: in lists and at the start."""

    model_config = ConfigDict(extra="forbid")

    execution_id: str
    script_content: str | None
    runtime: str | None
    args: list[str]
    env_vars: dict[str, str]
    timeout_seconds: int | None
    input_files: list[str]
    upload_urls: dict[str, str] | None
    download_urls: dict[str, str] | None
    status: Literal["queued", "running", "completed", "failed"]
    exit_code: int | None
    stdout: str | None
    stderr: str | None
    output_truncated: bool
    execution_error: str | None
    created_at: str
    started_at: str | None
    completed_at: str | None
    cost_micros: int
    finalized_cost_micros: int | None
    cost_finalized_at: str | None
    duration_seconds: int | None
    worker_hostname: str | None
    execution_metadata: dict[str, Any]
    retry_count: int
    max_retries: int
    user_metadata: dict[str, str] | None
    batch_id: str | None


class ExecutionArtifact(Request):
    """`file_path` is opaque: it is the `s3_key` of a download URL."""

    artifact_id: str
    execution_id: str
    artifact_type: Literal["input", "output"]
    filename: str
    file_path: str
    size_bytes: int
    content_type: str
    created_at: str
    expires_at: str


class DownloadUrl(Request):
    download_url: str
    expires_in: int


class BatchStatus(Request):
    """`statuses` in the order in which the members were created."""

    batch_id: str
    statuses: list[str]
    total: int
    counts: dict[str, int]
    total_cost_micros: int


class BatchMember(Request):
    execution_id: str
    status: str
    batch_metadata: dict[str, str | None]
    created_at: str
    completed_at: str | None


class ExecutionsOfDay(Request):
    date: str
    executions: int
    compute_time_seconds: int
    cost_micros: int
    cost_display: str


class CostBreakdown(Request):
    start_date: str
    end_date: str
    total_cost_micros: int
    total_cost_display: str
    by_date: list[ExecutionsOfDay]
    total_executions: int


class CostEstimate(Request):
    estimated_executions: int
    estimated_duration_seconds: float
    estimated_total_duration_seconds: float
    estimated_cost_micros: int
    estimated_cost_display: str
    assumptions: list[str]


class LogLineTaken(Request):
    status: Literal["ok"]
    log_id: str


class ExecutionsHealth(Request):
    status: str
    version: str
    timestamp: str
