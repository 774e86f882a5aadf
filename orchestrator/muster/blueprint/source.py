"""Where a function is written: its syntax tree, from the very source it was compiled from."""

import ast
import linecache
from functools import lru_cache
from types import CodeType, FunctionType

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


def node_of(function: FunctionType) -> FunctionNode | None:
    """None where there is no source, as in an interactive session."""
    code = function.__code__
    text = "".join(linecache.getlines(code.co_filename, function.__globals__))
    return _nodes(text).get((code.co_name, code.co_firstlineno)) if text else None


def line_of(function: FunctionType) -> int:
    """The line of `def`, below the decorators."""
    node = node_of(function)
    return node.lineno if node else function.__code__.co_firstlineno


def local_names(code: CodeType) -> frozenset[str]:
    """Names bound inside a function or the functions inside it: none of them means a global."""
    nested = (local_names(const) for const in code.co_consts if isinstance(const, CodeType))
    return frozenset(code.co_varnames + code.co_cellvars).union(*nested)


def global_names(code: CodeType) -> list[str]:
    """Names of globals and attributes a function uses, those inside it included, in no promised order."""
    nested = (name for const in code.co_consts if isinstance(const, CodeType) for name in global_names(const))
    return list(dict.fromkeys([*code.co_names, *code.co_freevars, *nested]))


@lru_cache(maxsize=32)
def _nodes(text: str) -> dict[tuple[str, int], FunctionNode]:
    """Functions by name and first line; like the compiler, decorators counted."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return {}
    return {(node.name, _first_line(node)): node for node in ast.walk(tree) if isinstance(node, FunctionNode)}


def _first_line(node: FunctionNode) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
