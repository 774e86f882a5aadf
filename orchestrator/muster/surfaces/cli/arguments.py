"""From the arguments that a client gives to the words of a command line. Pure: nothing is looked up."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, TypeAlias

from muster.surfaces.cli.definition import ALL_ARGUMENTS, PLACEHOLDER, POSITIONAL, Argument, Command, Scalar, Value

FILE_PREFIX: Final = "file_id:"
"""A value that begins so stands for an uploaded file."""
STANDARD_STREAM: Final = "-"
"""As a file name: stdout, which is kept anyway."""

Given: TypeAlias = Mapping[str, tuple[str, ...] | bool]
"""By argument: its values as texts, or True for a flag without one. In the order in which they are passed."""


class ArgumentsRefused(ValueError):
    """`problems` holds (argument, sentence) of everything that is wrong; `allowed` what there is, if that is it."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class CommandLine:
    """`collect` names the files that the command is to leave behind; a folder ends with `/`."""

    argv: tuple[str, ...]
    collect: tuple[str, ...]


def given_arguments(command: Command, args: Mapping[str, Value]) -> Given:
    """*args* checked against what *command* declares, with its defaults; nothing for false and null.

    Raises:
        ArgumentsRefused: with everything that is wrong.
    """
    reader = _Reader(command, args)
    given = reader.read()
    if reader.problems:
        raise ArgumentsRefused(reader.problems)
    return given


def file_ids(given: Given) -> tuple[str, ...]:
    """Of the uploaded files that *given* names, each once, in order."""
    texts = (text for values in given.values() if not isinstance(values, bool) for text in values)
    return tuple(dict.fromkeys(text.removeprefix(FILE_PREFIX) for text in texts if text.startswith(FILE_PREFIX)))


def command_line(command: Command, given: Given, files: Mapping[str, str]) -> CommandLine:
    """The words to run. *files* has the name of each uploaded file in the task's directory, by its id."""

    def text_of(text: str) -> str:
        return files[text.removeprefix(FILE_PREFIX)] if text.startswith(FILE_PREFIX) else text

    words: list[str] = []
    placed = command.placed
    others = list(_mapped(command, {name: given[name] for name in given if name not in placed}, text_of))
    for word in command.argv:
        words += others if word == ALL_ARGUMENTS else [_filled(word, given, text_of)]
    if ALL_ARGUMENTS not in command.argv:
        words += others
    return CommandLine(tuple(words), tuple(dict.fromkeys(_outputs(command, given))))


def _filled(word: str, given: Given, text_of: Callable[[str], str]) -> str:
    def value(name: str) -> str:
        values = given.get(name, ())
        return text_of(values[0]) if not isinstance(values, bool) and values else ""

    return PLACEHOLDER.sub(lambda found: value(found[1]) if found[1] else found[0][0], word)


def _mapped(command: Command, given: Given, text_of: Callable[[str], str]) -> Iterator[str]:
    """Positional arguments first, as a flag with several values would swallow them."""
    for argument in command.args:
        values = given.get(argument.name)
        if argument.positional and values is not None and not isinstance(values, bool):
            yield from map(text_of, values)
    extra = given.get(POSITIONAL, ())
    if not isinstance(extra, bool):
        yield from map(text_of, extra)
    for name, values in given.items():
        declared = command.argument(name)
        if name == POSITIONAL or (declared is not None and declared.positional):
            continue
        flag = _flag(name) if declared is None else declared.shown_flags[-1]
        if isinstance(values, bool):
            yield flag
        elif declared is not None and declared.nargs is not None:
            yield flag
            yield from map(text_of, values)
        else:
            for text in values:
                yield from _flag_with(flag, text_of(text))


def _flag_with(flag: str, text: str) -> Iterator[str]:
    """As one word where the program would take the value for another option."""
    if not _is_like_option(text):
        yield from (flag, text)
    elif len(flag) == _SHORT_FLAG:
        yield flag + text
    else:
        yield f"{flag}={text}"


def _is_like_option(text: str) -> bool:
    return text.startswith("-") and text != STANDARD_STREAM and _NUMBERS["float"].fullmatch(text) is None


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _outputs(command: Command, given: Given) -> Iterator[str]:
    for name, text in _output_values(command, given):
        yield text.rstrip("/") + "/" if name in command.output_folders else text


def _output_values(command: Command, given: Given) -> Iterator[tuple[str, str]]:
    for name in (*command.outputs, *command.output_folders):
        values = given.get(name, ())
        if isinstance(values, bool):
            continue
        for text in values:
            if text and text != STANDARD_STREAM and "://" not in text and not text.startswith(FILE_PREFIX):
                yield name, text


def _input_values(command: Command, given: Given) -> Iterator[tuple[str, str]]:
    for argument in command.args:
        values = given.get(argument.name, ())
        if argument.file and not isinstance(values, bool):
            yield from ((argument.name, text) for text in values if not text.startswith(FILE_PREFIX))


