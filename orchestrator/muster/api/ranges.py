"""Which part of a file a request asks for: RFC 9110, sections 13.1.5 and 14."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from aiohttp import hdrs

_RANGE: Final = re.compile(r"(\d{0,40})-(\d{0,40})", re.ASCII)
_STRONG_TAG: Final = re.compile(r'"[^"]*"')


def part_wanted(method: str, headers: Mapping[str, str], size: int) -> range | None:
    """The places of the bytes to send; empty: the file has none of those asked for (416). None: the whole file.

    A server may ignore what it does not want to serve or cannot read: several ranges, other units, malformed ones.
    Other methods than GET know no ranges. `If-Range` is for `is_still`.
    """
    text = headers.get(hdrs.RANGE)
    if method != hdrs.METH_GET or text is None:
        return None
    unit, _, ranges = text.partition("=")
    asked = [one for part in ranges.split(",") if (one := part.strip(" \t"))]
    found = _RANGE.fullmatch(asked[0]) if unit.strip().lower() == "bytes" and len(asked) == 1 else None
    return None if found is None else _places(found[1], found[2], size)


def _places(first: str, last: str, size: int) -> range | None:
    if first:
        stop = min(int(last) + 1, size) if last else size
        is_backwards = last and int(last) < int(first)
        return None if is_backwards else range(int(first), max(stop, int(first)))
    if not last:
        return None
    if size == 0 and int(last):
        return None  # the last bytes of nothing are all of it, which no `Content-Range` can say
    return range(max(size - int(last), 0), size)


def is_still(condition: str | None, tag: str, modified_s: int | None) -> bool:
    """Whether what the client has a part of is what there is now: the value of `If-Range`, if any, says which it has.

    A tag must be the same strong *tag*, a date exactly that of `Last-Modified`.
    """
    if condition is None:
        return True
    if '"' in condition:
        return condition == tag and _STRONG_TAG.fullmatch(tag) is not None
    try:
        return parsedate_to_datetime(condition).timestamp() == modified_s
    except ValueError:
        return False
