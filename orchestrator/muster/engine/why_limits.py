"""Why a ready task may not start though a worker may be free: which gates are shut, by which limits, and until when."""

from collections.abc import Sequence
from shlex import quote
from typing import Final

from muster.core.flow import ANY, Limit, Scope, group_of
from muster.core.ids import UnixMs
from muster.core.json import JsonObject, JsonValue
from muster.engine.reasons import Code, Facts, Reason, span
from muster.store.standing import ShutGate, StandingTask

FAN: Final = "w:"
_OF_ONES_OWN: Final = frozenset({Scope.TENANT, Scope.KEY})
"""Whose tasks hold such a slot is no secret of other tenants."""
_ORDER: Final = (Code.LIMIT_PAUSED, Code.LIMIT_FULL, Code.LIMIT_RATE, Code.FAN_FULL)


def limit_reasons(
    facts: Facts, what: str, tasks: Sequence[StandingTask], since: UnixMs | None, details: JsonObject
) -> list[Reason]:
    """One for each limit that lets none of *tasks* start now, which all stand under the same; pauses first.

    Of several keys of one group that gate is told which opens first.
    """
    names = {name for task in tasks for name in task.shut}
    found: dict[str, Reason] = {}
    for gate in sorted((gate for gate in facts.standing.gates if gate.name in names), key=_opens):
        found.setdefault(limit_of_gate(facts, gate.name), _reason(facts, gate, what, tasks, since, details))
    return sorted(found.values(), key=lambda reason: _ORDER.index(reason.code))


def limits_of(facts: Facts, task: StandingTask) -> tuple[str, ...]:
    """Tasks with the same have the same reasons."""
    return tuple(sorted({limit_of_gate(facts, gate) for gate in task.shut}))


def limit_of_gate(facts: Facts, gate: str) -> str:
    limit = facts.limits.get(gate)
    return gate if limit is None else f"{limit.scope} {limit.name}"


def _opens(gate: ShutGate) -> tuple[bool, int, str]:
    return gate.opens_at is None, gate.opens_at or 0, gate.name


def _reason(
    facts: Facts,
    gate: ShutGate,
    what: str,
    tasks: Sequence[StandingTask],
    since: UnixMs | None,
    details: JsonObject,
) -> Reason:
    if gate.name.startswith(FAN):
        return _fan(gate, since, details)
    limit = facts.limits.get(gate.name)
    scope, name = ("", "") if limit is None else (limit.scope.value, limit.name)
    called = "a limit that has just been lifted" if limit is None else _called(limit)
    details = {**details, "scope": scope, "name": name, "max": None if limit is None else limit.max}
    if gate.opens_at is not None:
        return _rate(facts, gate, limit, called, tasks, since, details)
    details = {**details, "running": gate.held, "share": gate.most, "held_by": None}
    if gate.most == 0:
        return _pause(what, called, limit, since, details)
    if limit is not None and limit.scope in _OF_ONES_OWN:
        details = {**details, "held_by": list[JsonValue](gate.holders)}
    return Reason(Code.LIMIT_FULL, _full(gate, called, limit, details["held_by"] is not None), since, details=details)


def _called(limit: Limit) -> str:
    if limit.scope is Scope.GLOBAL:
        return "the limit of everything"
    if limit.scope is Scope.KEY and limit.name == group_of(limit.name):
        keys = "every key" if limit.name == ANY else f"each key {limit.name!r}"
        return f"the limit of {keys}"
    return f"the limit of {limit.scope} {limit.name!r}"


def _full(gate: ShutGate, called: str, limit: Limit | None, tells: bool) -> str:
    if gate.counting:
        return f"{called} is new: what runs already is being counted, and nothing starts for a moment"
    text = f"{called} is full: {gate.held} of {gate.most} run"
    if limit is not None and limit.max is not None and limit.max != gate.most:
        text += f", which is this partition's share of {limit.max}"
    return f"{text}, held by {', '.join(gate.holders)}" if tells and gate.holders else text


def _rate(
    facts: Facts,
    gate: ShutGate,
    limit: Limit | None,
    called: str,
    tasks: Sequence[StandingTask],
    since: UnixMs | None,
    details: JsonObject,
) -> Reason:
    assert gate.opens_at is not None
    left = max(gate.opens_at - facts.standing.now, 0)
    pace = "" if limit is None or limit.per_ms is None else f" of {limit.rate} per {span(limit.per_ms)}"
    text = f"{called} lets the next task start in {span(left)}: its rate{pace} is used up"
    before = next((task.before for task in tasks if task.before is not None), None)
    if before:
        text += f", and {before} tasks are in line before it"
    details = {**details, "opens_in_seconds": left / 1000, "queued_before": before}
    if limit is not None and limit.per_ms is not None:
        details = {**details, "rate": limit.rate, "per_seconds": limit.per_ms / 1000, "burst": limit.burst}
    return Reason(Code.LIMIT_RATE, text, since, gate.opens_at, details)


def _pause(what: str, called: str, limit: Limit | None, since: UnixMs | None, details: JsonObject) -> Reason:
    if limit is None or not limit.paused:
        command = None if limit is None else f"muster limit rm {limit.scope} {quote(limit.name)}"
        text = f"{what} waits: {called} is 0, so nothing of it starts"
        return Reason(Code.LIMIT_PAUSED, text, since, details={**details, "command": command})
    noun = "queue" if limit.scope is Scope.TASK else "blueprint"
    path = f"/api/v1/{'queues' if limit.scope is Scope.TASK else 'blueprints'}/{limit.name}/resume"
    details = {**details, "command": f"muster {noun} resume {quote(limit.name)}", "resume": f"POST {path}"}
    return Reason(Code.LIMIT_PAUSED, f"{what} waits: {noun} {limit.name!r} is paused", since, details=details)


def _fan(gate: ShutGate, since: UnixMs | None, details: JsonObject) -> Reason:
    text = f"{gate.held} tasks of its fan run, and at_once lets no more than {gate.most}"
    held_by = list[JsonValue](gate.holders)
    details = {**details, "at_once": gate.most, "running": gate.held, "held_by": held_by}
    return Reason(Code.FAN_FULL, text, since, details=details)
