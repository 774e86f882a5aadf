"""What a worker may run as commands: its own configuration, nothing by default outside development."""

import os
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from muster_worker.settings import Environment, addresses

ANY_PROGRAM: Final = "*"
OUTPUT_BYTES_MAX: Final = 1024**3
FILE_BYTES_MAX: Final = 10 * 1024**3
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})

Count = Annotated[int, Field(ge=1)]
Words = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda given: (given,) if isinstance(given, str) else given),
    Field(min_length=1),
]
"""One word or several."""


class Limits(BaseModel):
    """Of each process of a command, as rlimits; None: what the worker itself has.

    Attributes:
        cpu_seconds: RLIMIT_CPU.
        file_bytes: RLIMIT_FSIZE: the largest file it may write.
        memory_bytes: RLIMIT_AS, the address space.
        open_files: RLIMIT_NOFILE.
        processes: RLIMIT_NPROC, counted over all processes of the worker's user; the kernel spares root.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu_seconds: Count | None = None
    file_bytes: Count | None = FILE_BYTES_MAX
    memory_bytes: Count | None = None
    open_files: Count | None = 1024
    processes: Count | None = None

    def rlimits(self) -> dict[str, int]:
        given = {
            "RLIMIT_CPU": self.cpu_seconds,
            "RLIMIT_FSIZE": self.file_bytes,
            "RLIMIT_AS": self.memory_bytes,
            "RLIMIT_NOFILE": self.open_files,
            "RLIMIT_NPROC": self.processes,
        }
        return {"RLIMIT_CORE": 0, **{name: value for name, value in given.items() if value is not None}}


class CommandSettings(BaseModel):
    """Nothing may run with the defaults.

    Attributes:
        programs: what `argv` may begin with; `*` for anything.
        runtimes: interpreters of scripts, by the name that clients use.
        folders: absolute working directories are allowed in and below these.
        allow_requirements: whether a script may have packages installed, from wherever pip gets them.
        allow_url_inputs: whether inputs may be fetched from any address that the worker reaches.
        grace_seconds: from SIGTERM to SIGKILL.
        output_bytes_max: a command that prints more, both streams together, is ended.
        input_bytes_max: of all inputs of one command that come from an address.
        artifacts_max: files kept of one command.
        folder: the directories of the tasks are made here, one each, and deleted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    programs: tuple[str, ...] = ()
    runtimes: dict[str, Words] = {}
    folders: tuple[Path, ...] = ()
    allow_requirements: bool = False
    allow_url_inputs: bool = False
    grace_seconds: Annotated[float, Field(ge=0, le=3600)] = 5.0
    output_bytes_max: Count = OUTPUT_BYTES_MAX
    input_bytes_max: Count = 1024**3
    artifacts_max: Count = 1000
    folder: Path = Field(default_factory=lambda: Path(tempfile.gettempdir()))
    limits: Limits = Limits()

    @classmethod
    def development(cls, **more: Any) -> "CommandSettings":
        """Any program, and this Python for scripts."""
        python = (sys.executable, "-u")  # unbuffered: a line is there when it is printed
        return cls(**{"programs": (ANY_PROGRAM,), "runtimes": {"python:3.11": python}, **more})

    @property
    def allows_nothing(self) -> bool:
        return not self.programs and not self.runtimes

    @property
    def allows_any_program(self) -> bool:
        return ANY_PROGRAM in self.programs

    def allows(self, program: str) -> bool:
        return self.allows_any_program or program in self.programs

    def allows_folder(self, folder: Path) -> bool:
        """*folder* must be resolved: without links and dots."""
        return any(folder.is_relative_to(root.resolve()) for root in self.folders)


def command_settings(
    file: str | Path | None = None, *, url: str | Sequence[str] | None = None, env: Environment = os.environ
) -> CommandSettings:
    """From a TOML file, else from that named by MUSTER_COMMANDS_FILE; else what the mode allows.

    Without a file anything may run where it is surely a person's own machine: every orchestrator is on this one, and
    MUSTER_MODE is not `production`. Elsewhere nothing may.

    Raises ValueError naming the file and every mistake in it.
    """
    path = file or env.get("MUSTER_COMMANDS_FILE")
    if path:
        return _from_file(Path(path))
    return CommandSettings.development() if is_development(url, env) else CommandSettings()


def is_development(url: str | Sequence[str] | None, env: Environment) -> bool:
    if env.get("MUSTER_MODE", "development") != "development":
        return False
    return all(urlsplit(address).hostname in _LOOPBACK for address in addresses(url, env))


def _from_file(path: Path) -> CommandSettings:
    try:
        given: Mapping[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from error
    try:
        return CommandSettings.model_validate(given)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ValueError(f"{path}: {wrong}") from error
