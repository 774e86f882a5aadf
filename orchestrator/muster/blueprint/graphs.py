"""A graph as canonical JSON, its content hash and its version; and back."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final, cast

import orjson

from muster.core.graph import Edge, Graph

HASH_LENGTH: Final = 8


def graph_json(graph: Graph) -> bytes:
    """The same bytes for the same graph on every machine."""
    content = {
        "name": graph.name,
        "version": graph.version,
        "start": graph.start,
        "states": list(graph.states),
        "edges": [{"from": e.source, "label": e.label, "to": e.target} for e in graph.edges],
        # Left out where there are none: the versions of older graphs stay what they are.
        **({"undos": [{"state": state, "task": task} for state, task in graph.undos]} if graph.undos else {}),
    }
    return orjson.dumps(content, option=orjson.OPT_SORT_KEYS)


def graph_from_json(text: bytes | str) -> Graph:
    """Raises ValueError for anything that `graph_json` does not write."""
    try:
        content = cast("dict[str, Any]", orjson.loads(text))
        edges = tuple(Edge(str(e["from"]), str(e["label"]), str(e["to"])) for e in content["edges"])
        undos = tuple((str(undo["state"]), str(undo["task"])) for undo in content.get("undos", ()))
        return Graph(
            str(content["name"]), str(content["version"]), str(content["start"]), tuple(content["states"]), edges, undos
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a blueprint's graph: {error}") from error


def graph_hash(graph: Graph) -> str:
    """SHA-256 of the graph's JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(graph_json(graph)).hexdigest()


def versioned(graph: Graph) -> Graph:
    """The graph with the start of its hash in its version: `1` becomes `1:0f3a9c2e`."""
    return replace(graph, version=f"{graph.version}:{graph_hash(graph)[:HASH_LENGTH]}")


def version_number(version: str) -> str:
    """`1` of `1:0f3a9c2e`."""
    return version.partition(":")[0]


def reachable(graph: Graph, sources: Iterable[str]) -> frozenset[str]:
    """These states and all that can follow them."""
    return _closure(((edge.source, edge.target) for edge in graph.edges), sources)


def leading_to(graph: Graph, ends: Iterable[str]) -> frozenset[str]:
    """These states and all that can lead to them."""
    return _closure(((edge.target, edge.source) for edge in graph.edges), ends)


def _closure(pairs: Iterable[tuple[str, str]], sources: Iterable[str]) -> frozenset[str]:
    steps: dict[str, set[str]] = {}
    for here, there in pairs:
        steps.setdefault(here, set()).add(there)
    found = set(sources)
    waiting = list(found)
    while waiting:
        new = steps.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return frozenset(found)
