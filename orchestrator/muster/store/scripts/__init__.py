"""The Lua scripts, one file each, loaded by name.

Lines `-- @include NAME` are replaced by what is used of `_NAME.lua`, and `limits.NAME` by that bound of core/limits.py.

A server makes every function of a script anew at each call, also those that are never called: eighty of them took
25 us, as long as what the script was called for. So a script carries the functions it needs and no other.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from muster.core import limits

INCLUDE: Final = "-- @include "
_FUNCTION: Final = re.compile(r"local function (\w+)")
_COMMENT: Final = re.compile(r"--.*")
_LIMIT: Final = re.compile(r"\blimits\.([A-Z_]+)")
_WORD: Final = re.compile(r"[A-Za-z_]\w*")


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
    source = _used(_expanded(name))
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


def _expanded(name: str) -> str:
    """The file's text; an included one may include others."""
    return "\n".join(
        _expanded(line.removeprefix(INCLUDE).strip()) if line.startswith(INCLUDE) else line
        for line in _read(name).splitlines()
    )


@cache
def _read(name: str) -> str:
    text = (files(__package__) / f"{name}.lua").read_text(encoding="utf-8")
    return _LIMIT.sub(lambda found: str(getattr(limits, found[1])), text)


def _used(source: str) -> str:
    """*source* without functions that nobody calls. Read from its end: what is called stands before its callers."""
    header, mark, code = source.partition("]]\n")
    called: set[str] = set()
    kept: list[str] = []
    for text in reversed(list(_parts(code))):
        function = _FUNCTION.match(text)
        if function is None or function[1] in called:
            kept.append(text)
            called.update(_words(text))
    return header + mark + "\n".join(reversed(kept)) + "\n"


@cache
def _words(text: str) -> frozenset[str]:
    """Of the code. Most texts are of files that many scripts include."""
    return frozenset(_WORD.findall(_COMMENT.sub("", text)))


def _parts(source: str) -> Iterator[str]:
    """Each function at the margin, from `local function` to its `end`, and the lines between."""
    lines: list[str] = []
    for line in source.splitlines():
        lines.append(line)
        if line == "end" or not lines[0].startswith("local function "):
            yield "\n".join(lines)
            lines = []
