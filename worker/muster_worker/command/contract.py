"""The contract of the `command` task: what to run, and what came of it. Blueprints and workers both import it."""

import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from muster_worker.contracts import task

COMMAND: Final = "command"
COMMAND_FAILED: Final = "COMMAND_FAILED"
"""Not tried again: the job fails."""
TIMEOUT_S: Final = 3600.0
TIMEOUT_S_MAX: Final = 7 * 86_400.0
REQUIREMENTS: Final = "requirements.txt"
STARTING_S: Final = 300.0
"""What a task gets beyond its command's timeout: for inputs, a late stop and artifacts."""
ATTEMPTS_MAX: Final = 10
TEXT_BYTES_MAX: Final = 128 * 1024 - 1
"""The longest argument or variable that Linux passes to a program."""
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,255}")


def _passable(text: str) -> str:
    if "\0" in text:
        raise ValueError("a NUL character cannot be passed to a program")
    if len(text.encode("utf-8", "surrogatepass")) > TEXT_BYTES_MAX:
        raise ValueError(f"more than {TEXT_BYTES_MAX} bytes cannot be passed to a program")
    return text


def _variable_name(name: str) -> str:
    if _VARIABLE.fullmatch(name) is None:
        raise ValueError(f"{name!r} is not the name of a variable; use letters, digits and _")
    if name.upper().startswith("MUSTER_"):
        raise ValueError(f"{name}: variables of Muster itself are never passed to a command")
    return name


def _file_name(name: str) -> str:
    if _FILE_NAME.fullmatch(name) is None or name in {".", ".."}:
        raise ValueError(f"{name!r} is not a plain file name; use 1 to 255 of letters, digits and . _ -")
    return name


Text = Annotated[str, AfterValidator(_passable)]
VariableName = Annotated[str, AfterValidator(_variable_name)]
FileName = Annotated[str, AfterValidator(_file_name)]
HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://\S+$", max_length=4096)]


class CommandInput(BaseModel):
    """A file that lies in the task's directory, under `name`, before the command starts."""

    model_config = ConfigDict(frozen=True)

    name: FileName
    file_id: str | None = None
    url: HttpUrl | None = None

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.file_id is None) == (self.url is None):
            raise ValueError(f"input {self.name!r} needs either file_id or url")
        return self


class CommandParams(BaseModel):
    """What to run: `argv`, or `script_content` with the `runtime` that runs it and `args` for it.

    Attributes:
        working_directory: relative to the task's own directory; absolute only where the worker allows it.
        environment: beside PATH, HOME and LANG, all that the command gets.
        timeout_seconds: of the command alone, each time it is tried.
        attempts: how often a command that fails is run in all, with a growing pause in between.
        requirements_content: a requirements.txt for a script; only on workers that allow it.
        collect: which files are kept: those named by markers, all, or these (relative to the working directory). A name
            that ends with `/` is a folder, which is kept as one zip.
        stdout_file: what the command prints on stdout, if anything, is also kept as a file of this name.
        markers: whether lines such as `STEP_START:build` mean something.
        labels: of the client; the worker does not look at them.
    """

    model_config = ConfigDict(frozen=True)

    argv: Annotated[tuple[Text, ...], Field(min_length=1, max_length=4096)] | None = None
    script_content: Annotated[str, Field(min_length=1)] | None = None
    runtime: str | None = None
    args: Annotated[tuple[Text, ...], Field(max_length=4096)] = ()
    requirements_content: str | None = None
    working_directory: Text | None = None
    environment: Annotated[dict[VariableName, Text], Field(max_length=1000)] = {}
    timeout_seconds: Annotated[float, Field(gt=0, le=TIMEOUT_S_MAX, allow_inf_nan=False)] = TIMEOUT_S
    attempts: Annotated[int, Field(ge=1, le=ATTEMPTS_MAX)] = 1
    inputs: Annotated[tuple[CommandInput, ...], Field(max_length=1000)] = ()
    collect: Literal["markers", "all"] | Annotated[tuple[Text, ...], Field(max_length=1000)] = "markers"
    stdout_file: FileName | None = None
    markers: bool = True
    labels: dict[str, Any] = {}

    @model_validator(mode="after")
    def _is_one_command(self) -> Self:
        if (self.argv is None) == (self.script_content is None):
            raise ValueError("give either argv or script_content")
        if self.argv is not None and not self.argv[0]:
            raise ValueError("the first word of argv is the program; it is empty")
        if self.script_content is not None and not self.runtime:
            raise ValueError("script_content needs the runtime that runs it, for example python:3.11")
        if self.argv is not None and (self.args or self.runtime or self.requirements_content is not None):
            raise ValueError("args, runtime and requirements_content belong to script_content; argv is complete")
        names = [given.name for given in self.inputs]
        names += [] if self.requirements_content is None else [REQUIREMENTS]
        if len(set(names)) != len(names):
            raise ValueError(f"two inputs have the same name, or one is called {REQUIREMENTS}")
        return self


class CommandResult(BaseModel):
    """How a command ended.

    Attributes:
        exit_code: -1 after a timeout; 128 + the signal's number after a signal; 127 where it could not be started; None
            where it was not allowed to.
        run_seconds: from its start to its end.
        meta: what `META:` markers said outside of steps, and counts from wherever they were said.
        output_file: the first of the files that `collect` named which was there; else `stdout_file`, where it is one.
        input_paths: where the inputs lay, in their order.
        artifacts: names of the files kept.
        error: why the command counts as failed; None where it does not.
    """

    exit_code: int | None = None
    run_seconds: float = 0.0
    meta: dict[str, Any] = {}
    output_file: str | None = None
    input_paths: list[str] = []
    artifacts: list[str] = []
    error: str | None = None


command_task = task(COMMAND, CommandParams, CommandResult, retries=0)
