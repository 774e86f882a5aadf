"""What the code of a `job.ask(...)` shows before it runs: what its answers are, and what is wrong with it."""

import ast
from collections.abc import Callable
from types import GenericAlias
from typing import Any, Final

from muster_worker.durations import parse_duration_ms

from muster.blueprint.answers import Decision
from muster.blueprint.asking import Escalate, question_of
from muster.blueprint.scope import UNKNOWN
from muster.core.decisions import CANCELLED, LATE

ASKING_WORDS: Final = ("approvers", "quorum", "form", "escalate")
"""Keywords of `job.ask` that name no state."""
_NO_CHOICE: Final = frozenset({"within", LATE, CANCELLED, *ASKING_WORDS})


def asked_type(node: ast.Call, label: str | None, value_of: Callable[[ast.expr], Any]) -> Any:
    """What the state at *label* gets: a Decision, with the form where the code names one."""
    if label == CANCELLED:
        return type(None)
    form = next((keyword.value for keyword in node.keywords if keyword.arg == "form"), None)
    if form is None or label == LATE or not isinstance(form, ast.Name | ast.Attribute):
        return Decision
    kind = value_of(form)
    return GenericAlias(Decision, (kind,)) if isinstance(kind, type) else Decision


def faults_of(node: ast.Call) -> list[tuple[str, str]]:
    """Message and hint of what can never be meant. What only running tells is not looked at."""
    if any(keyword.arg is None for keyword in node.keywords):
        return []
    given = {keyword.arg: _constant(keyword.value) for keyword in node.keywords if keyword.arg is not None}
    choices = [word for word in given if word not in _NO_CHOICE]
    shown: dict[str, Any] = {
        word: given.get(word, default) for word, default in (("approvers", None), ("quorum", 1), ("escalate", ()))
    }
    if any(value is UNKNOWN for value in shown.values()) or not choices:
        shown = {"approvers": None, "quorum": 1, "escalate": ()}
    try:
        within = given.get("within")
        within_ms = None if within is None or within is UNKNOWN else parse_duration_ms(within)
        question_of(choices, form=None, within_ms=within_ms, **shown)
    except (ValueError, TypeError) as error:
        return [(f"asks what cannot be asked: {error}", "see docs/guides/approvals.md")]
    return []


def _constant(node: ast.expr) -> Any:
    """The value that is written there, UNKNOWN where it takes running."""
    match node:
        case ast.List(elts=items) | ast.Tuple(elts=items):
            values = [_constant(item) for item in items]
            return UNKNOWN if any(value is UNKNOWN for value in values) else values
        case ast.Call(func=ast.Name(id="Escalate") | ast.Attribute(attr="Escalate"), args=[], keywords=words):
            fields = {word.arg: _constant(word.value) for word in words if word.arg is not None}
            known = fields.keys() <= {"after", "to"} and "after" in fields and UNKNOWN not in fields.values()
            return Escalate(**fields) if known else UNKNOWN
        case _:
            try:
                return ast.literal_eval(node)
            except ValueError:
                return UNKNOWN
