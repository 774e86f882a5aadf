"""Two versions of a blueprint held against each other: what changed, and which running jobs could go on with it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from muster.blueprint.definition import AnyBlueprint
from muster.core.graph import Edge, Graph
from muster.core.json import JsonObject


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two. `decisions` are what states are written as, where the blueprint is data."""

    graph: Graph
    input_schema: JsonObject
    decisions: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a job that waits in *state* goes on with the new version; `reason` says why not."""

    state: str
    goes_on: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is another one in the new version.

    Attributes:
        changed: states that are in both and decide something else; of code only what its edges show.
        input: what changed about the input, a line for each member; empty: nothing.
    """

    old: str
    new: str
    start: tuple[str, str]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    edges_added: tuple[Edge, ...]
    edges_removed: tuple[Edge, ...]
    input: tuple[str, ...]
    verdicts: tuple[Verdict, ...] = field(default=())

    @property
    def is_same(self) -> bool:
        parts = (self.added, self.removed, self.changed, self.edges_added, self.edges_removed, self.input)
        return self.start[0] == self.start[1] and not any(parts)


def side_of(blueprint: AnyBlueprint) -> Side:
    return Side(blueprint.graph, blueprint.input_schema(), decisions_of(getattr(blueprint, "to_dict", dict)()))


def decisions_of(spec: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    states = (spec or {}).get("states")
    return states if isinstance(states, dict) else None


def compare(old: Side, new: Side, renamed: Mapping[str, str] | None = None) -> Comparison:
    """*renamed* says what states of *old* are called in *new*, where that is something else."""
    names = {state: (renamed or {}).get(state, state) for state in old.graph.states}
    before = {Edge(names[e.source], e.label, names.get(e.target, e.target)): e for e in old.graph.edges}
    after = dict.fromkeys(new.graph.edges)
    edges_added = tuple(edge for edge in after if edge not in before)
    edges_removed = tuple(edge for known, edge in before.items() if known not in after)
    return Comparison(
        old=old.graph.version,
        new=new.graph.version,
        start=(names.get(old.graph.start, old.graph.start), new.graph.start),
        added=tuple(state for state in new.graph.states if state not in names.values()),
        removed=tuple(state for state, name in names.items() if name not in new.graph.states),
        changed=tuple(_changed(old, new, names, [*edges_added], [*edges_removed])),
        edges_added=edges_added,
        edges_removed=edges_removed,
        input=tuple(_input(old.input_schema, new.input_schema)),
        verdicts=tuple(_verdict(state, name, old, new, names) for state, name in names.items()),
    )


def _changed(old: Side, new: Side, names: Mapping[str, str], added: list[Edge], removed: list[Edge]) -> Iterable[str]:
    moved = {edge.source for edge in added} | {names[edge.source] for edge in removed}
    for state, name in names.items():
        if name not in new.graph.states:
            continue
        if old.decisions is None or new.decisions is None:
            if name in moved:
                yield name
        elif old.decisions.get(state) != new.decisions.get(name):
            yield name


def _verdict(state: str, name: str, old: Side, new: Side, names: Mapping[str, str]) -> Verdict:
    if name not in new.graph.states:
        return Verdict(state, goes_on=False, reason=f"there is no state {name!r}")
    ours = {names.get(edge.target, edge.target) for edge in old.graph.edges if edge.source == state}
    missing = sorted(ours - new.graph.targets(name))
    if missing:
        return Verdict(state, goes_on=False, reason=f"it does not lead to {', '.join(missing)} any more")
    return Verdict(state, goes_on=True)


def _input(old: JsonObject, new: JsonObject) -> Iterable[str]:
    """A line for each member of the input that is another one, and one for all else."""
    before, after = _members(old), _members(new)
    needed_before, needed = _required(old), _required(new)
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            yield f"- {name}"
        elif name not in before:
            yield f"+ {name}{' (required)' if name in needed else ''}"
        elif before[name] != after[name]:
            yield f"~ {name}"
    for name in sorted((needed ^ needed_before) & before.keys() & after.keys()):
        yield f"~ {name} is {'required now' if name in needed else 'not required any more'}"
    if _rest(old) != _rest(new):
        yield "~ what else the schema says"


def _members(schema: JsonObject) -> dict[str, Any]:
    members = schema.get("properties")
    return dict(members) if isinstance(members, Mapping) else {}


def _required(schema: JsonObject) -> set[str]:
    names = schema.get("required")
    return {str(name) for name in names} if isinstance(names, list) else set()


def _rest(schema: JsonObject) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name not in {"properties", "required", "title"}}
