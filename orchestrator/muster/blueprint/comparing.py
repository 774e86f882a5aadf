"""Two versions of a blueprint held against each other: what changed, and which running jobs could go on with it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from muster.blueprint.definition import AnyBlueprint
from muster.core.graph import Edge, Graph
from muster.core.json import JsonObject, JsonValue

_TOLD: Final = frozenset({"states", "start", "input", "output", "version", "name"})
"""Of a spec: what is compared in its own words, or is part of the version."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two. Where the blueprint is data, `decisions` are what states are written as, `members` all else."""

    graph: Graph
    input_schema: JsonObject
    decisions: Mapping[str, Any] | None = None
    output_schema: JsonObject = field(default_factory=dict[str, JsonValue])
    members: Mapping[str, Any] = field(default_factory=dict[str, Any])


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
        input, output: what changed about the input and the result, a line for each member; empty: nothing.
        members: of blueprints that are data, what else is another one, such as `deadline`.
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
    output: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = field(default=())

    @property
    def is_same(self) -> bool:
        states = (self.added, self.removed, self.changed, self.edges_added, self.edges_removed)
        parts = (*states, self.input, self.output, self.members)
        return self.start[0] == self.start[1] and not any(parts)


def side_of(blueprint: AnyBlueprint) -> Side:
    spec: Mapping[str, Any] = getattr(blueprint, "to_dict", dict)()
    decisions, members = decisions_of(spec), members_of(spec)
    return Side(blueprint.graph, blueprint.input_schema(), decisions, blueprint.output_schema(), members)


def decisions_of(spec: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    states = (spec or {}).get("states")
    return states if isinstance(states, dict) else None


def members_of(spec: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """What the version of a blueprint that is data says beside its states and schemas."""
    return {name: value for name, value in (spec or {}).items() if name not in _TOLD}


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
        input=tuple(_schema(old.input_schema, new.input_schema)),
        output=tuple(_schema(old.output_schema, new.output_schema)),
        members=tuple(sorted(_others(old, new))),
        verdicts=tuple(_verdict(state, name, old, new, names) for state, name in names.items()),
    )


def _changed(old: Side, new: Side, names: Mapping[str, str], added: list[Edge], removed: list[Edge]) -> Iterable[str]:
    moved = {edge.source for edge in added} | {names[edge.source] for edge in removed}
    moved |= {
        state for state, _ in {(names.get(state, state), undo) for state, undo in old.graph.undos} ^ {*new.graph.undos}
    }
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


def _others(old: Side, new: Side) -> Iterable[str]:
    if old.decisions is None or new.decisions is None:
        return ()
    names = old.members.keys() | new.members.keys()
    return [name for name in names if old.members.get(name) != new.members.get(name)]


def _schema(old: JsonObject, new: JsonObject) -> Iterable[str]:
    """A line for each member of the value that is another one, and one for all else."""
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
