"""Stages and commands as somebody declares them: the shape of the file that MUSTER_CLI_FILE names."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

from muster_worker.command.contract import TIMEOUT_S, TIMEOUT_S_MAX, Text, VariableName
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, StringConstraints

ALL_ARGUMENTS: Final = "{args}"
"""A word of `argv` that stands for every argument that no other word names."""
POSITIONAL: Final = "_positional"
"""The key below which clients give positional arguments without their names."""
PLACEHOLDER: Final = re.compile(r"\{\{|\}\}|\{([A-Za-z][A-Za-z0-9_-]*)\}")
"""`{name}`, and `{{` and `}}` for braces that are meant."""

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Flag = Annotated[str, StringConstraints(pattern=r"^--?[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=64)]
Scalar: TypeAlias = StrictBool | StrictInt | StrictFloat | StrictStr
Value: TypeAlias = Scalar | list[Scalar | None] | None
"""What a client may give for an argument."""


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Argument(_Declared):
    """One argument of a command.

    Attributes:
        flags: how the program spells it, the last of them being used; `--name-with-dashes` if not given.
        positional: the program takes its value without a flag.
        nargs: how many values follow one flag: a number, `+` or `*`. None: one; of several, each gets the flag.
        default: taken where a client gives nothing.
        minimum: of a number.
        maximum: of a number.
        file: its values name uploaded files (`file_id:…`), or files in the job's directory: what leads out is refused.
        example: shown to people; one that begins with `file_id:` says that an uploaded file belongs here.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
    flags: tuple[Flag, ...] = ()
    positional: bool = False
    required: bool = False
    nargs: Annotated[int, Field(ge=1, le=1000, strict=True)] | Literal["+", "*"] | None = None
    choices: tuple[Scalar, ...] | None = None
    default: Value = None
    type: Literal["str", "int", "float", "bool"] = "str"
    minimum: float | None = None
    maximum: float | None = None
    file: bool = False
    help: str = ""
    example: Value = None

    @property
    def shown_flags(self) -> tuple[str, ...]:
        if self.positional:
            return ()
        return self.flags or ("--" + self.name.replace("_", "-"),)


class Command(_Declared):
    """A program and what clients may give it.

    Attributes:
        argv: its words. `{name}` in a word is that argument's value, the word `{args}` all others; without such a word
            they come last.
        outputs: arguments whose values name files that the command makes: they are kept.
        output_folders: arguments whose values name folders: each is kept as a zip.
        more_arguments: whether clients may give arguments that are not declared; they become flags.
    """

    argv: Annotated[tuple[Text, ...], Field(min_length=1, max_length=1000)]
    args: Annotated[tuple[Argument, ...], Field(max_length=200)] = ()
    help: str = ""
    outputs: tuple[str, ...] = ("output", "to_video", "path")
    output_folders: tuple[str, ...] = ("output_dir",)
    environment: dict[VariableName, Text] = {}
    timeout_seconds: Annotated[float, Field(gt=0, le=TIMEOUT_S_MAX)] = TIMEOUT_S
    more_arguments: bool = False

    def argument(self, name: str) -> Argument | None:
        return next((argument for argument in self.args if argument.name == name), None)

    @property
    def placed(self) -> frozenset[str]:
        """Arguments that words of `argv` name."""
        words = (word for word in self.argv if word != ALL_ARGUMENTS)
        return frozenset(found[1] for word in words for found in PLACEHOLDER.finditer(word) if found[1])


class RunRequest(_Declared):
    """A body of `POST /cli/run`, as the file shows it to people."""

    stage: str
    command: str
    args: dict[str, Value] = {}
    mode: Literal["sync", "async"] = "sync"


class Example(_Declared):
    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    description: str = ""
    request: RunRequest
    pipeline_config: dict[str, Any] | None = None


class Catalog(_Declared):
    """Everything that the surface offers."""

    stages: dict[Name, dict[Name, Command]] = {}
    examples: tuple[Example, ...] = ()

    @property
    def commands(self) -> Mapping[str, Command]:
        """By `stage.command`."""
        return {
            f"{stage}.{name}": command for stage, commands in self.stages.items() for name, command in commands.items()
        }
