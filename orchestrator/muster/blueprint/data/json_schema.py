"""The JSON Schemas of a blueprint that is data (draft 2020-12): of its input, its result and its forms, checked first.

Nothing is fetched: a reference stays inside the schema. Patterns run in linear time, whatever a client sends.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final

import jsonschema
from jsonschema import validators
from jsonschema.exceptions import SchemaError, ValidationError
from pydantic import StringConstraints, TypeAdapter
from pydantic import ValidationError as PatternRefused
from pydantic_core import SchemaError as PatternError
from referencing import Registry
from referencing.exceptions import Unresolvable

from muster.blueprint.data.findings import Findings, below
from muster.blueprint.problems import InputInvalid

ERRORS_MAX: Final = 20
"""Mistakes of one value that are told at once."""
_REFUSED: Final = {
    "patternProperties": "is not supported: name the members under `properties`",
    "$dynamicRef": "is not supported: use $ref",
    "$id": "is not supported: the schema is known by its blueprint",
}


class JsonSchema:
    def __init__(self, schema: Mapping[str, Any]) -> None:
        """*schema* has passed `check_schema`."""
        self.schema = dict(schema)
        self._validator = validator_of(self.schema)

    def check(self, value: Any) -> None:
        """Raises InputInvalid with the first mistakes, those at the top first."""
        try:
            if self._validator.is_valid(value):
                return
            errors = sorted(self._validator.iter_errors(value), key=lambda error: list(map(str, error.absolute_path)))
            raise InputInvalid([_told(error) for error in errors[:ERRORS_MAX]])
        except (RecursionError, Unresolvable) as error:
            raise InputInvalid([{"pointer": "", "detail": f"the schema cannot be applied: {error}"}]) from error


def validator_of(schema: Any) -> Any:
    """A validator of `jsonschema` that fetches nothing, and whose patterns run in linear time where they can."""
    patterns = {text: _any_matcher(text) for text in _patterns(schema)}

    def pattern(validator: Any, text: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
        del validator, schema
        if isinstance(instance, str) and not patterns[text](instance):
            yield ValidationError(f"{instance!r} does not match {text!r}")

    return validators.extend(jsonschema.Draft202012Validator, {"pattern": pattern})(schema, registry=Registry())


def check_schema(schema: Any, pointer: str, found: Findings, *, what: str, is_object: bool = True) -> bool:
    """Tell *found* what is wrong with the schema of *what*, and whether nothing is."""
    before = len(found.problems)
    _check(schema, pointer, found, what, is_object)
    return len(found.problems) == before


def _check(schema: Any, pointer: str, found: Findings, what: str, is_object: bool) -> None:
    before = len(found.problems)
    if not isinstance(schema, dict):
        found.add(pointer, f"{what} is said by a JSON Schema, which is an object")
        return
    if is_object and schema.get("type", "object") != "object":
        found.add(below(pointer, "type"), f"{what} is an object, not {schema['type']!r}")
    for place, keyword, value in _keywords(schema, pointer):
        if keyword in _REFUSED:
            found.add(place, f"{keyword} {_REFUSED[keyword]}")
        elif keyword == "$ref" and not (isinstance(value, str) and value.startswith("#")):
            found.add(place, f"a reference stays inside the schema, such as '#/$defs/line', not {value!r}")
        elif keyword == "pattern" and isinstance(value, str):
            _check_pattern(value, place, found)
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        found.add(pointer + _pointer(error.absolute_path), error.message[:300])
        return
    except RecursionError:
        found.add(pointer, "the schema is nested too deeply")
        return
    if len(found.problems) == before:
        _try_on(schema, pointer, found)


def _try_on(schema: Mapping[str, Any], pointer: str, found: Findings) -> None:
    """Follow every reference, and meet those that lead nowhere or round in circles."""
    resolver = Registry().resolver_with_root(_resource(schema))
    for place, keyword, value in _keywords(schema, pointer):
        if keyword == "$ref":
            try:
                target = resolver.lookup(value).contents
                hops = 0
                while isinstance(target, dict) and isinstance(target.get("$ref"), str) and hops < len(str(schema)):
                    target, hops = resolver.lookup(target["$ref"]).contents, hops + 1
                    if target.get("$ref") == value:
                        found.add(place, f"{value!r} leads back to itself")
                        break
            except (Unresolvable, AttributeError):
                found.add(place, f"there is no {value!r} in the schema")
                return
    try:
        validator_of(schema).is_valid({})
    except RecursionError:
        found.add(pointer, "the schema leads back to itself without an end")
    except Unresolvable as error:  # pragma: no cover - every reference was followed above
        found.add(pointer, f"the schema cannot be applied: {error}")


def _resource(schema: Mapping[str, Any]) -> Any:
    from referencing.jsonschema import DRAFT202012

    return DRAFT202012.create_resource(schema)


def _keywords(schema: Any, pointer: str) -> Iterator[tuple[str, str, Any]]:
    """Members of all objects in the schema, but for examples and the like, which may be anything."""
    waiting: list[tuple[Any, str, bool]] = [(schema, pointer, True)]
    while waiting:
        value, place, is_schema = waiting.pop()
        if isinstance(value, list):
            waiting += [(item, below(place, number), True) for number, item in enumerate(value)]
        elif isinstance(value, dict):
            for name, member in value.items():
                if is_schema and name in {"const", "enum", "default", "examples"}:
                    continue
                if is_schema:
                    yield below(place, name), name, member
                waiting.append((member, below(place, name), not (is_schema and name in {"properties", "$defs"})))


def _patterns(schema: Any) -> set[str]:
    return {value for _, keyword, value in _keywords(schema, "") if keyword == "pattern" and isinstance(value, str)}


def _any_matcher(text: str) -> Callable[[str], Any]:
    """A form in Python may have a pattern that only Python's own engine knows."""
    try:
        return _matcher(text)
    except PatternError:
        return re.compile(text).search


def _matcher(text: str) -> Callable[[str], bool]:
    """Rust's regular expressions, by way of pydantic: they know no backtracking. Raises PatternError."""
    adapter = TypeAdapter(Annotated[str, StringConstraints(pattern=text)])

    def matches(instance: str) -> bool:
        try:
            adapter.validate_python(instance)
        except PatternRefused:
            return False
        return True

    return matches


def _check_pattern(text: str, place: str, found: Findings) -> None:
    try:
        _matcher(text)
    except PatternError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        found.add(
            place, f"the pattern {text[:80]!r} cannot be used: {reason}", "look-around and back-references are not"
        )


def _told(error: ValidationError) -> dict[str, str]:
    return {"pointer": _pointer(error.absolute_path), "detail": error.message[:300]}


def _pointer(path: Any) -> str:
    pointer = ""
    for part in path:
        pointer = below(pointer, part)
    return pointer
