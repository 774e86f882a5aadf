"""Bodies and answers of the surface, in the shapes of its document."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from muster.surfaces.cli.definition import RunRequest, Value


class RunCommand(BaseModel):
    """`args`: by name; a value `file_id:<id>` stands for an uploaded file."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"stage": "demo", "command": "echo", "args": {"text": "hello"}}]}
    )

    stage: Annotated[str, Field(max_length=64, strict=True)]
    command: Annotated[str, Field(max_length=64, strict=True)]
    args: Annotated[dict[str, Value], Field(max_length=1000)] = {}
    mode: Literal["sync", "async"] = "sync"


class RunAnswer(BaseModel):
    """Of a run that was waited for: `success` where the exit code is 0. `error`: why it counts as failed."""

    status: Literal["success", "error", "accepted"]
    job_id: str
    stdout: str | None = None
    stderr: str | None = None
    exit_code: int | None = None
    error: str | None = None
    output_truncated: bool = False


class ArgumentSchema(BaseModel):
    name: str
    flags: list[str]
    positional: bool
    required: bool
    nargs: int | str | None
    choices: list[Any] | None
    default: Any
    type: str
    minimum: float | None
    maximum: float | None
    help: str
    example: Any


class StageAnswer(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    commands: list[str]
    schemas: Annotated[dict[str, list[ArgumentSchema]], Field(alias="schema")]
    help: dict[str, str]


class ExampleAnswer(BaseModel):
    name: str
    description: str
    request: RunRequest
    pipeline_config: dict[str, Any] | None = None


class Examples(BaseModel):
    examples: list[ExampleAnswer]


class CliUpload(BaseModel):
    """`path` is a name for people: files are addressed by their id."""

    file_id: str
    path: str


class CliJob(BaseModel):
    """`stdout` and `stderr` are what there is so far; `resolved_input_paths` are as the worker saw them."""

    job_id: str
    status: Literal["queued", "running", "succeeded", "failed", "canceled"]
    stdout: str | None
    stderr: str | None
    exit_code: int | None
    output_file: str | None
    resolved_input_paths: list[str] | None
    progress: float | None
    error: str | None
    output_truncated: bool
    created_at: str
    started_at: str | None
    finished_at: str | None


class Canceled(BaseModel):
    status: Literal["canceled"] = "canceled"
    job_id: str


class ManifestEntry(BaseModel):
    """`mtime` in Unix seconds; `path` is a name for people."""

    name: str
    path: str
    size: int
    mtime: int
    media_type: str


class CliHealth(BaseModel):
    status: Literal["ok"]
    version: str


class CliReady(BaseModel):
    status: Literal["ok", "error"]
    version: str
    checks: dict[str, dict[str, Any]]
