"""What a test is told when it cannot go on. They are AssertionErrors: a test that meets one has failed."""

import difflib
from collections.abc import Iterable


class KitError(AssertionError):
    """The test, or the blueprint it looks at, is wrong. The text says where and what to do."""


class Stuck(KitError):
    """A job waits for what will never come by itself."""


def closest(name: str, known: Iterable[str]) -> str:
    """`; the closest is 'orders'`, or what there is, or that there is nothing."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f"; the closest is {near[0]!r}"
    return f"; there are {', '.join(map(repr, names))}" if names else "; there is none at all"
