"""The Lua scripts, one file each, loaded by name. `-- @include NAME` lines are replaced by `_NAME.lua`."""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

INCLUDE = "-- @include "


@dataclass(frozen=True, slots=True)
class Script:
    name: str
    source: str
    sha: str


def names() -> tuple[str, ...]:
    folder = files(__package__)
    return tuple(
        sorted(f.name[:-4] for f in folder.iterdir() if f.name.endswith(".lua") and not f.name.startswith("_"))
    )


@cache
def script(name: str) -> Script:
    """The script as sent to the server; its sha is content-addressed, so mixed versions may run side by side."""
    source = "\n".join(_expand(line) for line in _read(name).splitlines()) + "\n"
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


def _expand(line: str) -> str:
    if not line.startswith(INCLUDE):
        return line
    return "\n".join(_expand(inner) for inner in _read(line.removeprefix(INCLUDE).strip()).splitlines())


def _read(name: str) -> str:
    return (files(__package__) / f"{name}.lua").read_text(encoding="utf-8")
