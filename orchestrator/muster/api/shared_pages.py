"""What is made of a page for all who are being told it: made once, and gone with the page."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar
from weakref import WeakKeyDictionary

P = TypeVar("P")
T = TypeVar("T")


def made_once(make: Callable[[P], T]) -> Callable[[P], T]:
    """Of each page that is alive: a cache of the last so many would hold megabytes that nobody is told any more."""
    made: WeakKeyDictionary[P, T] = WeakKeyDictionary()

    @wraps(make)
    def shared(page: P) -> T:
        found = made.get(page)
        if found is None:
            found = made[page] = make(page)
        return found

    return shared
