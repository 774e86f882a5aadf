"""What commands print: data on stdout, everything else on stderr."""

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeAlias

import orjson
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

Format: TypeAlias = Annotated[
    Literal["table", "json"],
    Parameter(name=["--output", "-o"], help="`table` to read, `json` for programs (keys are those of the API)."),
]

errors = Console(stderr=True, highlight=False)
"""Progress and hints."""


def print_json(data: object) -> None:
    sys.stdout.write(orjson.dumps(data, option=orjson.OPT_INDENT_2, default=str).decode() + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table without lines, whole values even where the terminal is narrow, so that `awk` can read it."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 10_000
    console.print(table)


def hint(text: str) -> None:
    errors.print(text, style="dim", markup=False, soft_wrap=True)


def age(then: datetime | None) -> str:
    """How long ago *then* was, in its largest unit: `12s`, `5m`, `3h`, `2d`."""
    if then is None:
        return "-"
    seconds = max(0, int((datetime.now(UTC) - then).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def compact(value: Any, *, width: int = 60) -> str:
    """*value* as JSON on one line, cut to *width* characters."""
    text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def _cell(value: object) -> str:
    if value is None or value == "":
        return "-"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
