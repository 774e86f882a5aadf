"""Tokens of turns and fences of claims: unguessable, drawn many at a time, since a system call for each adds up."""

import os
from collections import deque
from typing import Final

_NONCES: Final = 256
_BYTES: Final = 8
_ready: deque[str] = deque()


def nonce() -> str:
    """64 random bits as 16 hexadecimal digits."""
    if not _ready:
        drawn = os.urandom(_NONCES * _BYTES).hex()
        _ready.extend(drawn[start : start + 2 * _BYTES] for start in range(0, len(drawn), 2 * _BYTES))
    return _ready.popleft()
