"""What the store's server says of itself, and how much it keeps of some jobs. A part of the contract, see `base`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from muster.core.ids import JobId

Durability: TypeAlias = Literal["aof", "rdb", "none"]
"""What of the data outlives the server: every write, snapshots, nothing."""


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """Of the whole server, which others may use too. `hits` and `misses` count look-ups of keys since its start."""

    used_bytes: int
    keys: int
    durability: Durability
    hits: int
    misses: int

    @property
    def hit_ratio(self) -> float:
        """From 0 to 1; 0 while nothing was looked up."""
        looked = self.hits + self.misses
        return self.hits / looked if looked else 0.0


@dataclass(frozen=True, slots=True)
class Tally:
    steps: int
    artifacts: int


class FigureRecords(Protocol):
    async def facts(self) -> StoreFacts: ...

    async def tally(self, jobs: Sequence[JobId]) -> Tally:
        """How many steps and artifacts these jobs have together."""
        ...
