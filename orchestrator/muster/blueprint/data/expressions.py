"""JMESPath expressions, bounded in length, depth and work, and checked before any job runs."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

import orjson
from jmespath import exceptions, functions
from jmespath.parser import Parser
from jmespath.visitor import Options, TreeInterpreter

from muster.blueprint.data.budget import TEXT_PER_STEP, Budget, BudgetSpent

EXPRESSION_CHARACTERS_MAX: Final = 1_000
EXPRESSION_DEPTH_MAX: Final = 50
"""Of the syntax tree: the interpreter recurses."""
SHOWN_CHARACTERS_MAX: Final = 500
"""Of a value that is told in an error."""
_SCOPED: Final = frozenset({"comparator", "or_expression", "and_expression", "not_expression", "function_expression",
                            "multi_select_list", "multi_select_dict", "key_val_pair"})  # fmt: skip
"""Nodes whose children all look at what the node itself looks at."""


class ExpressionFault(Exception):
    """Text that is no expression. `column` counts from 1."""

    def __init__(self, message: str, column: int = 1, hint: str = "") -> None:
        super().__init__(message)
        self.column = column
        self.hint = hint


class ExpressionFailed(Exception):
    """An expression, or the value it gave, cannot be used.

    Attributes:
        pointer: where it is written in the blueprint (RFC 6901).
        value: what it was used on, as JSON, cut where it is long.
    """

    def __init__(self, pointer: str, expression: str, value: Any, reason: str) -> None:
        super().__init__(f"{pointer}: {expression}: {reason}")
        self.pointer = pointer
        self.expression = expression
        self.value = shown(value)
        self.reason = reason


class _Functions(functions.Functions):  # type: ignore[misc]  # the library is untyped
    """As the library's, but for one that can make much out of little."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    @functions.signature({"types": ["string"]}, {"types": ["array-string"]})  # type: ignore[untyped-decorator]
    def _func_join(self, separator: str, array: list[str]) -> str:
        self._budget.spend((len(separator) * len(array) + sum(map(len, array))) // TEXT_PER_STEP)
        return separator.join(array)


class _Interpreter(TreeInterpreter):  # type: ignore[misc]  # the library is untyped
    """Pays for every node it visits, and for what is put together before it is used."""

    def __init__(self, budget: Budget) -> None:
        super().__init__(Options(custom_functions=_Functions(budget)))
        self._budget = budget

    def visit(self, node: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        self._budget.spend(1)
        value = super().visit(node, *args, **kwargs)
        kind = node["type"]
        if kind in {"multi_select_list", "multi_select_dict"}:
            self._budget.spend_on(value)
        elif kind in {"flatten", "slice", "function_expression"} and isinstance(value, list | str | dict):
            self._budget.spend(len(value) // (TEXT_PER_STEP if isinstance(value, str) else 1))
        return value


class Expression:
    """One expression of a blueprint, ready to be used on a scope."""

    __slots__ = ("_parsed", "pointer", "text")

    def __init__(self, text: str, pointer: str, names: frozenset[str]) -> None:
        """*names* are the members of the scope. Raises ExpressionFault."""
        self.text = text
        self.pointer = pointer
        self._parsed = _parsed(text)
        _check_functions(self._parsed, text)
        _check_names(self._parsed, text, names)

    def value(self, scope: Mapping[str, Any], budget: Budget) -> Any:
        """Raises ExpressionFailed."""
        try:
            value = _Interpreter(budget).visit(self._parsed, scope)
            budget.spend_on(value)
        except BudgetSpent as error:
            raise self.failed(None, "costs more than one state may spend on its expressions") from error
        except exceptions.JMESPathTypeError as error:
            wanted = " or ".join(error.expected_types)
            reason = f"{error.function_name}() takes {wanted}, not {error.actual_type}"
            raise self.failed(error.current_value, reason) from error
        except (exceptions.JMESPathError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise self.failed(None, f"{type(error).__name__}: {error}") from error
        return value

    def failed(self, value: Any, reason: str) -> ExpressionFailed:
        return ExpressionFailed(self.pointer, self.text, value, reason)


def is_true(value: Any) -> bool:
    """As JMESPath has it: not null, false, or empty. 0 is true."""
    return not (value is None or value is False or value in ("", [], {}))


def shown(value: Any) -> str:
    """*value* as JSON, cut."""
    try:
        text = orjson.dumps(value, default=str).decode()
    except (TypeError, ValueError, RecursionError):
        text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS_MAX else text[:SHOWN_CHARACTERS_MAX] + "…"


def _parsed(text: str) -> Mapping[str, Any]:
    if not text.strip():
        raise ExpressionFault("the expression is empty")
    if len(text) > EXPRESSION_CHARACTERS_MAX:
        raise ExpressionFault(
            f"the expression has {len(text)} characters; at most {EXPRESSION_CHARACTERS_MAX} are read",
            hint="keep a part of it with `set` and go on from there",
        )
    try:
        parsed: Mapping[str, Any] = Parser().parse(text).parsed
        depth = _depth(parsed)
    except exceptions.IncompleteExpressionError as error:
        raise ExpressionFault("the expression ends too early", len(text) + 1) from error
    except exceptions.LexerError as error:
        raise ExpressionFault(str(error.message), error.lexer_position + 1) from error
    except exceptions.ParseError as error:
        found = f"{error.token_value!r} is not expected here" if error.token_value else "the expression ends too early"
        raise ExpressionFault(found, error.lex_position + 1) from error
    except exceptions.JMESPathError as error:
        raise ExpressionFault(str(error)) from error
    except RecursionError:
        depth = EXPRESSION_DEPTH_MAX + 1
    if depth > EXPRESSION_DEPTH_MAX:
        raise ExpressionFault(f"the expression is nested deeper than {EXPRESSION_DEPTH_MAX} levels")
    return parsed


def _nodes(parsed: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    waiting = [parsed]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += [child for child in node.get("children", ()) if isinstance(child, dict)]


def _depth(parsed: Mapping[str, Any]) -> int:
    layer, depth = [parsed], 0
    while layer:
        layer = [child for node in layer for child in node.get("children", ()) if isinstance(child, dict)]
        depth += 1
    return depth


def _check_functions(parsed: Mapping[str, Any], text: str) -> None:
    for node in _nodes(parsed):
        if node["type"] != "function_expression":
            continue
        name = node["value"]
        known = _Functions.FUNCTION_TABLE.get(name)
        column = text.find(name) + 1
        if known is None:
            near = get_close_matches(name, _Functions.FUNCTION_TABLE, 1)
            hint = f"did you mean {near[0]}()?" if near else "functions: jmespath.org/specification.html#functions"
            raise ExpressionFault(f"there is no function {name}()", column, hint)
        wanted, given = known["signature"], len(node["children"])
        is_open = bool(wanted) and wanted[-1].get("variadic", False)
        if given < len(wanted) or (given > len(wanted) and not is_open):
            least = "at least " if is_open else ""
            raise ExpressionFault(f"{name}() takes {least}{len(wanted)} arguments, not {given}", column)


def _check_names(parsed: Mapping[str, Any], text: str, names: frozenset[str]) -> None:
    for name in _roots(parsed):
        if name not in names:
            near = get_close_matches(name, names, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(names))}"
            raise ExpressionFault(f"there is no {name!r} to look at", text.find(name) + 1, hint)


def _roots(node: Mapping[str, Any]) -> Iterator[str]:
    """Members of the scope itself that are named."""
    kind, children = node["type"], node.get("children", ())
    if kind == "field":
        yield node["value"]
    elif kind in _SCOPED:
        for child in children:
            yield from _roots(child)
    elif children and isinstance(children[0], dict) and kind != "expref":
        yield from _roots(children[0])  # the others look at what comes of the first
