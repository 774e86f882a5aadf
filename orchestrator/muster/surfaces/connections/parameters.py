"""Query parameters of this surface: no value is taken for another."""

import re
from typing import Final

from muster.api.parameters import refused

_YES: Final = frozenset({"true", "1", "yes", "on", "t", "y"})
_NO: Final = frozenset({"false", "0", "no", "off", "f", "n"})
_WHOLE: Final = re.compile(r"[0-9]{1,9}")


def flag(name: str, text: str | None) -> bool:
    """False where it is not given. Raises: MusterError INVALID_PARAMETER."""
    if text is None or text.lower() in _NO:
        return False
    if text.lower() in _YES:
        return True
    raise refused(name, text, "true or false")


def bounded(name: str, text: str | None, *, default: int, minimum: int, maximum: int) -> int:
    """Raises: MusterError INVALID_PARAMETER, also for what is out of bounds."""
    if text is None:
        return default
    if _WHOLE.fullmatch(text) is None or not minimum <= int(text) <= maximum:
        raise refused(name, text, f"an integer from {minimum} to {maximum}")
    return int(text)
