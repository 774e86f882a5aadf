"""Words of the product's own among a job's tags."""

from collections.abc import Iterable
from typing import Final

BATCH: Final = "batch:"


def batch_tag(batch_id: str) -> str:
    """The tag of the members of a batch."""
    return BATCH + batch_id


def batch_of(tags: Iterable[str]) -> str | None:
    """The batch that a job with these tags belongs to.

    >>> batch_of(("nightly", "batch:b1"))
    'b1'
    """
    return next((tag.removeprefix(BATCH) for tag in tags if tag.startswith(BATCH)), None)
