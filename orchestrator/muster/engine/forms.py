"""Answers held against the form of their question."""

from functools import lru_cache
from typing import Any

import orjson
from jsonschema.exceptions import ValidationError
from referencing.exceptions import Unresolvable

from muster.blueprint.data.json_schema import validator_of
from muster.core.json import JsonObject, JsonValue
from muster.core.limits import FORM_BYTES_MAX

FAULTS_MAX = 20
Faults = list[dict[str, str]]
"""`[{"pointer", "detail"}]`; a pointer (RFC 6901) into the form, empty for the whole."""


def faults_of(schema: JsonObject | None, form: JsonValue) -> Faults:
    """What does not fit; empty where all is well. No form is as good as an empty one."""
    if schema is None:
        if form in (None, {}):
            return []
        return [{"pointer": "", "detail": "this choice has no form; leave `form` out"}]
    if len(orjson.dumps(form)) > FORM_BYTES_MAX:
        return [{"pointer": "", "detail": f"the form is larger than {FORM_BYTES_MAX} bytes"}]
    try:
        errors = sorted(_validator(orjson.dumps(schema)).iter_errors({} if form is None else form), key=_place)
    except (RecursionError, Unresolvable) as error:
        return [{"pointer": "", "detail": f"the schema of the form cannot be applied: {error}"}]
    return [fault for error in errors[:FAULTS_MAX] for fault in _faults(error)]


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Any:
    return validator_of(orjson.loads(schema))


def _place(error: ValidationError) -> str:
    return _pointer(error)


def _faults(error: ValidationError) -> Faults:
    pointer = _pointer(error)
    if error.validator == "required" and isinstance(error.instance, dict):
        wanted: Any = error.validator_value
        absent = [name for name in wanted if name not in error.instance]
        named = next((name for name in absent if repr(name) in error.message), None)
        if named is not None:
            return [{"pointer": f"{pointer}/{_escaped(named)}", "detail": "is missing"}]
    return [{"pointer": pointer, "detail": error.message[:500]}]


def _pointer(error: ValidationError) -> str:
    return "".join("/" + _escaped(str(part)) for part in error.absolute_path)


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")
