"""What tells two errors of one kind from those of another: the same fingerprint means the same cause, most likely."""

import hashlib
import re
from typing import Final

WORDS_MAX: Final = 2_000
"""Characters of a message that count."""
_VARYING: Final = re.compile(
    r"""
      "[^"\n]*" | '[^'\n]*' | `[^`\n]*`                               # what is quoted
    | \b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b                 # ids
    | \b0x[0-9a-f]+\b | \b(?=[0-9a-f]*[0-9])[0-9a-f]{7,}\b            # hex
    | [+-]?\d+(?:[.,:]\d+)*                                          # numbers and times
    """,
    re.VERBOSE | re.IGNORECASE,
)


def normalised(message: str) -> str:
    """*message* without what differs between two errors of one kind: numbers, ids, hex and quoted texts.

    >>> normalised("timeout after 30.5 s on host 'db-7' (job 018f0000-0000-7000-8000-0000000000ff)")
    'timeout after ~ s on host ~ (job ~)'
    """
    return " ".join(_VARYING.sub("~", message[:WORDS_MAX]).split())


def fingerprint(code: str, message: str, blueprint: str, state: str) -> str:
    """12 hex digits; stable over restarts and versions of the server."""
    words = "\0".join((code, normalised(message), blueprint, state))
    return hashlib.blake2b(words.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
