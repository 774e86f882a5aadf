"""Everything that is wrong with blueprints, before any job runs, all at once."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final, get_origin

from muster_worker.handlers import fits
from muster_worker.outcome import type_name
from pydantic import ValidationError
from pydantic.errors import PydanticUserError

from muster.blueprint.definition import AnyBlueprint
from muster.blueprint.graphs import leading_to, reachable
from muster.blueprint.problems import BlueprintError, Problem, shown
from muster.blueprint.routes import VERSIONS_REFUSED, endpoint_fault, version_fault
from muster.blueprint.scope import UNKNOWN
from muster.blueprint.state import ShapeFault
from muster.blueprint.transitions import place_of
from muster.core.graph import BUILT_IN_STATES

_STATE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_BLUEPRINT_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


def check(blueprint: AnyBlueprint) -> None:
    """Raises BlueprintError with every problem of the blueprint itself."""
    problems = problems_of(blueprint)
    if problems:
        raise BlueprintError(problems)


def problems_of(blueprint: AnyBlueprint) -> list[Problem]:
    """Ordered by file and line; empty when the blueprint can be used."""
    parts = (_address, _starts, _names, _types, _shapes, _targets, _paths, _arguments)
    found = [problem for part in parts for problem in part(blueprint)]
    return sorted(dict.fromkeys(found), key=lambda problem: (problem.file, problem.line))


def collisions(blueprints: Iterable[AnyBlueprint]) -> list[Problem]:
    """Blueprints that share a name and a number, or a route. Several versions of one name may be there together."""
    names: dict[tuple[str, int], AnyBlueprint] = {}
    routes: dict[tuple[str, str], AnyBlueprint] = {}
    found: list[Problem] = []
    for blueprint in blueprints:
        other = names.setdefault((blueprint.name, blueprint.version_number), blueprint)
        if other is not blueprint:
            found.append(_at(blueprint, f"another blueprint is called {blueprint.name!r}", _written(other)))
            continue
        other = routes.setdefault((blueprint.api_version, blueprint.endpoint), blueprint)
        if other.name != blueprint.name:
            route = f"POST /api/{blueprint.api_version}/{blueprint.endpoint}"
            found.append(_at(blueprint, f"{route} already belongs to {other.name!r}", _written(other)))
    return found


def _address(blueprint: AnyBlueprint) -> Iterator[Problem]:
    if _BLUEPRINT_NAME.fullmatch(blueprint.name) is None:
        hint = "begin with a letter or _, go on with letters, digits, _ . or -, 64 characters at most"
        yield _at(blueprint, f"the name {blueprint.name!r} cannot be used", hint)
    if fault := version_fault(blueprint.api_version):
        refused = ", ".join(sorted(VERSIONS_REFUSED))
        yield _at(blueprint, fault, f"use a word such as 'v1'; not allowed are {refused}")
    if fault := endpoint_fault(blueprint.endpoint):
        yield _at(blueprint, fault, "give Blueprint(...) another endpoint=")
    if blueprint.version_number < 1:
        yield _at(blueprint, f"version {blueprint.version_number} is not 1 or more", "count up from 1")
    try:
        _ = blueprint.deadline_ms
    except ValueError as error:
        yield _at(blueprint, f"deadline={blueprint.deadline!r} cannot be used: {error}", "give a duration such as '1h'")


def _starts(blueprint: AnyBlueprint) -> Iterator[Problem]:
    if not blueprint.starts:
        yield _at(blueprint, "no state is the start", f"put @{blueprint.name}.start above one function")
    for extra in blueprint.starts[1:]:
        file, line = place_of(extra.function)
        first = blueprint.starts[0]
        message = f"state {extra.name!r} is a second start, besides {first.name!r}"
        yield Problem(blueprint.name, file, line, message, f"write @{blueprint.name}.state above it")


def _names(blueprint: AnyBlueprint) -> Iterator[Problem]:
    count = Counter(state.name for state in blueprint.written)
    seen: set[str] = set()
    for state in blueprint.written:
        file, line = place_of(state.function)
        if state.name in BUILT_IN_STATES:
            hint = f"{state.name} is built in: from muster import {state.name}"
            yield Problem(blueprint.name, file, line, f"the state name {state.name!r} is reserved", hint)
        elif _STATE_NAME.fullmatch(state.name) is None:
            hint = "use a plain function name of letters, digits and _, 64 characters at most"
            yield Problem(blueprint.name, file, line, f"the state name {state.name!r} cannot be used", hint)
        if count[state.name] > 1 and state.name in seen:
            hint = f"the first is on line {place_of(blueprint.states[state.name].function)[1]}; rename one"
            yield Problem(blueprint.name, file, line, f"there are two states called {state.name!r}", hint)
        seen.add(state.name)


def _types(blueprint: AnyBlueprint) -> Iterator[Problem]:
    try:
        blueprint.input_schema()
    except PydanticUserError as error:
        yield _at(blueprint, f"input={blueprint.input_type!r} cannot be read from JSON", str(error))
    try:
        blueprint.output_schema()
    except PydanticUserError as error:
        yield _at(blueprint, f"output={blueprint.output_type!r} cannot be read from JSON", str(error))
    try:
        if blueprint.data_type is not None:
            blueprint.data_adapter.validate_python({})
    except PydanticUserError as error:
        yield _at(blueprint, f"data={blueprint.data_type!r} cannot be read from JSON", str(error))
    except ValidationError as error:
        wanting = ", ".join(str(part["loc"][0]) for part in error.errors() if part["loc"]) or "it"
        hint = "a job begins with empty data: give every member a default"
        yield _at(blueprint, f"data={type_name(blueprint.data_type)} has no default for: {wanting}", hint)


def _shapes(blueprint: AnyBlueprint) -> Iterator[Problem]:
    for name in blueprint.states:
        try:
            blueprint.shape(name)
        except ShapeFault as fault:
            yield blueprint.problem(name, f"state {name!r} {fault}", fault.hint)


def _targets(blueprint: AnyBlueprint) -> Iterator[Problem]:
    for name, transitions in blueprint.transitions.items():
        for fault in transitions.faults:
            message = fault.message if fault.message.startswith("state ") else f"state {name!r} {fault.message}"
            yield blueprint.problem(name, message, fault.hint, fault.line)


def _paths(blueprint: AnyBlueprint) -> Iterator[Problem]:
    if not blueprint.starts:
        return
    graph = blueprint.graph
    quarantining = [name for name, transitions in blueprint.transitions.items() if transitions.quarantines]
    entered = reachable(graph, [state.name for state in blueprint.starts])
    ending = leading_to(graph, [*BUILT_IN_STATES, *quarantining])
    for name, transitions in blueprint.transitions.items():
        if name in BUILT_IN_STATES:
            continue
        if name not in entered:
            hint = f"add a way in (for example error={name}), name it in to=[...], or remove it"
            yield blueprint.problem(name, f"state {name!r} can never be reached", hint)
        elif name not in ending and not transitions.faults:
            hint = "let it, or a state after it, return job.done(...) or job.fail(...), or go to finished"
            yield blueprint.problem(name, f"state {name!r} has no way to an end", hint)


def _arguments(blueprint: AnyBlueprint) -> Iterator[Problem]:
    """Arguments whose type the code shows, against what the next state takes."""
    for start in blueprint.starts[:1]:
        wanted = _wanted(blueprint, start.name)
        if not fits(type(None), wanted):
            hint = f"make it {type_name(wanted)} | None, or take (job) alone and use job.input"
            yield blueprint.problem(start.name, f"the start {start.name!r} begins without an argument", hint)
    for transitions in blueprint.transitions.values():
        for edge, given, line in transitions.given:
            wanted = _wanted(blueprint, edge.target)
            if given is not UNKNOWN and not _takes(wanted, given):
                message = f"state {edge.source!r} gives {edge.target!r} {type_name(given)} on {edge.label}"
                hint = f"{edge.target!r} takes {type_name(wanted)}"
                yield blueprint.problem(edge.source, message, hint, line)


def _takes(wanted: Any, given: Any) -> bool:
    # Plain dicts may be asked for anywhere: every result is JSON.
    kind = get_origin(wanted) or wanted
    return (isinstance(kind, type) and issubclass(kind, dict)) or fits(given, wanted)


def _wanted(blueprint: AnyBlueprint, state: str) -> Any:
    try:
        return blueprint.shape(state).annotation if state in blueprint.states else Any
    except ShapeFault:
        return Any


def _at(blueprint: AnyBlueprint, message: str, hint: str) -> Problem:
    return Problem(blueprint.name, blueprint.file, blueprint.line, message, hint)


def _written(other: AnyBlueprint) -> str:
    return f"see {shown(other.file)}, line {other.line}"
