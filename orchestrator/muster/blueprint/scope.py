"""What a name in a function's source stands for, without running the function."""

import ast
import builtins
import inspect
from types import CellType, FunctionType, ModuleType, SimpleNamespace
from typing import Any, Final

from muster.blueprint.source import local_names

MISSING: Final[Any] = object()
"""Nothing of that name exists."""
UNKNOWN: Final[Any] = object()
"""It can only be known by running the function."""

_NAMESPACES: Final = (ModuleType, type, SimpleNamespace)
"""Reading an attribute of anything else might run code."""


class Scope:
    def __init__(self, function: FunctionType) -> None:
        self._globals = function.__globals__
        self._locals = local_names(function.__code__)
        self._cells: dict[str, CellType] = dict(
            zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        )

    def is_local(self, name: str) -> bool:
        return name in self._locals and name not in self._cells

    def value(self, node: ast.expr) -> Any:
        """The object a name or a dotted name stands for, else MISSING or UNKNOWN."""
        if isinstance(node, ast.Name):
            return self.named(node.id)
        if isinstance(node, ast.Attribute):
            base = self.value(node.value)
            return getattr(base, node.attr, MISSING) if isinstance(base, _NAMESPACES) else UNKNOWN
        return UNKNOWN

    def named(self, name: str) -> Any:
        if name in self._cells:
            return _content(self._cells[name])
        if name in self._locals:
            return UNKNOWN
        return self._globals.get(name, getattr(builtins, name, MISSING))

    def near(self, name: str) -> list[str]:
        """Names to compare a misspelt one with."""
        return [known for known in (*self._globals, *self._cells) if known != name]


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # assigned later than now
        return MISSING


def plain_function(value: object) -> FunctionType | None:
    """The Python function behind wrapping decorators, or None."""
    if not callable(value):
        return None
    unwrapped = inspect.unwrap(value)
    return unwrapped if isinstance(unwrapped, FunctionType) else None
