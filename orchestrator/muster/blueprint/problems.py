"""What can be wrong with a blueprint, told with file and line, all at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

from pydantic import ValidationError

_FILE_COLUMN: Final = 72


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `blueprint` is empty where the file could not even be read; `line` 0 where none is known.

    `pointer` (RFC 6901) and `column` of an expression belong to blueprints that are data.
    """

    blueprint: str
    file: str
    line: int
    message: str
    hint: str = ""
    pointer: str = ""
    column: int = 0


class BlueprintError(Exception):
    """A blueprint cannot be used, or one of its states decided nonsense. `problems` is never empty."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__(problems_text(self.problems))


class InputInvalid(Exception):
    """A client's `initial_data` does not fit the blueprint's input.

    Attributes:
        errors: one `{"pointer": "/lines/0/sku", "detail": "Field required"}` per mistake.
    """

    def __init__(self, errors: list[dict[str, str]]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{error['pointer'] or '/'}: {error['detail']}" for error in errors))


def problems_text(problems: Iterable[Problem]) -> str:
    """The problems of each blueprint below a line that names it and its file."""
    ordered = sorted(problems, key=lambda p: (p.file, p.blueprint, p.line))
    groups = groupby(ordered, key=lambda p: (p.file, p.blueprint))
    return "\n".join(_group_text(file, blueprint, list(group)) for (file, blueprint), group in groups)


def pointers(error: ValidationError) -> list[dict[str, str]]:
    """Pydantic's findings as JSON pointers (RFC 6901) with a sentence each."""
    return [{"pointer": _pointer(item["loc"]), "detail": item["msg"]} for item in error.errors(include_url=False)]


def said(error: ValidationError) -> str:
    """Pydantic's findings on one line."""
    return "; ".join(f"{item['pointer'] or 'the value'}: {item['detail']}" for item in pointers(error))


def shown(file: str) -> str:
    """The path as the person typed it, where it is below the current folder."""
    try:
        return str(Path(file).relative_to(Path.cwd()))
    except ValueError:
        return file


def _group_text(file: str, blueprint: str, problems: list[Problem]) -> str:
    count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
    title = f"blueprint {blueprint!r} has {count}" if blueprint else f"{count} before any blueprint was read"
    return "\n".join([f"{title:<{_FILE_COLUMN}} {shown(file)}".rstrip(), *map(_problem_text, problems)])


def _problem_text(problem: Problem) -> str:
    place = f"line {problem.line}" if problem.line else "-"
    message = f"{problem.pointer}: {problem.message}" if problem.pointer else problem.message
    text = f"  {place:<8} {message}"
    return f"{text}\n{'':11}{problem.hint}" if problem.hint else text


def _pointer(loc: tuple[int | str, ...]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in loc)
