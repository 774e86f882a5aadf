"""Bodies that this surface takes, and the shapes of its answers as the reference shows them."""

import shlex
from typing import Annotated, Any, Final, Literal

from muster_worker.command.contract import TIMEOUT_S_MAX
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictStr, field_validator

from muster.api.models import Request

NAME_CHARACTERS_MAX: Final = 1_000
TEXT_CHARACTERS_MAX: Final = 4_000
TAGS_MAX: Final = 64
TAG_CHARACTERS_MAX: Final = 200

Tag = Annotated[StrictStr, Field(min_length=1, max_length=TAG_CHARACTERS_MAX)]
Tags = Annotated[list[Tag], Field(max_length=TAGS_MAX)]
ExecutionStatus = Literal["pending", "running", "completed", "failed", "cancelled"]
StepStatus = Literal["pending", "running", "completed", "failed", "skipped"]
ArtifactType = Literal["document", "image", "data", "log", "archive", "other"]


def _empty_is_none(value: Any) -> Any:
    return None if value == "" else value


class CreateExecution(Request):
    """What to run. Only `command` is needed; it is split into words as a shell would, but no shell runs it."""

    command: StrictStr | list[StrictStr]
    name: Annotated[StrictStr, Field(max_length=NAME_CHARACTERS_MAX)] | None = None
    working_directory: StrictStr | None = None
    environment: dict[str, StrictStr] | None = None
    tags: Tags | None = None
    metadata: dict[str, Any] | None = None
    timeout: Annotated[float, Field(gt=0, le=TIMEOUT_S_MAX, allow_inf_nan=False, strict=True)] | None = None

    @field_validator("command")
    @classmethod
    def _has_words(cls, command: str | list[str]) -> str | list[str]:
        try:
            words = shlex.split(command) if isinstance(command, str) else command
        except ValueError as unbalanced:
            raise ValueError(f"it cannot be split into words: {unbalanced}") from None
        if not words or not words[0]:
            raise ValueError("it names no program")
        return command

    @property
    def argv(self) -> list[str]:
        return shlex.split(self.command) if isinstance(self.command, str) else self.command

    @property
    def text(self) -> str:
        """The command as it is shown."""
        return self.command if isinstance(self.command, str) else shlex.join(self.command)


class ArtifactForm(Request):
    """The fields of an upload, apart from the file."""

    execution_id: Annotated[StrictStr, Field(min_length=1)]
    name: Annotated[StrictStr, Field(min_length=1, max_length=NAME_CHARACTERS_MAX)]
    step_id: Annotated[StrictStr | None, BeforeValidator(_empty_is_none)] = None
    description: Annotated[StrictStr, Field(max_length=TEXT_CHARACTERS_MAX)] = ""
    artifact_type: Annotated[ArtifactType | None, BeforeValidator(_empty_is_none)] = None
    tags: Annotated[Tags, Field(default_factory=list)]


class Shape(BaseModel):
    """Of an answer."""

    model_config = ConfigDict(extra="forbid")


class Execution(Shape):
    id: str
    name: str
    command: str
    working_directory: str
    status: ExecutionStatus
    exit_code: int | None
    error_message: str | None
    created_at: str
    started_at: str | None
    completed_at: str | None
    environment: dict[str, str]
    user: str
    tags: list[str]
    total_steps: int
    completed_steps: int
    current_step_index: int
    duration_seconds: float | None
    progress_percentage: float
    metadata: dict[str, Any]


class Step(Shape):
    id: str
    execution_id: str
    name: str
    description: str
    index: int
    status: StepStatus
    exit_code: int | None
    error_message: str | None
    created_at: str
    started_at: str | None
    completed_at: str | None
    estimated_duration: float | None
    stop_on_error: bool
    duration_seconds: float | None
    metadata: dict[str, Any]


class Artifact(Shape):
    id: str
    execution_id: str
    step_id: str | None
    name: str
    description: str
    file_path: str
    file_name: str
    file_size: int
    mime_type: str
    artifact_type: ArtifactType
    created_at: str
    tags: list[str]
    is_public: bool
    retention_days: int
    download_url: str


class Executions(Shape):
    executions: list[Execution]
    total_count: int
    has_more: bool


class ExecutionDetails(Shape):
    execution: Execution
    steps: list[Step]
    artifacts: list[Artifact]


class Created(Shape):
    execution_id: str
    status: Literal["pending"]
    created_at: str


class Said(Shape):
    message: str


class Artifacts(Shape):
    artifacts: list[Artifact]
    total_count: int
    has_more: bool


class OneArtifact(Shape):
    artifact: Artifact


class Health(Shape):
    status: Literal["healthy", "unhealthy"]
    timestamp: str
    version: str
    uptime_seconds: int
    database: Literal["connected", "disconnected"]
    websocket: Literal["running", "stopped"]
    storage: Literal["accessible", "inaccessible"]


class Status(Shape):
    system: dict[str, Any]
    database: dict[str, Any]
    websocket: dict[str, Any]


class Metrics(Shape):
    timestamp: str
    database: dict[str, Any]
    system: dict[str, Any]
    uptime_seconds: int


class Database(Shape):
    total_executions: int
    running_executions: int
    completed_executions: int
    failed_executions: int
    total_steps: int
    total_artifacts: int
    database_size_mb: float
    oldest_execution: str | None
    newest_execution: str | None


class Optimized(Shape):
    status: Literal["optimization_completed"]
    timestamp: str
    operations_performed: list[str]
    metrics: Metrics


class Answered(Shape):
    """What every answer is."""

    success: bool
    data: dict[str, Any] | None
    error: str | None
    timestamp: str
