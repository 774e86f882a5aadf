"""Blueprints from files: a `.py` or `.yaml` file, a folder of them, or an importable module."""

import importlib
import importlib.util
import linecache
import sys
import traceback
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from muster.blueprint.definition import AnyBlueprint, Blueprint
from muster.blueprint.problems import BlueprintError, Problem

_SKIPPED_PREFIXES: Final = ("_", ".", "test_")
_SKIPPED_NAMES: Final = ("conftest", "worker")
_SKIPPED_SUFFIX: Final = "_worker"
DATA_SUFFIXES: Final = (".yaml", ".yml", ".json")
"""Files with a blueprint that is data. In a folder only YAML that looks like one is taken for it."""

_siblings: Final[set[str]] = set()
"""Modules that were imported from a blueprint folder while loading it, to be read afresh by the next load."""


@dataclass(slots=True)
class Loaded:
    """`sources` are the files that were looked at."""

    blueprints: list[AnyBlueprint] = field(default_factory=list["AnyBlueprint"])
    sources: set[str] = field(default_factory=set[str])
    problems: list[Problem] = field(default_factory=list[Problem])


def load_blueprints(path_or_module: str | Path) -> Loaded:
    """Never raises for what is in the files: what is wrong is in `problems`.

    In a folder, files named `worker.py`, `*_worker.py`, `test_*.py`, `conftest.py` and `_*.py` are left alone, and so
    are YAML files with neither `states` nor `start`.
    """
    path = Path(path_or_module)
    if path.is_dir():
        return _load_folder(path.resolve())
    if path.is_file():
        return _load_files([path.resolve()], path.resolve().parent)
    text = str(path_or_module)
    if (
        path.suffix in {".py", *DATA_SUFFIXES}
        or "/" in text
        or not all(part.isidentifier() for part in text.split("."))
    ):
        return _refused(text, "there is no such file or folder", "give a .py or .yaml file, a folder or a module")
    return _load_module(text)


def _load_folder(folder: Path) -> Loaded:
    found = [path for path in sorted(folder.iterdir()) if path.suffix in {".py", ".yaml", ".yml"} and path.is_file()]
    return _load_files([path for path in found if not _is_skipped(path)], folder, whole=True)


def _is_skipped(path: Path) -> bool:
    name = path.stem
    return name.startswith(_SKIPPED_PREFIXES) or name in _SKIPPED_NAMES or name.endswith(_SKIPPED_SUFFIX)


def _load_files(paths: list[Path], folder: Path, *, whole: bool = False) -> Loaded:
    loaded = Loaded(sources={str(path) for path in paths})
    with _importable(folder):
        for path in paths:
            if path.suffix in DATA_SUFFIXES:
                _load_data(path, loaded, whole=whole)
                continue
            try:
                found = _defined_in(_run(path), str(path))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's module may raise anything
                loaded.problems.append(_import_problem(str(path), error))
                continue
            if not found and not whole:
                loaded.problems.append(_nothing(str(path)))
            loaded.blueprints += found
    return loaded


def _load_data(path: Path, loaded: Loaded, *, whole: bool) -> None:
    from muster.blueprint.data.files import load_file

    try:
        found = load_file(path, is_sure=not whole)
    except BlueprintError as error:
        loaded.problems += error.problems
    else:
        loaded.blueprints += [] if found is None else [found]


def _run(path: Path) -> ModuleType:
    """Run a file as a module with a name of its own: a blueprint called `email.py` must hide nobody's `email`."""
    text = path.read_bytes()
    name = f"muster_blueprint_{path.stem}_{sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(path))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    code = compile(text, str(path), "exec", dont_inherit=True)
    source = importlib.util.decode_source(text)
    # Without a time of change: the tree read later is of what was run, not of what the file has become.
    linecache.cache[str(path)] = (len(source), None, source.splitlines(keepends=True), str(path))
    sys.modules[name] = module
    exec(code, module.__dict__)  # noqa: S102 - that is what loading a module means
    return module


@contextmanager
def _importable(folder: Path) -> Generator[None, None, None]:
    """While inside, modules next to the blueprints can be imported by their plain names."""
    for name in _siblings:
        sys.modules.pop(name, None)
    _siblings.clear()
    importlib.invalidate_caches()
    known = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        new = {name: module for name, module in sys.modules.items() if name not in known}
        _siblings.update(name for name, module in new.items() if _is_below(module, folder) and "." not in name)


def _is_below(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and module.__spec__ is not None and Path(file).parent == folder


def _load_module(name: str) -> Loaded:
    try:
        module = importlib.reload(sys.modules[name]) if name in sys.modules else importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            return _refused(name, f"there is no module {error.name!r}", "install it, or give a .py file or a folder")
        return Loaded(sources={name}, problems=[_import_problem(name, error)])
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's module may raise anything
        return Loaded(sources={name}, problems=[_import_problem(name, error)])
    file = str(getattr(module, "__file__", None) or name)
    found = _unique(vars(module).values())
    return Loaded(found, {file, *(blueprint.file for blueprint in found)}, [] if found else [_nothing(file)])


def _defined_in(module: ModuleType, file: str) -> list[AnyBlueprint]:
    """Not those imported from another file: that file brings them itself."""
    return [b for b in _unique(vars(module).values()) if b.file == file]


def _unique(values: Iterable[Any]) -> list[AnyBlueprint]:
    return list({id(value): value for value in values if isinstance(value, Blueprint)}.values())


def _import_problem(file: str, error: BaseException) -> Problem:
    line = error.lineno or 0 if isinstance(error, SyntaxError) else _line_in(file, error)
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return Problem("", file, line, f"cannot be imported: {type(error).__name__}: {text}")


def _line_in(file: str, error: BaseException) -> int:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return (lines[-1] or 0) if lines else 0


def _nothing(file: str) -> Problem:
    return Problem("", file, 0, "has no blueprint", "write name = Blueprint(...) at the top level of the file")


def _refused(text: str, message: str, hint: str) -> Loaded:
    return Loaded(sources={text}, problems=[Problem("", text, 0, message, hint)])
