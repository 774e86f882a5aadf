"""Blueprints that start one another without a way out: a circle in which no job can ever end well.

A blueprint may start itself, or come back to itself through others: that is recursion, and `CHILD_DEPTH_MAX` stops one
that goes too deep. Only where no job of a circle can come to its end without starting the next one is it a mistake for
certain, and refused when it is loaded. What the code does not show counts as a way out, and so do a state that raises,
an `error=` edge and a task that may fail for good.
"""

from collections.abc import Iterable, Mapping

from muster.blueprint.definition import AnyBlueprint
from muster.blueprint.problems import Problem
from muster.core.graph import BUILT_IN_STATES


def endless(new: Iterable[AnyBlueprint], known: Mapping[str, AnyBlueprint]) -> list[Problem]:
    """Of each of *new* that is in such a circle, among *known*, which are to be there with it, by name."""
    hopeless = _hopeless(known)
    return [_problem(blueprint, known, hopeless) for blueprint in new if blueprint.name in hopeless]


def _hopeless(known: Mapping[str, AnyBlueprint]) -> frozenset[str]:
    """The greatest set of names of which no job can end without starting a job of the set."""
    left = frozenset(name for name, blueprint in known.items() if blueprint.starts)
    while left:
        kept = frozenset(name for name in left if _starts_one_of(known[name], left) is not None)
        if kept == left:
            break
        left = kept
    return left


def _starts_one_of(blueprint: AnyBlueprint, names: frozenset[str]) -> str | None:
    """One of *names* that every job starts before it can end; None where there is a way around."""
    todo, seen, found = [blueprint.starts[0].name], set[str](), None
    while todo:
        state = todo.pop()
        if state in seen:
            continue
        seen.add(state)
        decisions = blueprint.conclusions(state)
        if decisions is None or state in BUILT_IN_STATES:
            return None
        if decisions and all(decided.child in names for decided in decisions):
            found = decisions[0].child
            continue
        if any(decided.may_end for decided in decisions):
            return None
        todo += sorted(blueprint.graph.targets(state))
    return found


def _problem(blueprint: AnyBlueprint, known: Mapping[str, AnyBlueprint], hopeless: frozenset[str]) -> Problem:
    circle = [blueprint.name]
    while (following := _starts_one_of(known[circle[-1]], hopeless)) is not None and following not in circle:
        circle.append(following)
    way = " -> ".join([*circle, following or ""])
    return Problem(
        blueprint.name,
        blueprint.file,
        blueprint.line,
        f"no job of it can end without starting another, without end: {way}",
        "let some state end the job (job.done, finished) instead of starting the child, where it has come far enough",
    )
