"""A blueprint's graph, from its states: what their code refers to, corrected by `to=`."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from muster.blueprint.reading import GO, Fault, Reading, read
from muster.blueprint.scope import plain_function
from muster.blueprint.source import line_of
from muster.blueprint.state import State, Targets
from muster.core.graph import BUILT_IN_STATES, FAILED, FINISHED, Edge

_ENDS: Final = {"done": FINISHED, "fail": FAILED}


@dataclass(frozen=True, slots=True)
class Transitions:
    """One state's: its edges, what is wrong with them, and the types its targets would get.

    Attributes:
        quarantines: the code may put the job aside, which ends it without an edge.
    """

    edges: tuple[Edge, ...]
    faults: tuple[Fault, ...]
    given: tuple[tuple[Edge, Any, int], ...]
    quarantines: bool
    undos: tuple[str, ...] = ()
    """Tasks that undo what the state does."""


def transitions_of(state: State[Any], states: Mapping[str, State[Any]]) -> Transitions:
    reading = read(state.function) if state.function else Reading()
    edges = [Edge(state.name, r.label or GO, r.target.name) for r in reading.references]
    given = [(edge, r.given, r.line) for edge, r in zip(edges, reading.references, strict=True)]
    faults = [*reading.faults, *_strangers(state, reading)]
    if state.to is not None:
        edges, faults = _declared(state, state.to, edges, states)
    ends = [Edge(state.name, word, _ENDS[word]) for word in reading.endings if word in _ENDS]
    return Transitions(
        tuple(dict.fromkeys([*edges, *ends])),
        tuple(faults),
        tuple(given),
        "quarantine" in reading.endings,
        tuple(reading.undos),
    )


def place_of(function: Callable[..., Any] | None) -> tuple[str, int]:
    """File and line of a state's function."""
    written = plain_function(function)
    return (written.__code__.co_filename, line_of(written)) if written else ("", 0)


def _strangers(state: State[Any], reading: Reading) -> Iterable[Fault]:
    for reference in reading.references:
        fault = _stranger(state, reference.target, reference.line)
        if fault is not None:
            yield fault


def _stranger(state: State[Any], target: State[Any], line: int) -> Fault | None:
    if target.owner is None or state.owner is None or target.owner is state.owner:
        return None
    return Fault(
        line,
        f"state {state.name!r} goes to state {target.name!r} of blueprint {target.owner.name!r}",
        "a job stays in its blueprint: write a state of its own here",
    )


def _labelled(to: Targets) -> list[tuple[str | None, State[Any] | str]]:
    if isinstance(to, Mapping):
        return list(to.items())
    return [(None, target) for target in ([to] if isinstance(to, str) else to)]


def _declared(
    state: State[Any], to: Targets, seen: list[Edge], states: Mapping[str, State[Any]]
) -> tuple[list[Edge], list[Fault]]:
    """Edges of `to=`. A list keeps the words that the code gives its targets."""
    line = place_of(state.function)[1]
    edges: list[Edge] = []
    faults: list[Fault] = []
    for label, target in _labelled(to):
        name = target if isinstance(target, str) else target.name
        fault = None if isinstance(target, str) else _stranger(state, target, line)
        if name not in states and name not in BUILT_IN_STATES and fault is None:
            message = f"state {state.name!r} says to=[{name!r}], which is no state"
            fault = Fault(line, message, "write it, or correct the name")
        if fault is not None:
            faults.append(fault)
            continue
        known = [edge for edge in seen if edge.target == name]
        edges += [Edge(state.name, label, name)] if label is not None else known or [Edge(state.name, GO, name)]
    return edges, faults
