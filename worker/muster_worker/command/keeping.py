"""Which files a command leaves behind as artifacts. Moves none, but packs folders. All its processes have ended."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from muster_worker.command.contract import CommandParams
from muster_worker.command.packing import packed
from muster_worker.command.steps import NamedFile

NAME_CHARS_MAX: Final = 120
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
SKIPPED_FOLDERS: Final = frozenset({"__pycache__"})
"""And those whose name begins with a dot: caches of a HOME, not what a command was run for."""


@dataclass(frozen=True, slots=True)
class Kept:
    """`path` is resolved and a regular file, `asked` how it was named, `name` what it is called from now on."""

    path: Path
    asked: str
    name: str
    description: str = ""
    step: int | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """A file that was named and cannot be kept."""

    name: str


def files_to_keep(
    params: CommandParams,
    folder: Path,
    directory: Path,
    named: Sequence[NamedFile],
    own: set[str],
    printed: Path | None = None,
) -> list[Kept | Missing]:
    """Each file once, in the order in which they were named.

    Args:
        params: `collect` and `inputs`.
        folder: the task's own directory.
        directory: the working directory; names are relative to it and may not lead out of it.
        named: by markers.
        own: names of files in *folder* that are not the command's.
        printed: the file with what the command printed, where `stdout_file` asks for it.

    Raises:
        OSError: a folder could not be packed.
    """
    found: dict[Path | str, Kept | Missing] = {}
    for file in named:
        _add(found, directory, file.path, file.description, file.step)
    if isinstance(params.collect, tuple):
        for name in params.collect:
            if name.endswith("/"):
                _add_folder(found, folder, directory, name)
            else:
                _add(found, directory, name)
    elif params.collect == "all":
        skipped = {folder / name for name in (*own, *(given.name for given in params.inputs))}
        for path in _files_below(folder):
            if path not in skipped:
                found.setdefault(path, _kept(path, str(path.relative_to(folder))))
    if printed is not None and params.stdout_file is not None and _inside(folder, printed.name) == printed:
        found.setdefault(printed, Kept(printed, params.stdout_file, params.stdout_file))
    return _with_names_of_their_own(list(found.values()))


def output_file(params: CommandParams, kept: Sequence[Kept | Missing]) -> str | None:
    """The first that `collect` names and that is there; else what was printed."""
    names = params.collect if isinstance(params.collect, tuple) else ()
    names = names if params.stdout_file is None else (*names, params.stdout_file)
    there = {file.asked: file.name for file in kept if isinstance(file, Kept)}
    return next((there[name] for name in names if name in there), None)


def _add(
    found: dict[Path | str, Kept | Missing], directory: Path, name: str, description: str = "", step: int | None = None
) -> None:
    path = _inside(directory, name)
    if path is None:
        found.setdefault(name, Missing(name))
    else:
        found.setdefault(path, _kept(path, name, description, step))


def _add_folder(found: dict[Path | str, Kept | Missing], folder: Path, directory: Path, name: str) -> None:
    source = (directory / name).resolve()
    archive = packed(source, folder) if source.is_relative_to(directory) and source.is_dir() else None
    if archive is None:
        found.setdefault(name, Missing(name))
    else:
        found.setdefault(archive, Kept(archive, name, f"{_plain(source.name)}.zip"))


def _kept(path: Path, asked: str, description: str = "", step: int | None = None) -> Kept:
    return Kept(path, asked, _plain(path.name), description, step)


def _with_names_of_their_own(files: list[Kept | Missing]) -> list[Kept | Missing]:
    """A second `report.csv` is called for its folder too, so that none takes another's place."""
    taken: set[str] = set()
    for place, file in enumerate(files):
        if isinstance(file, Kept):
            name, number = file.name, 1
            while name in taken:
                name = f"{_plain(file.path.parent.name)}_{file.name}" if number == 1 else f"{number}_{file.name}"
                number += 1
            taken.add(name)
            files[place] = replace(file, name=name)
    return files


def _plain(name: str) -> str:
    return _UNSAFE.sub("_", name)[-NAME_CHARS_MAX:].strip(".") or "file"


def _inside(directory: Path, name: str) -> Path | None:
    """Links are followed, and may not lead out."""
    try:
        path = (directory / name).resolve()
        return path if path.is_relative_to(directory) and path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # a NUL, a name that is too long, links in a circle
        return None


def _files_below(folder: Path) -> Iterator[Path]:
    """Regular files, links left alone, in the order of their names."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in SKIPPED_FOLDERS and not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                yield path