class _Reader:
    """Collects every problem before it refuses."""

    def __init__(self, command: Command, args: Mapping[str, Value]) -> None:
        self._command = command
        self._args = args
        self.problems: list[tuple[str, str]] = []

    def read(self) -> Given:
        given: dict[str, tuple[str, ...] | bool] = {}
        unnamed = self._unnamed()
        for argument in self._command.args:
            value = self._args.get(argument.name)
            if argument.positional and _is_nothing(value):
                value = _taken(argument, unnamed)
            values = self._values(argument, argument.default if _is_nothing(value) else value)
            if values is not None:
                given[argument.name] = values
            elif argument.required and not self._has_problem(argument.name):
                self._say(argument.name, "is required")
        given |= self._undeclared()
        if unnamed:
            if self._command.more_arguments:
                texts = tuple(_text(value) for value in unnamed)
                given[POSITIONAL] = texts
                if any(map(_is_like_option, texts)):
                    self._say(POSITIONAL, _LIKE_OPTION)
            else:
                self._say(POSITIONAL, f"has {len(unnamed)} more than the command takes")
        for name, text in (*_output_values(self._command, given), *_input_values(self._command, given)):
            if _leads_out(text):
                self._say(name, f"{text[:100]!r} must be a relative path that stays inside of the job's directory")
        return given

    def _unnamed(self) -> list[Scalar]:
        value = self._args.get(POSITIONAL)
        items = value if isinstance(value, list) else [value]
        return [item for item in items if item is not None and not isinstance(item, bool)]

    def _undeclared(self) -> dict[str, tuple[str, ...] | bool]:
        found: dict[str, tuple[str, ...] | bool] = {}
        for name, value in self._args.items():
            if name == POSITIONAL or self._command.argument(name) is not None or _is_nothing(value):
                continue
            if not self._command.more_arguments:
                self._say(name, f"is no argument of this command; it takes {self._names() or 'none'}")
            elif _FLAG_NAME.fullmatch(name) is None:
                self._say(name, "cannot be a flag: use letters, digits, - and _")
            elif value is True:
                found[name] = True
            else:
                items = value if isinstance(value, list) else [value]
                found[name] = tuple(_text(item) for item in items if item is not None and not isinstance(item, bool))
        return found

    def _values(self, argument: Argument, value: Value) -> tuple[str, ...] | bool | None:
        """None: nothing was given, or what was given is wrong."""
        if _is_nothing(value):
            return None
        if argument.type == "bool":
            if value is not True:
                self._say(argument.name, f"must be true or false, not {_shown(value)}")
                return None
            return True
        items = [item for item in (value if isinstance(value, list) else [value]) if item is not None]
        if not items:
            return None
        complaint = self._wrong_count(argument, len(items)) or next(
            filter(None, (_wrong(argument, i) for i in items)), None
        )
        if complaint is None and not self._may_begin_with_dash(argument, value):
            complaint = _LIKE_OPTION if any(_is_like_option(_text(item)) for item in items) else None
        if complaint is not None:
            self._say(argument.name, complaint)
            return None
        return tuple(_text(item) for item in items)

    def _may_begin_with_dash(self, argument: Argument, value: Value) -> bool:
        """Its values follow a flag in one word, or whoever declared the command wrote them."""
        leads_word = any(found and found[1] == argument.name for found in map(PLACEHOLDER.match, self._command.argv))
        stands_alone = argument.positional or argument.nargs is not None or leads_word
        return not stands_alone or argument.choices is not None or value is argument.default

    def _wrong_count(self, argument: Argument, count: int) -> str | None:
        if isinstance(argument.nargs, int) and count != argument.nargs:
            return f"takes {argument.nargs} values, not {count}"
        is_single = argument.name in self._command.placed or (argument.positional and argument.nargs is None)
        return f"takes one value, not {count}" if is_single and count != 1 else None

    def _names(self) -> str:
        return ", ".join(argument.name for argument in self._command.args)

    def _say(self, name: str, text: str) -> None:
        self.problems.append((name[:100], text))

    def _has_problem(self, name: str) -> bool:
        return any(known == name for known, _ in self.problems)


def _taken(argument: Argument, unnamed: list[Scalar]) -> list[Scalar | None] | None:
    """As many of *unnamed* as *argument* takes."""
    count = len(unnamed) if argument.nargs in {"+", "*"} else argument.nargs or 1
    assert isinstance(count, int)
    taken: list[Scalar | None] = [*unnamed[:count]]
    del unnamed[:count]
    return taken or None


def _wrong(argument: Argument, value: Scalar) -> str | None:
    """Why *value* does not fit."""
    if isinstance(value, bool):
        return f"must be {_KINDS[argument.type]}, not {_shown(value)}"
    if argument.type in {"int", "float"}:
        complaint = _wrong_number(argument, value)
        if complaint is not None:
            return complaint
    if argument.choices is not None and _text(value) not in {_text(choice) for choice in argument.choices}:
        return f"must be one of {', '.join(_text(choice) for choice in argument.choices)}, not {_shown(value)}"
    return "must not hold a NUL character" if "\0" in _text(value) else None


def _wrong_number(argument: Argument, value: Scalar) -> str | None:
    if _NUMBERS[argument.type].fullmatch(_text(value)) is None:
        return f"must be {_KINDS[argument.type]}, not {_shown(value)}"
    number = float(_text(value))
    if argument.minimum is not None and not number >= argument.minimum:
        return f"must be at least {argument.minimum:g}"
    if argument.maximum is not None and not number <= argument.maximum:
        return f"must be at most {argument.maximum:g}"
    return None


_LIKE_OPTION: Final = "must not begin with '-', as an option does"
_SHORT_FLAG: Final = len("-x")
_FLAG_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_NUMBERS: Final = {
    "int": re.compile(r"[+-]?[0-9]{1,18}"),
    "float": re.compile(r"[+-]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,3})?"),
}
_KINDS: Final = {"str": "a text", "int": "a whole number", "float": "a number", "bool": "true or false"}


def _is_nothing(value: Value) -> bool:
    return value is None or value is False or value == []


def _leads_out(text: str) -> bool:
    path = PurePosixPath(text)
    return path.is_absolute() or ".." in path.parts


def _text(value: Scalar) -> str:
    return value if isinstance(value, str) else str(value)


def _shown(value: object) -> str:
    return repr(value)[:100]
