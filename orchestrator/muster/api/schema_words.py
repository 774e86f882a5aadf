"""JSON Schema in other words: what pydantic or OpenAPI 3.0 says differently."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

Rule: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
"""Rewrites one schema object whose parts are rewritten already."""

_NAMED: Final = frozenset({"properties", "schemas", "$defs", "patternProperties", "securitySchemes"})
"""The keys below these are names that somebody chose, not words of JSON Schema."""
_UNTOUCHED: Final = frozenset({"default", "enum", "const", "example", "examples"})
"""Values, not schemas."""
_UNSPEAKABLE: Final = frozenset({"prefixItems", "$schema", "patternProperties", "propertyNames"})
"""OpenAPI 3.0 has no words for these."""
_BOUNDS: Final[Mapping[str, str]] = {"ge": "minimum", "le": "maximum"}


def rewritten(value: Any, rule: Rule) -> Any:
    """*value* with *rule* applied to every object in it, from the inside out."""
    if isinstance(value, list):
        return [rewritten(item, rule) for item in value]
    if not isinstance(value, dict):
        return value
    return rule({key: _part(key, item, rule) for key, item in value.items()})


def bounds_in_words(schema: dict[str, Any]) -> dict[str, Any]:
    """Pydantic writes the bounds of a union under its own names."""
    return {_BOUNDS.get(key, key): value for key, value in schema.items()}


def as_3_0(document: dict[str, Any]) -> dict[str, Any]:
    """JSON Schema 2020-12 in the words of OpenAPI 3.0; what it cannot say is left out."""
    found: dict[str, Any] = rewritten(document, _old_words)
    return found


def _part(key: str, value: Any, rule: Rule) -> Any:
    if key in _UNTOUCHED:
        return value
    if key in _NAMED and isinstance(value, dict):
        return {name: rewritten(item, rule) for name, item in value.items()}
    return rewritten(value, rule)


def _old_words(schema: dict[str, Any]) -> dict[str, Any]:
    old = {key: value for key, value in schema.items() if key not in _UNSPEAKABLE}
    old = _nullable_choice(_nullable_type(old))
    if "const" in old:
        old["enum"] = [old.pop("const")]
    if isinstance(old.get("examples"), list):
        old["example"] = old.pop("examples")[0]
    for bound, inclusive in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(old.get(bound), int | float) and not isinstance(old.get(bound), bool):
            old[inclusive] = old[bound]
            old[bound] = True
    return old


def _nullable_choice(schema: dict[str, Any]) -> dict[str, Any]:
    choices = schema.get("anyOf")
    if not isinstance(choices, list) or {"type": "null"} not in choices:
        return schema
    rest = [choice for choice in choices if choice != {"type": "null"}]
    others = {key: value for key, value in schema.items() if key != "anyOf"}
    inlined = rest[0] if len(rest) == 1 and "$ref" not in rest[0] else {"anyOf": rest}
    return {**others, **inlined, "nullable": True}


def _nullable_type(schema: dict[str, Any]) -> dict[str, Any]:
    types = schema.get("type")
    if not isinstance(types, list):
        return schema
    rest: list[Any] = [word for word in types if word != "null"]
    one = {"type": rest[0]} if len(rest) == 1 else {"anyOf": [{"type": word} for word in rest]}
    others = {key: value for key, value in schema.items() if key != "type"}
    return {**others, **one, **({"nullable": True} if "null" in types else {})}
