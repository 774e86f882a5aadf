"""A blueprint's graph as data: what is published, drawn, checked and compared."""

from dataclasses import dataclass
from typing import Final

FINISHED: Final = "finished"
FAILED: Final = "failed"
BUILT_IN_STATES: Final = frozenset({FINISHED, FAILED})
"""Final states every blueprint has. Going there ends the job; they have no function."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One transition: the outcome *label* of state *source* leads to state *target*."""

    source: str
    label: str
    target: str


@dataclass(frozen=True, slots=True)
class Graph:
    """States in the order they were written, the start among them, and every declared transition."""

    name: str
    version: str
    start: str
    states: tuple[str, ...]
    edges: tuple[Edge, ...]
    undos: tuple[tuple[str, str], ...] = ()
    """State, and a task that undoes what is done there."""

    def targets(self, state: str) -> frozenset[str]:
        return frozenset(edge.target for edge in self.edges if edge.source == state)
