"""From what a client wants to what is started: checked against what this worker allows. No process yet."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from muster_worker.command.contract import REQUIREMENTS, CommandParams
from muster_worker.command.process import NotStarted, Order
from muster_worker.command.settings import CommandSettings

SCRIPT_MODE: Final = 0o700
INSTALL: Final = (
    '"$1" -m venv .venv && .venv/bin/python -m pip install --quiet --disable-pip-version-check -r '
    f'{REQUIREMENTS} && shift && exec .venv/bin/python "$@"'
)
"""In the task's own directory, and under the command's own limits."""


class NotAllowed(Exception):
    """This worker does not run that; the text says what it would."""


def plan(params: CommandParams, settings: CommandSettings, folder: Path, env: Mapping[str, str]) -> Order:
    """What to start. Writes the script into *folder*; *env* is the worker's own environment.

    Raises:
        NotAllowed: a program, runtime, directory or wish that this worker's settings do not name.
        NotStarted: there is no such program.
    """
    directory = _directory(params, settings, folder)
    environment = _environment(params, folder, env)
    argv = _argv(params, settings, folder)
    is_restricted = params.argv is not None and not settings.allows_any_program
    path = env.get("PATH", os.defpath) if is_restricted else environment["PATH"]
    return Order(_program(argv[0], path), argv, directory, environment, settings.limits.rlimits())


def script_names(params: CommandParams) -> set[str]:
    """Files that `plan` writes: nothing to keep."""
    names = set() if params.script_content is None else {_script_name(params)}
    return names if params.requirements_content is None else names | {REQUIREMENTS}


def _argv(params: CommandParams, settings: CommandSettings, folder: Path) -> tuple[str, ...]:
    if params.argv is not None:
        if not settings.allows(params.argv[0]):
            raise NotAllowed(f"this worker does not run {params.argv[0]!r}; it runs {_listed(settings.programs)}")
        return params.argv
    interpreter = settings.runtimes.get(params.runtime or "")
    if interpreter is None:
        raise NotAllowed(f"this worker has no runtime {params.runtime!r}; it has {_listed(settings.runtimes)}")
    script = _write(folder / _script_name(params), params.script_content or "")
    if params.requirements_content is None:
        return (*interpreter, str(script), *params.args)
    if not settings.allow_requirements:
        raise NotAllowed("this worker installs no requirements (allow_requirements is off)")
    _write(folder / REQUIREMENTS, params.requirements_content)
    return ("/bin/sh", "-c", INSTALL, "sh", *interpreter, str(script), *params.args)


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
    path.chmod(SCRIPT_MODE)
    return path


def _script_name(params: CommandParams) -> str:
    """Never the name of an input."""
    name = "script.py" if (params.runtime or "").startswith("python") else "script"
    taken = {REQUIREMENTS, *(given.name for given in params.inputs)}
    while name in taken:
        name = f"_{name}"
    return name


def _directory(params: CommandParams, settings: CommandSettings, folder: Path) -> Path:
    if not params.working_directory:
        return folder
    # Links are followed first: what counts is where it really is.
    directory = (folder / params.working_directory).resolve()
    if directory.is_relative_to(folder):
        directory.mkdir(parents=True, exist_ok=True)
        return directory
    if not settings.allows_folder(directory):
        raise NotAllowed(
            f"this worker does not run commands in {params.working_directory!r}; it does in the task's own directory"
            + "".join(f" and below {root}" for root in settings.folders)
        )
    return directory


def _environment(params: CommandParams, folder: Path, env: Mapping[str, str]) -> dict[str, str]:
    """Nothing of the worker's own but PATH and LANG: its token stays with it."""
    own = {"PATH": env.get("PATH", os.defpath), "HOME": str(folder), "LANG": env.get("LANG", "C.UTF-8")}
    return {**own, **params.environment}


def _program(name: str, path: str) -> str:
    if "/" in name:
        return name
    found = shutil.which(name, path=path)
    if found is None:
        raise NotStarted(f"there is no program {name!r} on this worker's path")
    return str(Path(found).absolute())


def _listed(names: object) -> str:
    return ", ".join(sorted(map(str, names))) if names else "none"  # type: ignore[call-overload]
