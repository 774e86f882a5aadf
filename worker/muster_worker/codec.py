"""JSON in and out. Bytes become values here and in the HTTP layer, nowhere else."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

import orjson

JsonValue: TypeAlias = "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"


def encode(value: object) -> bytes:
    """Raises TypeError for what JSON cannot say, for example an integer of more than 64 bits.

    A copy: the bytes that orjson makes keep a buffer of 4 KiB, and events of a hundred bytes wait by the ten thousand.
    """
    return b"%b" % orjson.dumps(value)


def decode_object(body: bytes | str) -> dict[str, Any]:
    """Raises ValueError for a body that is not a JSON object."""
    decoded: Any = orjson.loads(body)
    if type(decoded) is not dict:
        raise ValueError("not a JSON object")
    return cast("dict[str, Any]", decoded)
