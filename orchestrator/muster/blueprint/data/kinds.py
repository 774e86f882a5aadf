"""The values that members hold: each kind checked, and made into what `job` takes."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, Final

from muster_worker.durations import parse_duration_ms
from muster_worker.needs import Choose, Needs, Prefer, cost_rule, preferred
from muster_worker.retry_policy import RetryPolicy

from muster.blueprint.asking import Escalate
from muster.blueprint.data.outline import Kind
from muster.blueprint.specs import check_priority, check_tags
from muster.core.flow import checked_key
from muster.core.join import JoinPolicy, load_join

STATIC: Final = frozenset({Kind.RETRY, Kind.JOIN})
"""They say how, not what: the same for every job, and so without expressions."""
MEMBERS: Final[Mapping[Kind, frozenset[str]]] = {
    Kind.NEEDS: frozenset(field.name for field in fields(Needs)),
    Kind.PREFER: frozenset(field.name for field in fields(Prefer)),
    Kind.CHOICE: frozenset(field.name for field in fields(Choose)),
    Kind.ESCALATE: frozenset(field.name for field in fields(Escalate)),
}
"""What an object of that kind may have."""
HINTS: Final = {
    Kind.RETRY: "write {retries: 3, first: 1s, factor: 2, cap: 1m}, or retries: 3 alone",
    Kind.JOIN: "write all, any, first:2, settled, or settled:3 (so many may fail)",
}
_WANTED: Final = {
    Kind.DURATION: "a duration such as 90s, 5m or 2d",
    Kind.COUNT: "a whole number, 0 or more",
    Kind.WIDTH: "a whole number, 1 or more",
    Kind.PRIORITY: "a whole number",
    Kind.NUMBER: "a number",
    Kind.TEXT: "a text",
    Kind.KEY: "a text",
    Kind.OBJECT: "an object",
    Kind.LIST: "a list",
    Kind.NAMES: "a list of texts",
    Kind.TAGS: "a list of texts",
    Kind.FLAG: "true or false",
    Kind.NEEDS: "an object such as {labels: {region: eu}, memory: 8GB}",
    Kind.PREFER: "a worker's id, same, or an object such as {labels: {zone: a}, wait: 10s}",
    Kind.CHOICE: "a word such as cheapest, or an object such as {policy: fastest, overflow_after: 30s}",
    Kind.QUORUM: "a whole number, or an object such as {approved: 2}",
    Kind.ESCALATE: "an object such as {after: 1d, to: [boss]}, or a list of them",
    Kind.RETRY: "an object",
    Kind.JOIN: "a word",
}


def made(value: Any, kind: Kind) -> Any:
    """*value* as the methods of `job` take it. Raises ValueError or TypeError, with what is wrong."""
    if not _is_of(value, kind):
        raise ValueError(f"this is {_WANTED[kind]}, not {named(value)}")
    maker = _MAKERS.get(kind)
    return value if maker is None else maker(value)


def misfit(value: Any, kind: Kind) -> str | None:
    """Why *value*, which has expressions in it, can never be of *kind*: a list is no number."""
    never = kind is Kind.FLAG if isinstance(value, str) else kind in _WANTED and not _may_hold(value, kind)
    return f"this is {_WANTED[kind]}, not {named(value)}" if never else None


def named(value: Any) -> str:
    """*value* in words: what it is, or itself where it is short."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else repr(value)[:80]


def near(name: str, known: Any) -> str:
    """Whether one of *known* may be meant by *name*, as a hint."""
    found = get_close_matches(name, list(known), 1)
    return f"did you mean {found[0]!r}?" if found else ""


def _is_of(value: Any, kind: Kind) -> bool:
    match kind:
        case Kind.DURATION:
            return _is_duration(value)
        case Kind.COUNT:
            return _is_whole(value) and value >= 0
        case Kind.WIDTH:
            return _is_whole(value) and value >= 1
        case Kind.PRIORITY:
            return _is_whole(value)
        case Kind.NAMES | Kind.TAGS:
            return isinstance(value, list) and all(isinstance(item, str) for item in value)
        case Kind.NUMBER:
            return isinstance(value, int | float) and not isinstance(value, bool)
        case Kind.QUORUM:
            return _is_whole(value) or isinstance(value, dict)
        case _:
            return isinstance(value, _TYPES.get(kind, object))


_TYPES: Final[Mapping[Kind, tuple[type, ...]]] = {
    Kind.TEXT: (str,),
    Kind.KEY: (str,),
    Kind.OBJECT: (dict,),
    Kind.LIST: (list,),
    Kind.FLAG: (bool,),
    Kind.NEEDS: (dict,),
    Kind.PREFER: (str, dict),
    Kind.CHOICE: (str, dict),
    Kind.ESCALATE: (dict, list),
    Kind.RETRY: (dict,),
    Kind.JOIN: (str,),
}
_OBJECTS: Final = frozenset({Kind.OBJECT, Kind.NEEDS, Kind.PREFER, Kind.CHOICE, Kind.QUORUM, Kind.ESCALATE})
_LISTS: Final = frozenset({Kind.LIST, Kind.NAMES, Kind.TAGS, Kind.ESCALATE})


def _may_hold(value: Any, kind: Kind) -> bool:
    return (kind in _OBJECTS and isinstance(value, dict)) or (kind in _LISTS and isinstance(value, list))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_duration(value: Any) -> bool:
    try:
        parse_duration_ms(value)
    except (ValueError, TypeError):
        return False
    return True


def _priority(value: int) -> int:
    check_priority(value)
    return value


def _tags(value: list[str]) -> list[str]:
    check_tags(value)
    return value


def _cost(value: float) -> float:
    cost_rule(value)
    return value


def _needs(value: Mapping[str, Any]) -> Needs:
    return Needs(**_known(value, Kind.NEEDS))


def _prefer(value: Any) -> Prefer | None:
    return preferred(value) if isinstance(value, str) else Prefer(**_known(value, Kind.PREFER))


def _choice(value: Any) -> Choose:
    given = {"policy": value} if isinstance(value, str) else value
    if "policy" not in given:
        raise ValueError("how a worker is chosen is said by `policy`")
    return Choose(**_known(given, Kind.CHOICE))


def _escalations(value: Any) -> list[Escalate]:
    steps = value if isinstance(value, list) else [value]
    for step in steps:
        if not isinstance(step, dict) or "after" not in step:
            raise ValueError(f"this is {_WANTED[Kind.ESCALATE]}, not {named(step)}")
        if not isinstance(step.get("to", []), list):
            raise TypeError(f"`to` is a list of names, not {named(step['to'])}")
    return [Escalate(**_known(step, Kind.ESCALATE)) for step in steps]


def _known(value: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
    for name in value:
        if name not in MEMBERS[kind]:
            raise ValueError(f"{name[:80]!r} is not known here; there are: {', '.join(sorted(MEMBERS[kind]))}")
    return dict(value)


def _retry(value: Mapping[str, Any]) -> RetryPolicy:
    return RetryPolicy.from_json(value)


def _join(value: str) -> JoinPolicy:
    return load_join(value)


_MAKERS: Final[Mapping[Kind, Callable[[Any], Any]]] = {
    Kind.PRIORITY: _priority,
    Kind.NUMBER: _cost,
    Kind.KEY: checked_key,
    Kind.TAGS: _tags,
    Kind.NEEDS: _needs,
    Kind.PREFER: _prefer,
    Kind.CHOICE: _choice,
    Kind.ESCALATE: _escalations,
    Kind.RETRY: _retry,
    Kind.JOIN: _join,
}
