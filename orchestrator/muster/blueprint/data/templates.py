"""Values with expressions in them. One rule everywhere: `${…}` is an expression, all else stands for itself.

A text that is one `${…}` is the expression's value, whatever its type. In a longer text the value is put in as text:
a text as it is, anything else as JSON. `$${` is a plain `${`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import orjson

from muster.blueprint.data.budget import Budget
from muster.blueprint.data.expressions import Expression, ExpressionFault
from muster.blueprint.data.findings import Findings, below

OPENING: Final = "${"
ESCAPED: Final = "$${"


@dataclass(frozen=True, slots=True)
class Literal:
    value: Any

    def render(self, scope: Mapping[str, Any], budget: Budget) -> Any:
        del scope, budget
        return self.value


@dataclass(frozen=True, slots=True)
class Computed:
    expression: Expression

    def render(self, scope: Mapping[str, Any], budget: Budget) -> Any:
        return self.expression.value(scope, budget)


@dataclass(frozen=True, slots=True)
class Text:
    parts: tuple[str | Expression, ...]

    def render(self, scope: Mapping[str, Any], budget: Budget) -> str:
        return "".join(part if isinstance(part, str) else as_text(part.value(scope, budget)) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Array:
    items: "tuple[Template, ...]"

    def render(self, scope: Mapping[str, Any], budget: Budget) -> list[Any]:
        return [item.render(scope, budget) for item in self.items]


@dataclass(frozen=True, slots=True)
class Object:
    members: "Mapping[str, Template]"

    def render(self, scope: Mapping[str, Any], budget: Budget) -> dict[str, Any]:
        return {name: member.render(scope, budget) for name, member in self.members.items()}


Template: TypeAlias = Literal | Computed | Text | Array | Object


def template_of(value: Any, pointer: str, names: frozenset[str], found: Findings) -> Template:
    """*value* as a template over a scope with the members *names*; what is wrong with it goes to *found*."""
    if isinstance(value, str):
        return _text(value, pointer, names, found)
    if isinstance(value, list):
        items = tuple(template_of(item, below(pointer, place), names, found) for place, item in enumerate(value))
        return Literal(value) if all(isinstance(item, Literal) for item in items) else Array(items)
    if isinstance(value, dict):
        members = {name: template_of(item, below(pointer, name), names, found) for name, item in value.items()}
        return Literal(value) if all(isinstance(item, Literal) for item in members.values()) else Object(members)
    return Literal(value)


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _text(value: str, pointer: str, names: frozenset[str], found: Findings) -> Template:
    try:
        parts = tuple(_parts(value, pointer, names))
    except ExpressionFault as fault:
        found.add(pointer, f"{fault} (column {fault.column} of {value[:80]!r})", fault.hint, column=fault.column)
        return Literal(value)
    if all(isinstance(part, str) for part in parts):
        text = "".join(str(part) for part in parts)
        return Literal(value if text == value else text)
    if len(parts) == 1 and isinstance(parts[0], Expression):
        return Computed(parts[0])
    return Text(parts)


def _parts(value: str, pointer: str, names: frozenset[str]) -> Iterator[str | Expression]:
    place = 0
    while (opening := value.find(OPENING, place)) >= 0:
        if value.startswith(ESCAPED, opening - 1) and opening > place:
            yield value[place : opening - 1] + OPENING
            place = opening + len(OPENING)
            continue
        if opening > place:
            yield value[place:opening]
        start = opening + len(OPENING)
        end = _end_of(value, start)
        try:
            yield Expression(value[start:end], pointer, names)
        except ExpressionFault as fault:
            raise ExpressionFault(str(fault), start + fault.column, fault.hint) from fault
        place = end + 1
    if place < len(value):
        yield value[place:]


def _end_of(value: str, start: int) -> int:
    """Where the `}` is that closes the expression from *start* on. Raises ExpressionFault."""
    depth, place = 0, start
    while place < len(value):
        character = value[place]
        if character in "'\"`":
            place = _end_of_quoted(value, place)
        elif character == "{":
            depth += 1
        elif character == "}":
            if depth == 0:
                return place
            depth -= 1
        place += 1
    raise ExpressionFault("the expression is not closed with }", start, "write $${ for a plain ${")


def _end_of_quoted(value: str, place: int) -> int:
    quote, at = value[place], place + 1
    while at < len(value) and value[at] != quote:
        at += 2 if value[at] == "\\" else 1
    if at >= len(value):
        raise ExpressionFault(f"the {quote} is not closed", place + 1)
    return at
