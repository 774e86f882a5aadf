"""Why a setting is not valid, in the words of whoever typed it."""

import re

from pydantic_core import ErrorDetails


def reason_of(error: ErrorDetails) -> str:
    """Pydantic's complaint in the words of a person who never saw Pydantic."""
    context = error.get("ctx", {})
    phrases = {
        "less_than_equal": "must be at most {le}",
        "greater_than_equal": "must be at least {ge}",
        "greater_than": "must be more than {gt}",
        "int_parsing": "must be a whole number",
        "float_parsing": "must be a number",
        "bool_parsing": "must be true or false",
        "literal_error": "must be {expected}",
        "value_error": "{error}",
        "string_pattern_mismatch": "must match {pattern}",
    }
    phrase = phrases.get(error["type"])
    if phrase is None:
        return re.sub(r"^Input should be", "must be", error["msg"])
    return phrase.format(**context)


def kubernetes_hint(name: str, value: str) -> str:
    if name != "port" or not value.startswith("tcp://"):
        return ""
    return " (Kubernetes set it for a Service called muster: add `enableServiceLinks: false` to the pod)"
