"""YAML as JSON with comments: the core schema of YAML 1.2, so that `on:` is a word and a date is a text.

Read from the parser's events, which need no stack: neither deep nesting nor aliases that double and double again get
far before they are refused. Nothing is ever constructed but JSON.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from muster.blueprint.data.findings import below
from muster.core.limits import JSON_DEPTH_MAX

VALUES_MAX: Final = 50_000
"""Values of one document, those that aliases repeat counted each time."""
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: Final = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None, "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_PLAIN_TAGS: Final = frozenset({None, "!"} | {f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq")})


class YamlRefused(ValueError):
    """Text that is not read. `line` and `column` count from 1; 0 where none is known."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


@dataclass(slots=True)
class _Open:
    """A mapping or sequence that is not closed yet."""

    value: dict[str, Any] | list[Any]
    pointer: str
    anchor: str | None
    before: int
    key: str | None = None
    seen: set[str] = field(default_factory=set[str])

    def place(self) -> str:
        return below(self.pointer, len(self.value) if isinstance(self.value, list) else self.key or "")


@dataclass(slots=True)
class Document:
    """`lines` are those where each value begins, by JSON pointer."""

    value: Any
    lines: dict[str, int]


def read_yaml(text: str) -> Document:
    """The one document of *text*. Raises YamlRefused."""
    reader = _Reader()
    try:
        for event in _events(text):
            reader.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
        raise YamlRefused(f"this is not YAML: {error.problem or error}", *where) from error
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, YamlRefused):
            raise
        raise YamlRefused(f"this is not YAML: {error}") from error
    if reader.documents != 1:
        raise YamlRefused(f"there are {reader.documents} documents; exactly one is read")
    return Document(reader.root, reader.lines)


def _events(text: str) -> Iterator[Any]:
    loader = _LOADER(text)
    try:
        while loader.check_event():
            yield loader.get_event()
    finally:
        loader.dispose()


class _Reader:
    def __init__(self) -> None:
        self.root: Any = None
        self.documents = 0
        self.lines: dict[str, int] = {}
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._count = 0

    def take(self, event: Any) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self.documents += 1
            case yaml.AliasEvent():
                self._take_alias(event)
            case yaml.ScalarEvent():
                self._take_scalar(event)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._begin(event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._end(event)
            case _:
                pass  # begin and end of the stream

    def _take_alias(self, event: Any) -> None:
        if self._awaits_key():
            raise _refused("an alias is no key", event)
        known = self._anchors.get(event.anchor)
        if known is None:
            raise _refused(f"the alias *{event.anchor} comes before its anchor, or inside of it", event)
        value, size = known
        self._spend(size, event)
        if len(self._open) + _depth(value) > JSON_DEPTH_MAX:
            raise _refused(f"nested deeper than {JSON_DEPTH_MAX} levels", event)
        self._put(value, event)

    def _take_scalar(self, event: Any) -> None:
        self._spend(1, event)
        if self._awaits_key():
            self._take_key(event)
            return
        if event.tag not in _PLAIN_TAGS:
            raise _refused(f"the tag {event.tag!r} is not read", event)
        value = event.value if event.style or event.tag not in {None, "!"} else _plain(event.value)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, 1)
        self._put(value, event)

    def _take_key(self, event: Any) -> None:
        holder = self._open[-1]
        if event.value == "<<" and not event.style:
            raise _refused("merge keys (<<) are not read: repeat the member with an alias", event)
        if event.value in holder.seen:
            raise _refused(f"the key {event.value!r} comes twice", event)
        holder.seen.add(event.value)
        holder.key = event.value

    def _begin(self, event: Any) -> None:
        self._spend(1, event)
        if event.tag not in _PLAIN_TAGS:
            raise _refused(f"the tag {event.tag!r} is not read", event)
        if self._awaits_key():
            raise _refused("a key is a text, not a mapping or a list", event)
        if len(self._open) >= JSON_DEPTH_MAX:
            raise _refused(f"nested deeper than {JSON_DEPTH_MAX} levels", event)
        pointer = self._open[-1].place() if self._open else ""
        value: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        self.lines[pointer] = event.start_mark.line + 1
        self._open.append(_Open(value, pointer, event.anchor, self._count))

    def _end(self, event: Any) -> None:
        closed = self._open.pop()
        if closed.anchor is not None:
            self._anchors[closed.anchor] = (closed.value, self._count - closed.before + 1)
        self._put(closed.value, event, is_new=False)

    def _put(self, value: Any, event: Any, *, is_new: bool = True) -> None:
        if not self._open:
            self.root = value
            return
        holder = self._open[-1]
        if is_new:
            self.lines[holder.place()] = event.start_mark.line + 1
        if isinstance(holder.value, list):
            holder.value.append(value)
            return
        assert holder.key is not None, "a value follows its key"
        holder.value[holder.key] = value
        holder.key = None

    def _awaits_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].value, dict) and self._open[-1].key is None

    def _spend(self, values: int, event: Any) -> None:
        self._count += values
        if self._count > VALUES_MAX:
            raise _refused(f"more than {VALUES_MAX} values, counting those that aliases repeat", event)


def _plain(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _depth(value: Any) -> int:
    layer, depth = [value], 0
    while layer := [child for one in layer for child in _children(one)]:
        depth += 1
    return depth + 1


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _refused(message: str, event: Any) -> YamlRefused:
    mark = event.start_mark
    return YamlRefused(message, mark.line + 1, mark.column + 1)
