"""What a line of stdout may say about steps, files and figures. Pure: one line in, one marker or nothing out.

STEP_START:<name> [key=value] ...      STEP_COMPLETE:<name>      STEP_ERROR:<text>
ARTIFACT:<path>:<description>          META:<key>:<value>
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

MARKER_CHARS_MAX: Final = 4096
"""A longer line is output, whatever it begins with."""
_GROUP: Final = re.compile(r"\s*\[([^\[\]=]+)=([^\[\]]*)\]\s*$")
_BLANKS: Final = " \t"


@dataclass(frozen=True, slots=True)
class StepStart:
    name: str
    pairs: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class StepComplete:
    name: str


@dataclass(frozen=True, slots=True)
class StepError:
    text: str


@dataclass(frozen=True, slots=True)
class Artifact:
    """`path` as the command wrote it: nobody has checked it."""

    path: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Meta:
    key: str
    value: str


Marker: TypeAlias = StepStart | StepComplete | StepError | Artifact | Meta


def parse(line: str) -> Marker | None:
    """The marker that *line* (without its end) is. Blanks may stand before it, nothing else.

    >>> parse("STEP_START:build [duration=60]")
    StepStart(name='build', pairs={'duration': '60'})
    >>> parse("done. STEP_COMPLETE:build") is None
    True
    """
    if len(line) > MARKER_CHARS_MAX:
        return None
    word, colon, rest = line.lstrip(_BLANKS).partition(":")
    if not colon:
        return None
    match word:
        case "STEP_START":
            return _step_start(rest)
        case "STEP_COMPLETE":
            return StepComplete(rest.strip()) if rest.strip() else None
        case "STEP_ERROR":
            return StepError(rest.strip())
        case "ARTIFACT":
            path, _, description = rest.partition(":")
            return Artifact(path.strip(), description.strip()) if path.strip() else None
        case "META":
            key, colon, value = rest.partition(":")
            return Meta(key.strip(), value.strip()) if colon and key.strip() else None
        case _:
            return None


def _step_start(rest: str) -> StepStart | None:
    """The groups are taken from the end, so that a name may hold brackets of its own."""
    pairs: dict[str, str] = {}
    while (group := _GROUP.search(rest)) is not None:
        pairs = {group[1].strip(): group[2].strip(), **pairs}
        rest = rest[: group.start()]
    name = rest.strip()
    return StepStart(name, pairs) if name else None
