"""Query parameters of this surface: what is out of bounds is refused, never quietly changed."""

import re
from collections.abc import Sequence
from typing import Final

from muster.api.call import Call
from muster.api.parameters import refused

LIMIT: Final = 100
LIMIT_MAX: Final = 1_000
OFFSET_MAX: Final = 10**12
_WHOLE: Final = re.compile(r"[0-9]{1,13}")


def page_of(call: Call) -> tuple[int, int]:
    """`limit` and `offset`."""
    return _within(call, "limit", LIMIT, 1, LIMIT_MAX), _within(call, "offset", 0, 0, OFFSET_MAX)


def one_of(call: Call, name: str, words: Sequence[str]) -> str | None:
    text = call.query(name)
    if text is not None and text not in words:
        raise refused(name, text, f"one of {', '.join(words)}")
    return text


def _within(call: Call, name: str, default: int, minimum: int, maximum: int) -> int:
    text = call.query(name)
    if text is None:
        return default
    if _WHOLE.fullmatch(text) is None or not minimum <= int(text) <= maximum:
        raise refused(name, text, f"an integer from {minimum} to {maximum}")
    return int(text)
